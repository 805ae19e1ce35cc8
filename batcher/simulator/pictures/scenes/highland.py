"""Mountains in layers of air, with snow, a meadow or a lake in front."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour, Size
from batcher.simulator.pictures.scenes import sky, surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

ROCK: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((92, 108, 132), (150, 160, 172)),
    "golden": ((98, 84, 108), (226, 160, 128)),
    "dusk": ((52, 46, 84), (190, 116, 130)),
    "night": ((14, 20, 40), (48, 60, 92)),
}
SNOW: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((164, 190, 222), (250, 252, 255)),
    "golden": ((150, 142, 178), (255, 226, 198)),
    "dusk": ((88, 82, 134), (226, 176, 186)),
    "night": ((26, 36, 68), (98, 118, 164)),
}
MEADOW: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((62, 96, 40), (166, 190, 92)),
    "golden": ((92, 82, 34), (214, 176, 90)),
    "dusk": ((44, 46, 54), (122, 106, 104)),
    "night": ((12, 20, 28), (44, 62, 74)),
}
LINE = 0.6


def paint_mountains(brief: Brief) -> Stage:
    """Ridges behind ridges; snow in front unless the prompt speaks of summer, a meadow or a lake."""
    hour: Hour = brief.mood.hour or "day"
    rng = brief.rng("mountains")
    width, height = brief.size
    sun_x = rng.choice((rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.88)))
    line = round(height * LINE)
    small = (width // 2, line // 2)
    back = sky.sky(small, hour, brief.mood, rng, (sun_x, 0.62 if hour in ("golden", "dusk") else 0.24))
    green = brief.says("summer", "meadow", "spring", "hill", "hills", "alpine", "grass") and not brief.mood.snow
    air = sky.stops(hour, brief.mood)[-1][1]
    side = -1 if sun_x < 0.5 else 1
    for layer in range(3):
        _range(back, brief, layer, hour, air, side)
        if brief.mood.fog or layer < 2:
            back = paint.over(back, air, paint.fade(small, [(0.35, 0.0), (1.0, 0.75 if brief.mood.fog else 0.4)]))
    _pines(back, brief, hour, green)
    image = Image.new("RGB", brief.size, air)
    back = paint.blur(back, min(small) * 0.006)
    image.paste(back.resize((width, line), Image.Resampling.BICUBIC), (0, 0))
    if brief.says("lake", "water", "river", "fjord"):
        ground, gloss = _lake(image, brief, line), 0.45
    elif green:
        ground, gloss = _meadow(brief, hour), 0.0
    else:
        ground, gloss = _snowfield(brief, hour, side), 0.0
    image.paste(ground, (0, height - ground.height), paint.fade(ground.size, [(0.0, 0.0), (0.13, 1.0)]))
    paint.glow(image, (sun_x * width, line), (width * 0.5, height * 0.3), paint.scaled(sky.SUNLIGHT[hour], 0.16))
    return Stage(
        image,
        ground=0.86,
        light=sky.SUNLIGHT[hour],
        ambient=paint.mix(sky.AMBIENT[hour], (190, 206, 240), 0.4) if hour != "night" else sky.AMBIENT[hour],
        light_x=0.8 * side,
        exposure=sky.EXPOSURE[hour],
        rim=0.6,
        shadow=0.55,
        shadow_colour=paint.scaled((MEADOW if green else SNOW)[hour][0], 0.4),
        gloss=gloss,
        hour=hour,
    )


def _ridge(rng: Random, base: float, tall: float, peaks: int) -> list[float]:
    """A mountain line, one value for each of 129 columns: peaks with steep sides, roughened by midpoint displacement."""
    tops = [((index + rng.uniform(0.15, 0.85)) / peaks, rng.uniform(0.55, 1.0), rng.uniform(1.3, 2.4)) for index in range(peaks)]
    rough = [0.0] * 129
    step, swing = 128, 0.2
    while step > 1:
        half = step // 2
        for index in range(half, 128, step):
            rough[index] = (rough[index - half] + rough[index + half]) / 2 + rng.uniform(-swing, swing)
        step, swing = half, swing * 0.56
    shape = [max(0.22, *(height - abs(index / 128 - place) * slope for place, height, slope in tops)) for index in range(129)]
    return [base - tall * max(0.02, value + bump) for value, bump in zip(shape, rough, strict=True)]


def _range(image: Image.Image, brief: Brief, layer: int, hour: Hour, air: Colour, side: int) -> None:
    width, height = image.size
    rng = brief.rng(f"mountains/{layer}")
    base = height * (0.98, 1.0, 1.02)[layer]
    ridge = _ridge(rng, base, height * (0.82, 0.54, 0.3)[layer], round((2.4, 4, 6)[layer] * max(1.0, width / height / 2)))
    points = [(index * width / 128, y) for index, y in enumerate(ridge)]
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon([*points, (width, height), (0, height)], fill=255)
    dark, light = ROCK[hour]
    haze = (0.5, 0.34, 0.16)[layer]
    dark, light = paint.mix(dark, air, haze), paint.mix(light, air, haze)
    # Facets: slopes that face the light are bright; noise stretched along the slope breaks them up.
    facets = Image.new("L", image.size, 110)
    draw = ImageDraw.Draw(facets)
    for index in range(0, 128, 2):
        rise = ridge[index + 2] - ridge[index]
        level = max(30, min(240, round(128 + side * -rise / height * 2600)))
        x0, x1 = index * width / 128, (index + 2) * width / 128
        slide = width * 0.06 * rng.uniform(-1, 1)
        draw.polygon(
            [(x0, ridge[index]), (x1, ridge[index + 2]), (x1 + slide + width * 0.02, height), (x0 + slide - width * 0.02, height)], fill=level
        )
    rough = paint.noise(rng, image.size, (width * 0.1, height * 0.12), 5, 0.72)
    facets = Image.blend(paint.blur(facets, width * 0.004), rough, 0.45)
    body = paint.colourised(paint.levels(facets, 0.25, 0.8), paint.scaled(dark, 0.9), light)
    if layer < 2:
        shade, bright = SNOW[hour]
        snow = paint.colourised(paint.levels(facets, 0.3, 0.62), paint.mix(shade, air, haze), paint.mix(bright, air, haze * 0.6))
        depth = height * (0.32 if layer == 0 else 0.16) * (1.7 if brief.mood.snow or brief.says("snow", "snowy", "winter") else 1.0)
        cap = Image.new("L", image.size, 0)
        lower = [(x, y + depth * (0.6 + 0.8 * rng.random()) * max(0.0, 1.15 - y / height)) for x, y in points]
        ImageDraw.Draw(cap).polygon([*points, *reversed(lower)], fill=255)
        cap = paint.levels(ImageChops.add(paint.blur(cap, width * 0.004), paint.curve(rough, lambda value: (value - 0.5) * 1.2)), 0.35, 0.6)
        body.paste(snow, (0, 0), cap)
    image.paste(body, (0, 0), mask)


def _pines(image: Image.Image, brief: Brief, hour: Hour, green: bool) -> None:
    """Fir trees at the foot of the mountains."""
    width, height = image.size
    rng = brief.rng("mountains/pines")
    draw = ImageDraw.Draw(image)
    tone = paint.mix(MEADOW[hour][0], (24, 44, 46), 0.65) if hour != "night" else (8, 14, 24)
    frost = SNOW[hour][0]
    count = round(26 * max(1.0, width / height / 2))
    for index in range(count):
        x = width * (index + rng.random()) / count
        tall = height * rng.uniform(0.1, 0.3) * (0.55 + abs(x / width - 0.5) * 1.3)
        foot = height * 1.01
        shade = paint.scaled(tone, rng.uniform(0.8, 1.25))
        for tier in range(5):
            share = tier / 5
            wide = tall * 0.22 * (1 - share) + tall * 0.03
            y = foot - tall * share * 0.9
            draw.polygon([(x - wide, y), (x, y - tall * 0.32), (x + wide, y)], fill=shade)
            if not green:
                draw.polygon(
                    [(x - wide * 0.5, y - tall * 0.13), (x, y - tall * 0.32), (x + wide * 0.3, y - tall * 0.18)], fill=paint.mix(shade, frost, 0.7)
                )


def _snowfield(brief: Brief, hour: Hour, side: int) -> Image.Image:
    width, height = brief.size
    size = (width, height - round(height * (LINE - 0.04)))
    rng = brief.rng("mountains/snow")
    shade, bright = SNOW[hour]
    # Wider than needed, because an offset picture runs on at its other edge.
    spare = round(width * 0.03)
    broad = (width + 2 * spare, size[1])
    drifts = paint.receding(paint.noise(rng, broad, (width * 0.5, size[1] * 0.16), 3, 0.5), broad, 2.4)
    moved = ImageChops.offset(drifts, side * round(width * 0.012), round(size[1] * 0.02))
    lit = ImageChops.subtract(drifts, moved, 0.4, 128).crop((spare, 0, spare + width, size[1]))
    relief = Image.blend(lit, paint.noise(rng, size, (5, 3), 2), 0.1)
    field = paint.colourised(paint.levels(relief, 0.18, 0.8), paint.mix(shade, bright, 0.3), bright)
    sparkle = paint.levels(paint.noise(rng, size, (2, 2), 1), 0.975, 1.0)
    field = paint.over(field, (255, 255, 255), paint.strength(sparkle, 0.8))
    return Image.composite(paint.blur(field, min(brief.size) * 0.008), field, paint.fade(size, [(0.0, 1.0), (0.4, 0.0)]))


def _meadow(brief: Brief, hour: Hour) -> Image.Image:
    width, height = brief.size
    size = (width, height - round(height * (LINE - 0.03)))
    rng = brief.rng("mountains/meadow")
    field = surfaces.grass(size, rng, *MEADOW[hour], blades=800)
    for _ in range(70):
        share = rng.random() ** 0.8
        centre = (rng.random() * width, size[1] * (0.08 + 0.9 * share))
        colour = rng.choice(((255, 236, 120), (244, 244, 255), (226, 150, 220), (255, 170, 90)))
        paint.shade(
            field, centre, max(1.5, height * 0.008 * (0.3 + share)), paint.mix(colour, MEADOW[hour][0], 0.6 if hour == "night" else 0.05), 0.9, 0.6
        )
    return Image.composite(paint.blur(field, min(brief.size) * 0.008), field, paint.fade(size, [(0.0, 1.0), (0.45, 0.0)]))


def _lake(image: Image.Image, brief: Brief, line: int) -> Image.Image:
    """Still water that mirrors the mountains."""
    width, height = brief.size
    size: Size = (width, height - line)
    rng = brief.rng("mountains/lake")
    water = paint.blur(paint.mirrored(image, line, size), (width * 0.003, height * 0.006))
    ripple = paint.receding(paint.noise(rng, (width, size[1]), (width * 0.16, size[1] * 0.03), 3, 0.6), size, 3.0)
    shifted = ImageChops.offset(water, round(width * 0.012), round(size[1] * 0.012))
    water = Image.composite(shifted, water, paint.levels(ripple, 0.42, 0.62))
    water = paint.over(water, (255, 255, 255), paint.strength(paint.levels(ripple, 0.62, 0.9), 0.18))
    return paint.tinted(water, (150, 176, 196), 0.55)
