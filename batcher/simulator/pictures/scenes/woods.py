"""A clearing in a forest: trunks in layers of haze, shafts of light, moss and leaves on the ground."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.scenes import surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

AIR: dict[Hour, tuple[Colour, Colour, Colour]] = {
    "day": ((126, 168, 96), (214, 232, 164), (255, 250, 206)),
    "golden": ((150, 132, 66), (250, 214, 128), (255, 214, 130)),
    "dusk": ((70, 70, 96), (176, 136, 146), (255, 178, 150)),
    "night": ((14, 26, 40), (46, 72, 96), (150, 186, 235)),
}
BARK: dict[Hour, Colour] = {"day": (52, 48, 36), "golden": (58, 42, 28), "dusk": (34, 28, 40), "night": (8, 12, 20)}
MOSS: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((46, 66, 28), (134, 158, 72)),
    "golden": ((66, 58, 24), (176, 146, 66)),
    "dusk": ((34, 36, 40), (92, 84, 82)),
    "night": ((10, 18, 24), (38, 58, 66)),
}
FLOOR = 0.6


def paint_forest(brief: Brief) -> Stage:
    """Tall trunks around a clearing, the sun coming through from one side."""
    hour: Hour = brief.mood.hour or "day"
    autumn = brief.says("autumn", "fall", "october")
    rng = brief.rng("forest")
    side = rng.choice((-1, 1))
    width, height = brief.size
    size = (width // 2, height // 2)
    deep, bright, sun = AIR["golden" if autumn and hour == "day" else hour]
    image = paint.vertical(
        size,
        [(0.0, paint.scaled(deep, 0.55)), (0.35, paint.mix(deep, bright, 0.45)), (0.58, bright), (0.7, paint.mix(deep, bright, 0.3)), (1.0, deep)],
    )
    unit = min(size)
    centre = (size[0] * (0.5 - side * 0.12), size[1] * 0.34)
    paint.glow(image, centre, (size[0] * 0.55, size[1] * 0.5), paint.scaled(sun, 0.5), 1.7)
    for layer in range(4):
        share = layer / 3
        _foliage(image, brief, layer, paint.mix(paint.scaled(deep, 0.9), BARK[hour], share * 0.7), autumn)
        _trunks(image, brief, layer, paint.mix(paint.mix(bright, deep, 0.4), BARK[hour], 0.15 + 0.85 * share))
        image = paint.blur(image, unit * (0.011 - 0.0022 * layer))
        if layer < 3:
            haze = paint.fade(size, [(0.0, 0.0), (0.5, 0.32 if not brief.mood.fog else 0.6), (0.75, 0.1)])
            image = paint.over(image, paint.mix(bright, sun, 0.3), haze)
    _sparkle(image, brief, sun)
    image = image.resize(brief.size, Image.Resampling.BICUBIC)
    _floor(image, brief, hour, autumn, sun, side)
    image = _shafts(image, brief, sun, side, 0.16 if hour == "night" else 0.3)
    return Stage(
        image,
        ground=0.86,
        light=sun,
        ambient={"day": (196, 214, 168), "golden": (222, 198, 146), "dusk": (180, 160, 180), "night": (130, 150, 180)}[hour],
        light_x=-0.7 * side,
        exposure={"day": 0.95, "golden": 0.95, "dusk": 0.92, "night": 0.84}[hour],
        rim=0.7,
        shadow=0.7,
        shadow_colour=paint.scaled(MOSS[hour][0], 0.3),
        hour=hour,
    )


def _foliage(image: Image.Image, brief: Brief, layer: int, tone: Colour, autumn: bool) -> None:
    """Leaves that fill the top and thin out towards the middle."""
    width, height = image.size
    rng = brief.rng(f"forest/leaves/{layer}")
    lace = paint.noise(rng, image.size, (width * 0.2, height * 0.14), 5, 0.7)
    mask = ImageChops.add(lace, paint.fade(image.size, [(0.0, 0.34), (0.3, 0.06), (0.5, 0.0)]))
    mask = paint.levels(mask, 0.58, 0.7)
    thin = paint.fade(image.size, [(0.0, 0.85), (0.3, 0.5), (0.5, 0.1), (0.56, 0.0)])
    if autumn:
        tone = paint.mix(tone, (206, 110, 36), 0.5)
    body = paint.colourised(lace, paint.scaled(tone, 0.6), paint.scaled(tone, 1.5))
    image.paste(body, (0, 0), ImageChops.multiply(mask, thin))


def _trunks(image: Image.Image, brief: Brief, layer: int, tone: Colour) -> None:
    width, height = image.size
    rng = brief.rng(f"forest/trunks/{layer}")
    draw = ImageDraw.Draw(image)
    unit = min(width, height)
    count = (12, 9, 6, 3)[layer] * max(1, round(width / height))
    for index in range(count):
        x = width * (index + rng.uniform(0.1, 0.9)) / count
        # The nearest trunks stand aside, so that the middle stays open.
        if layer == 3 and abs(x / width - 0.5) < 0.27:
            x = width * (rng.uniform(-0.02, 0.16) if x < width / 2 else rng.uniform(0.84, 1.02))
        thick = unit * (0.014, 0.026, 0.045, 0.1)[layer] * rng.uniform(0.7, 1.3)
        foot = height * (FLOOR + (0.0, 0.015, 0.04, 0.1)[layer] + rng.uniform(0, 0.012))
        lean = rng.uniform(-0.04, 0.04) * height
        shade = paint.scaled(tone, rng.uniform(0.85, 1.15))
        draw.polygon(
            [
                (x - thick * 0.4 + lean, -2),
                (x + thick * 0.4 + lean, -2),
                (x + thick * 0.5, foot),
                (x + thick * 0.8, foot + thick * 0.3),
                (x - thick * 0.8, foot + thick * 0.3),
                (x - thick * 0.5, foot),
            ],
            fill=shade,
        )
        lit = paint.mix(shade, (255, 240, 190), 0.16)
        draw.polygon([(x + thick * 0.1 + lean, -2), (x + thick * 0.4 + lean, -2), (x + thick * 0.5, foot), (x + thick * 0.2, foot)], fill=lit)
        if layer > 0:
            for _ in range(3):
                y = height * rng.uniform(0.02, 0.4)
                way = rng.choice((-1, 1))
                draw.line([(x, y), (x + way * thick * 3, y - thick * rng.uniform(0.4, 2))], fill=shade, width=max(1, round(thick * 0.2)))


def _sparkle(image: Image.Image, brief: Brief, sun: Colour) -> None:
    """Gaps between the leaves as discs of light."""
    rng = brief.rng("forest/sparkle")
    unit = min(image.size)
    for _ in range(34):
        centre = (image.width * rng.random(), image.height * rng.triangular(0.0, 0.5, 0.12))
        paint.bokeh(image, centre, unit * rng.uniform(0.012, 0.04), paint.scaled(sun, rng.uniform(0.06, 0.26)))


def _floor(image: Image.Image, brief: Brief, hour: Hour, autumn: bool, sun: Colour, side: int) -> None:
    width, height = image.size
    rng = brief.rng("forest/floor")
    top = round(height * (FLOOR - 0.03))
    size = (width, height - top)
    dark, light = MOSS[hour]
    if autumn:
        dark, light = paint.mix(dark, (70, 34, 14), 0.7), paint.mix(light, (206, 124, 46), 0.7)
    floor = surfaces.grass(size, rng, dark, light, 500)
    patches = paint.receding(paint.noise(rng, (width // 2, size[1] // 2), (width * 0.2, size[1] * 0.2), 3), size, 2.6)
    floor = paint.over(floor, paint.scaled(dark, 0.6), paint.strength(paint.levels(patches, 0.5, 0.8), 0.6))
    draw = ImageDraw.Draw(floor)
    tones = ((206, 120, 40), (176, 78, 30), (224, 168, 66), (120, 70, 34)) if autumn else ((126, 108, 52), (92, 78, 40), (150, 150, 70))
    for _ in range(260 if autumn else 80):
        share = rng.random() ** 0.7
        x, y, big = rng.random() * width, size[1] * (0.1 + 0.9 * share), height * 0.012 * (0.35 + share)
        tone = paint.mix(paint.scaled(rng.choice(tones), rng.uniform(0.6, 1.1)), dark, {"day": 0.1, "golden": 0.1, "dusk": 0.5, "night": 0.75}[hour])
        draw.polygon([(x - big, y), (x, y - big * 0.4), (x + big, y + big * 0.15), (x, y + big * 0.5)], fill=tone)
    floor = Image.composite(paint.blur(floor, min(brief.size) * 0.008), floor, paint.fade(size, [(0.0, 1.0), (0.45, 0.0)]))
    for _ in range(9):
        centre = (width * rng.uniform(0.1, 0.9), size[1] * rng.uniform(0.15, 0.9))
        paint.glow(floor, centre, (width * rng.uniform(0.06, 0.16), size[1] * rng.uniform(0.04, 0.1)), paint.scaled(sun, 0.22), 1.4)
    paint.glow(floor, (width * 0.5, size[1] * 0.5), (width * 0.42, size[1] * 0.5), paint.scaled(sun, 0.16), 1.4)
    image.paste(floor, (0, top), paint.fade(size, [(0.0, 0.0), (0.12, 1.0)]))


def _shafts(image: Image.Image, brief: Brief, sun: Colour, side: int, amount: float) -> Image.Image:
    """Sunlight made visible by the haze."""
    rng = brief.rng("forest/shafts")
    small = (image.width // 4, image.height // 4)
    mask = Image.new("L", small, 0)
    width, height = small
    origin = (width * (0.5 - side * 0.65), -height * 0.5)
    for _ in range(7):
        beam = Image.new("L", small, 0)
        target = width * rng.uniform(0.05, 0.95)
        spread = width * rng.uniform(0.02, 0.07)
        foot = height * 1.02
        ImageDraw.Draw(beam).polygon([origin, (target - spread, foot), (target + spread, foot)], fill=round(120 + 100 * rng.random()))
        mask = ImageChops.lighter(mask, paint.blur(beam, width * 0.012))
    mask = ImageChops.multiply(paint.blur(mask, width * 0.008), paint.fade(small, [(0.0, 1.0), (0.55, 0.75), (0.95, 0.0)]))
    return paint.over(image, sun, paint.strength(mask.resize(image.size, Image.Resampling.BICUBIC), amount))
