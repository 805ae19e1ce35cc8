"""Space and the northern lights: stars, nebulae, a planet; curtains of light over snow and ice."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.scenes import surfaces
from batcher.simulator.pictures.stage import Brief, Stage

NEBULAE: tuple[tuple[Colour, Colour], ...] = (((170, 60, 190), (50, 120, 230)), ((230, 90, 110), (90, 70, 210)), ((40, 180, 190), (150, 70, 210)))
CURTAINS: tuple[tuple[Colour, Colour], ...] = (((70, 255, 170), (150, 90, 255)), ((90, 255, 210), (90, 130, 255)), ((120, 255, 130), (255, 90, 180)))


def paint_space(brief: Brief) -> Stage:
    """Deep space over a dark plain of rock, with a planet on one side."""
    rng = brief.rng("space")
    side = rng.choice((-1, 1))
    width, height = brief.size
    first, second = rng.choice(NEBULAE)
    if brief.mood.colours:
        first, second = brief.mood.colours[0], brief.mood.colours[-1] if len(brief.mood.colours) > 1 else second
    size = (width // 2, height // 2)
    image = paint.vertical(size, [(0.0, (5, 6, 18)), (0.6, (14, 12, 36)), (1.0, (26, 18, 52))])
    for index, colour in enumerate((first, second, paint.mix(first, second, 0.5))):
        cloud = paint.noise(brief.rng(f"space/cloud/{index}"), size, (size[0] * 0.5, size[1] * 0.4), 5, 0.6)
        mask = paint.levels(cloud, 0.44, 0.92)
        paint.add_light(image, mask, (size[0] / 2, size[1] / 2), paint.scaled(colour, 0.66))
    image = image.resize(brief.size, Image.Resampling.BICUBIC)
    _stars(image, brief)
    _planet(image, brief, side, first, second)
    line = round(height * 0.7)
    floor = (width, height - line)
    rock = surfaces.stone(floor, brief.rng("space/rock"), paint.mix((66, 62, 84), first, 0.1), 0.5, 60, 3.0)
    ground = surfaces.polished(rock, image, line, 0.34, 0.05)
    paint.glow(ground, (width / 2, floor[1] * 0.5), (width * 0.5, floor[1] * 0.7), paint.scaled(paint.mix(first, (255, 255, 255), 0.3), 0.3), 1.5)
    rim = paint.fade((width, max(3, height // 90)), [(0.0, 0.0), (0.5, 0.5), (1.0, 0.0)])
    image = surfaces.laid(image, ground, line)
    image.paste(paint.mix(second, (255, 255, 255), 0.4), (0, line), rim)
    return Stage(
        image,
        ground=0.86,
        light=paint.mix(second, (255, 255, 255), 0.6),
        ambient=paint.mix(first, (190, 190, 226), 0.75),
        light_x=0.8 * side,
        exposure=0.98,
        rim=0.9,
        shadow=0.75,
        shadow_colour=(4, 3, 10),
        gloss=0.2,
        obeys_colours=True,
        hour="night",
    )


def paint_aurora(brief: Brief) -> Stage:
    """Northern lights over black hills, mirrored in ice."""
    rng = brief.rng("aurora")
    width, height = brief.size
    size = (width // 2, height // 2)
    low, high = rng.choice(CURTAINS)
    if brief.mood.colours:
        low = brief.mood.colours[0]
        high = brief.mood.colours[1] if len(brief.mood.colours) > 1 else high
    image = paint.vertical(size, [(0.0, (4, 8, 24)), (0.5, (8, 24, 46)), (0.66, (20, 52, 66)), (1.0, (10, 22, 36))])
    for index in range(3):
        _curtain(image, brief, index, low, high)
    image = image.resize(brief.size, Image.Resampling.BICUBIC)
    _stars(image, brief, 0.5)
    line = round(height * 0.62)
    for layer in range(2):
        ridge = Image.frombytes("L", (9, 1), brief.rng(f"aurora/hills/{layer}").randbytes(9)).resize((65, 1), Image.Resampling.BICUBIC).tobytes()
        top = height * (0.5, 0.56)[layer]
        points = [(index * width / 64, top + value / 255 * height * (0.1, 0.05)[layer]) for index, value in enumerate(ridge)]
        ImageDraw.Draw(image).polygon([*points, (width, line + 3), (0, line + 3)], fill=((22, 40, 56), (8, 16, 26))[layer])
    back = paint.blur(image, min(brief.size) * 0.004)
    floor = (width, height - line)
    ice = surfaces.stone(floor, brief.rng("aurora/ice"), (44, 66, 88), 0.4, 80, 2.6)
    cracks = paint.noise(brief.rng("aurora/cracks"), floor, (width * 0.3, floor[1] * 0.5), 4, 0.55)
    line_mask = paint.receding(paint.curve(cracks, lambda value: max(0.0, 1 - abs(value - 0.5) / 0.012)), floor, 2.2)
    ice = paint.over(ice, (190, 226, 236), paint.strength(line_mask, 0.4))
    ground = surfaces.polished(ice, back, line, 0.85, 0.025)
    paint.glow(ground, (width / 2, floor[1] * 0.3), (width * 0.5, floor[1]), paint.scaled(low, 0.12), 1.5)
    image = surfaces.laid(back, ground, line)
    return Stage(
        image,
        ground=0.86,
        light=paint.mix(low, (255, 255, 255), 0.35),
        ambient=paint.mix(low, (160, 186, 216), 0.75),
        light_x=rng.choice((-0.5, 0.5)),
        exposure=0.92,
        rim=0.8,
        shadow=0.7,
        shadow_colour=(2, 8, 14),
        gloss=0.4,
        obeys_colours=True,
        hour="night",
    )


def _stars(image: Image.Image, brief: Brief, density: float = 1.0) -> None:
    rng = brief.rng("heavens/stars")
    draw = ImageDraw.Draw(image)
    for _ in range(round(image.width * image.height / 1500 * density)):
        x, y = rng.randrange(image.width), int(image.height * 0.72 * rng.random())
        level = round(50 + 190 * rng.random() ** 4)
        draw.point((x, y), (level, level, min(255, level + 14)))
        if level > 200:
            paint.glow(image, (x, y), image.width * rng.uniform(0.003, 0.008), rng.choice(((190, 210, 255), (255, 226, 196), (220, 200, 255))), 3.0)


def _curtain(image: Image.Image, brief: Brief, index: int, low: Colour, high: Colour) -> None:
    """One ribbon of light: a wavy lower edge, rays that rise from it and fade."""
    width, height = image.size
    rng = brief.rng(f"aurora/curtain/{index}")
    wave = Image.frombytes("L", (7, 1), rng.randbytes(7)).resize((97, 1), Image.Resampling.BICUBIC).tobytes()
    rays = Image.frombytes("L", (48, 1), rng.randbytes(48)).resize((width, 1), Image.Resampling.BICUBIC).resize((width, height))
    rays = Image.blend(rays, paint.noise(rng, image.size, (width * 0.2, height), 2), 0.4)
    tall = height * rng.uniform(0.34, 0.5)
    base = height * rng.uniform(0.3, 0.5)
    strip = paint.fade((width, round(tall)), [(0.0, 0.0), (0.55, 0.3), (0.88, 1.0), (0.95, 0.75), (1.0, 0.0)])
    hue = paint.fade((width, round(tall)), [(0.0, 1.0), (0.6, 0.5), (0.9, 0.0)])
    shape, colour = Image.new("L", image.size, 0), Image.new("L", image.size, 0)
    columns = len(wave) - 1
    for column in range(columns):
        left, right = column * width // columns, (column + 1) * width // columns + 1
        y = round(base - tall + (wave[column] / 255 - 0.5) * height * 0.34)
        shape.paste(strip.crop((left, 0, right, strip.height)), (left, y))
        colour.paste(hue.crop((left, 0, right, hue.height)), (left, y))
    shape = paint.blur(ImageChops.multiply(shape, paint.levels(rays, 0.15, 0.85)), (width * 0.012, height * 0.006))
    light = ImageChops.multiply(paint.colourised(paint.blur(colour, width * 0.02), low, high), Image.merge("RGB", (shape, shape, shape)))
    image.paste(paint.add(image, light, 0.85))


def _planet(image: Image.Image, brief: Brief, side: int, first: Colour, second: Colour) -> None:
    width, height = image.size
    rng = brief.rng("space/planet")
    radius = round(min(width, height) * rng.uniform(0.13, 0.19))
    centre = (width * (0.5 + side * rng.uniform(0.28, 0.36)), height * rng.uniform(0.2, 0.3))
    side_px = radius * 2
    tone = paint.mix(second, (230, 210, 190), 0.5)
    bands = paint.noise(rng, (side_px, side_px), (side_px * 1.2, side_px * 0.12), 4, 0.6)
    body = paint.colourised(paint.levels(bands, 0.2, 0.8), paint.scaled(tone, 0.55), paint.mix(tone, (255, 255, 255), 0.3)).rotate(
        -18 * side, Image.Resampling.BICUBIC, fillcolor=tone
    )
    lit = paint.radial((side_px * 2, side_px * 2), 1.0)
    lit = lit.crop((round(side_px * (0.5 - 0.22 * side)), round(side_px * 0.72), round(side_px * (1.5 - 0.22 * side)), round(side_px * 1.72)))
    body = ImageChops.multiply(body, Image.merge("RGB", [paint.levels(lit, 0.36, 0.85)] * 3))
    disc = Image.new("L", (side_px * 2, side_px * 2), 0)
    ImageDraw.Draw(disc).ellipse((2, 2, side_px * 2 - 3, side_px * 2 - 3), fill=255)
    paint.glow(image, centre, radius * 1.9, paint.scaled(paint.mix(first, second, 0.5), 0.34), 2.0)
    image.paste(body, (round(centre[0] - radius), round(centre[1] - radius)), disc.reduce(2))
