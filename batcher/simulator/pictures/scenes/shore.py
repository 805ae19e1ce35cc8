"""A beach: sand, foam, sea and the sun low over it, or any other hour."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.scenes import sky
from batcher.simulator.pictures.stage import Brief, Hour, Stage

SEA: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((58, 140, 176), (132, 208, 208)),
    "golden": ((112, 112, 140), (206, 164, 140)),
    "dusk": ((62, 58, 108), (164, 108, 128)),
    "night": ((10, 18, 42), (34, 52, 88)),
}
SAND: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((202, 178, 142), (240, 222, 190)),
    "golden": ((172, 120, 84), (244, 198, 146)),
    "dusk": ((84, 66, 82), (152, 118, 122)),
    "night": ((26, 28, 42), (62, 66, 88)),
}
HORIZON = 0.44
SHORE = 0.6


def paint_beach(brief: Brief) -> Stage:
    """Sand in front, the sea behind, the sun's path on the water."""
    hour: Hour = brief.mood.hour or "golden"
    width, height = brief.size
    rng = brief.rng("beach")
    sun_x = rng.choice((rng.uniform(0.14, 0.32), rng.uniform(0.68, 0.86)))
    sun_y = {"day": 0.2, "golden": 0.8, "dusk": 0.93, "night": 0.3}[hour]
    line = round(height * HORIZON)
    image = Image.new("RGB", brief.size)
    image.paste(sky.sky((width, line), hour, brief.mood, brief.rng("beach/sky"), (sun_x, sun_y)), (0, 0))
    _sea(image, line, round(height * (SHORE + 0.06)), brief, hour, sun_x)
    image = paint.blur(image, min(brief.size) * 0.004)
    _sand(image, brief, hour, sun_x)
    if brief.says("palm", "palms", "tropical", "island") or rng.random() < 0.5:
        image = _palm(image, brief, hour, -1 if sun_x > 0.5 else 1)
    low = hour != "day"
    return Stage(
        image,
        ground=0.87,
        light=sky.SUNLIGHT[hour],
        ambient=sky.AMBIENT[hour],
        light_x=(sun_x - 0.5) * 2.2,
        exposure=sky.EXPOSURE[hour],
        rim=0.8 if low else 0.4,
        shadow=0.62,
        shadow_colour=paint.scaled(SAND[hour][0], 0.28),
        hour=hour,
    )


def _sea(image: Image.Image, top: int, bottom: int, brief: Brief, hour: Hour, sun_x: float) -> None:
    width, depth = image.width, bottom - top
    rng = brief.rng("beach/sea")
    far, near = (paint.mix(colour, sky.GREY[hour], sky.overcast(brief.mood) * 0.7) for colour in SEA[hour])
    horizon = sky.stops(hour, brief.mood)[-1][1]
    water = paint.vertical((width, depth), [(0.0, paint.mix(far, horizon, 0.35)), (0.3, far), (1.0, near)])
    swell = paint.noise(rng, (width, depth), (width * 0.22, depth * 0.07), 4, 0.7)
    crest = paint.levels(swell, 0.52, 0.8)
    water = paint.over(water, paint.mix(near, horizon, 0.55), paint.strength(crest, 0.5))
    water = paint.over(water, paint.scaled(far, 0.7), paint.strength(paint.levels(swell, 0.5, 0.22), 0.4))
    if sky.overcast(brief.mood) < 0.5:
        path = paint.radial((round(width * 0.36), depth * 2), 1.6).crop((0, depth, round(width * 0.36), depth * 2))
        glitter = ImageChops.multiply(path, paint.levels(swell, 0.4, 0.62).crop((0, 0, *path.size)))
        paint.add_light(water, glitter, (sun_x * width, depth / 2), paint.scaled(sky.SUNLIGHT[hour], 0.9))
        paint.glow(water, (sun_x * width, 0), (width * 0.3, depth * 0.8), paint.scaled(sky.SUNLIGHT[hour], 0.35))
    image.paste(water, (0, top))


def _sand(image: Image.Image, brief: Brief, hour: Hour, sun_x: float) -> None:
    width, height = image.size
    rng = brief.rng("beach/sand")
    top = round(height * (SHORE - 0.05))
    size = (width, height - top)
    dark, light = SAND[hour]
    ripples = paint.noise(rng, (width, size[1]), (width * 0.2, size[1] * 0.05), 4, 0.72)
    texture = paint.receding(ripples, size, 2.6)
    speckle = paint.noise(rng, size, (3, 2), 1)
    texture = Image.blend(texture, speckle, 0.22)
    sand = paint.colourised(paint.levels(texture, 0.2, 0.82), paint.mix(dark, light, 0.28), light)
    sand.paste(paint.scaled(dark, 0.8), (0, 0), paint.fade(size, [(0.0, 0.0), (0.55, 0.0), (1.0, 0.4)]))
    paint.glow(sand, (sun_x * width, size[1] * 0.1), (width * 0.45, size[1] * 0.6), paint.scaled(sky.SUNLIGHT[hour], 0.22))
    # The water's edge is one line, displaced twice: where the sand gets wet, and where the foam lies.
    edge = _edge(width, rng)
    wet = paint.mirrored(image, top, size, 1.6)
    wet = Image.blend(paint.blur(wet, (width * 0.01, height * 0.02)), Image.new("RGB", size, paint.scaled(dark, 0.85)), 0.45)
    sand.paste(wet, (0, 0), paint.blur(_below(edge, size, 0.3, invert=True), min(size) * 0.02))
    foam = ImageChops.subtract(_below(edge, size, 0.0), _below(edge, size, 0.055))
    foam = ImageChops.multiply(paint.blur(foam, min(size) * 0.006), paint.levels(paint.noise(rng, size, (26, 9), 3, 0.7), 0.2, 0.6))
    sea = _below(edge, size, 0.03)
    base = image.crop((0, top, width, height))
    shadow = paint.blur(ImageChops.subtract(_below(edge, size, 0.05), _below(edge, size, 0.085)), min(size) * 0.008)
    sand.paste(paint.scaled(dark, 0.5), (0, 0), paint.strength(shadow, 0.4))
    base.paste(sand, (0, 0), paint.blur(sea, 1.2))
    base.paste(paint.mix(sky.SUNLIGHT[hour], (255, 255, 255), 0.4 if hour in ("day", "golden") else 0.0), (0, 0), paint.strength(foam, 0.9))
    image.paste(base, (0, top))


def _edge(width: int, rng: Random) -> list[float]:
    """The line of the last wave, as shares of the sand's height, column by column in steps."""
    coarse = Image.frombytes("L", (5, 1), rng.randbytes(5)).resize((48, 1), Image.Resampling.BICUBIC)
    fine = Image.frombytes("L", (17, 1), rng.randbytes(17)).resize((48, 1), Image.Resampling.BICUBIC)
    return [0.1 + 0.12 * a / 255 + 0.03 * b / 255 for a, b in zip(coarse.tobytes(), fine.tobytes(), strict=True)]


def _below(edge: list[float], size: tuple[int, int], shift: float, *, invert: bool = False) -> Image.Image:
    mask = Image.new("L", size, 255 if invert else 0)
    points = [(index * size[0] / (len(edge) - 1), (value + shift) * size[1]) for index, value in enumerate(edge)]
    ImageDraw.Draw(mask).polygon([*points, (size[0], size[1]), (0, size[1])], fill=0 if invert else 255)
    return mask


def _palm(image: Image.Image, brief: Brief, hour: Hour, side: int) -> Image.Image:
    """Fronds that hang into an upper corner, out of focus."""
    width, height = image.size
    rng = brief.rng("beach/palm")
    small = (width // 2, height // 2)
    mask = Image.new("L", small, 0)
    draw = ImageDraw.Draw(mask)
    unit = min(small)
    root = (0.0 - unit * 0.04 if side < 0 else small[0] + unit * 0.04, -unit * 0.02)
    for frond in range(6):
        reach, drop = unit * rng.uniform(0.42, 0.72), (frond + rng.random()) / 6
        previous = root
        for step in range(1, 41):
            share = step / 40
            x = root[0] - side * reach * share * (1.15 - 0.55 * drop)
            y = root[1] + reach * ((0.05 + 0.3 * drop) * share + (0.25 + 0.5 * drop) * share**2.4)
            draw.line([previous, (x, y)], fill=255, width=max(1, round(unit * 0.007 * (1.2 - share))))
            leaf = unit * 0.17 * (1 - 0.75 * share) * min(1.0, share * 5)
            for out, down in ((0.75, 0.5), (0.12, 1.0)):
                draw.line([(x, y), (x - side * leaf * out, y + leaf * down)], fill=235, width=max(1, round(unit * 0.004)))
            previous = (x, y)
    mask = paint.blur(mask, unit * 0.0045).resize(image.size, Image.Resampling.BICUBIC)
    tone = {"day": (46, 84, 58), "golden": (64, 44, 40), "dusk": (30, 24, 44), "night": (6, 9, 18)}[hour]
    return paint.over(image, tone, mask)
