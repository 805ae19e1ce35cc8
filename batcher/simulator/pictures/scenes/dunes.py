"""A desert: dune behind dune with sharp crests, and rippled sand in front."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.scenes import sky
from batcher.simulator.pictures.stage import Brief, Hour, Stage

SAND: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((186, 132, 84), (246, 212, 162)),
    "golden": ((136, 74, 56), (255, 190, 120)),
    "dusk": ((78, 46, 74), (222, 130, 116)),
    "night": ((18, 22, 46), (82, 92, 132)),
}


def paint_desert(brief: Brief) -> Stage:
    """Dunes under a clear sky, the sun from one side."""
    hour: Hour = brief.mood.hour or "golden"
    rng = brief.rng("desert")
    width, height = brief.size
    sun_x = rng.choice((rng.uniform(0.1, 0.28), rng.uniform(0.72, 0.9)))
    side = -1 if sun_x < 0.5 else 1
    image = Image.new("RGB", brief.size)
    image.paste(
        sky.sky((width, round(height * 0.56)), hour, brief.mood, rng, (sun_x, {"day": 0.24, "golden": 0.62, "dusk": 0.8, "night": 0.3}[hour])), (0, 0)
    )
    air = sky.stops(hour, brief.mood)[-1][1]
    small = image.resize((width // 2, height // 2), Image.Resampling.BOX)
    for layer in range(4):
        _dune(small, brief, layer, hour, air, side)
        small = paint.blur(small, min(small.size) * (0.007, 0.006, 0.005, 0.004)[layer])
    image = small.resize(brief.size, Image.Resampling.BICUBIC)
    _foreground(image, brief, hour, side)
    paint.glow(image, (sun_x * width, height * 0.45), (width * 0.6, height * 0.45), paint.scaled(sky.SUNLIGHT[hour], 0.2))
    return Stage(
        image,
        ground=0.86,
        light=sky.SUNLIGHT[hour],
        ambient=paint.mix(sky.AMBIENT[hour], SAND[hour][1], 0.3),
        light_x=0.85 * side,
        exposure=sky.EXPOSURE[hour],
        rim=0.75,
        shadow=0.62,
        shadow_colour=paint.scaled(SAND[hour][0], 0.35),
        hour=hour,
    )


def _dune(image: Image.Image, brief: Brief, layer: int, hour: Hour, air: Colour, side: int) -> None:
    """One dune: a long crest, bright on the side of the sun and dark on the other."""
    width, height = image.size
    rng = brief.rng(f"desert/dune/{layer}")
    base = height * (0.51, 0.56, 0.62, 0.68)[layer]
    tall = height * (0.1, 0.16, 0.2, 0.12)[layer]
    peak = rng.uniform(0.15, 0.85) if layer < 3 else 0.5 + side * -0.45
    phase, turns = rng.uniform(0, 6.28), rng.uniform(0.7, 1.3)

    def crest(x: float) -> float:
        swell = math.exp(-(((x - peak) / 0.34) ** 2)) + 0.22 * math.sin(turns * 6.28 * x + phase)
        return base - tall * swell

    steps = [index / 60 for index in range(61)]
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon([*((x * width, crest(x)) for x in steps), (width, height), (0, height)], fill=255)
    dark, light = SAND[hour]
    haze = (0.55, 0.35, 0.18, 0.04)[layer]
    bright, shadow = paint.mix(light, air, haze), paint.mix(dark, air, haze)
    body = paint.vertical(image.size, [(0.3, bright), (0.75, paint.mix(bright, shadow, 0.3)), (1.0, paint.mix(bright, shadow, 0.45))])
    # The lee side hangs from the crest and ends in a long curve.
    lee = Image.new("L", image.size, 0)
    foot = peak - side * rng.uniform(0.3, 0.5)
    bottom = base + height * 0.2
    spine = [(peak * width + (foot - peak) * width * 0.55 * share**1.7, crest(peak) + (bottom - crest(peak)) * share) for share in steps]
    far_side = [(x * width, crest(x)) for x in steps if (x - peak) * side <= 0]
    far_side = far_side if side > 0 else list(reversed(far_side))
    edge = 0 if side > 0 else width
    ImageDraw.Draw(lee).polygon([*spine, (edge, bottom), (edge, crest(edge / width)), *far_side], fill=255)
    soft = ImageChops.multiply(
        paint.blur(lee, width * 0.004), paint.fade(image.size, [(0.3, 0.85), (base / height - 0.03, 0.8), (min(1.0, base / height + 0.07), 0.0)])
    )
    body.paste(shadow, (0, 0), soft)
    image.paste(body, (0, 0), mask)


def _foreground(image: Image.Image, brief: Brief, hour: Hour, side: int) -> None:
    width, height = image.size
    rng = brief.rng("desert/ripples")
    top = round(height * 0.6)
    size = (width, height - top)
    dark, light = SAND[hour]
    # Wind ripples: many thin waves, bent by slow noise.
    wave_size = (width, size[1] * 2)
    rows = 46
    waves = Image.frombytes("L", (1, rows * 4), bytes([150, 220, 140, 60] * rows)).resize(wave_size, Image.Resampling.BICUBIC)
    bend = paint.noise(rng, wave_size, (width * 0.3, size[1] * 0.5), 3, 0.5)
    cells = []
    columns = 20
    for column in range(columns):
        x0, x1 = column * wave_size[0] // columns, (column + 1) * wave_size[0] // columns
        shift0, shift1 = (_level(bend, x, wave_size[1] // 2) * size[1] * 0.24 for x in (x0, min(x1, wave_size[0] - 1)))
        cells.append(((x0, 0, x1, wave_size[1]), (x0, shift0, x0, wave_size[1] + shift0, x1, wave_size[1] + shift1, x1, shift1)))
    tall = ImageChops.offset(waves, 0, 0).resize((wave_size[0], round(wave_size[1] * 1.3)), Image.Resampling.BILINEAR)
    waves = tall.transform(wave_size, Image.Transform.MESH, cells, Image.Resampling.BILINEAR)
    texture = Image.blend(paint.noise(rng, wave_size, (width * 0.24, size[1] * 0.2), 3, 0.5), waves, 0.34)
    ground = Image.blend(paint.receding(texture, size, 2.6), paint.noise(rng, size, (3, 2), 1), 0.14)
    sand = paint.colourised(paint.levels(ground, 0.2, 0.8), paint.mix(dark, light, 0.25), light)
    sand = Image.composite(paint.blur(sand, min(brief.size) * 0.006), sand, paint.fade(size, [(0.0, 1.0), (0.4, 0.0)]))
    falloff = paint.horizontal(
        size, [(0.0, (255, 255, 255) if side < 0 else (150, 150, 150)), (1.0, (150, 150, 150) if side < 0 else (255, 255, 255))]
    )
    sand = ImageChops.multiply(sand, Image.blend(falloff, Image.new("RGB", size, (255, 255, 255)), 0.5))
    image.paste(sand, (0, top), paint.fade(size, [(0.0, 0.0), (0.25, 1.0)]))


def _level(mask: Image.Image, x: int, y: int) -> float:
    value = mask.getpixel((x, y))
    return float(value) / 255 if isinstance(value, (int, float)) else 0.0
