"""A garden in flower: blossoms out of focus behind a stone ledge, a table or the lawn."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Point
from batcher.simulator.pictures.scenes import sky, surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

GREENS: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((58, 98, 44), (178, 208, 112)),
    "golden": ((84, 84, 32), (232, 196, 96)),
    "dusk": ((44, 48, 60), (140, 116, 124)),
    "night": ((10, 22, 28), (42, 72, 78)),
}
BLOOMS: tuple[tuple[Colour, ...], ...] = (
    ((244, 140, 176), (250, 196, 212), (226, 84, 130)),
    ((250, 206, 92), (248, 160, 74), (255, 236, 170)),
    ((176, 140, 226), (126, 112, 214), (226, 200, 246)),
    ((240, 90, 84), (250, 150, 130), (255, 214, 196)),
)
LEDGE = 0.68


def paint_garden(brief: Brief) -> Stage:
    """Flower beds and hedges behind what the subject stands on."""
    hour: Hour = brief.mood.hour or "day"
    rng = brief.rng("garden")
    side = rng.choice((-1, 1))
    dark, light = GREENS[hour]
    family = brief.mood.colours or rng.choice(BLOOMS)
    fade = {"day": 0.0, "golden": 0.1, "dusk": 0.4, "night": 0.65}[hour]
    tones = tuple(paint.mix(colour, dark, fade) for colour in (*family, WHITE))
    image = _beds(brief, rng, hour, side, tones).resize(brief.size, Image.Resampling.BICUBIC)
    line = round(brief.size[1] * LEDGE)
    image = surfaces.laid(image, _ledge(brief, image, line, hour, side), line)
    return Stage(
        image,
        ground=0.88,
        light=sky.SUNLIGHT[hour],
        ambient=paint.mix(sky.AMBIENT[hour], light, 0.3),
        light_x=0.7 * side,
        exposure=sky.EXPOSURE[hour],
        rim=0.5,
        shadow=0.6,
        shadow_colour=(34, 32, 24),
        gloss=0.05,
        foreground=_frame(brief, tones, dark),
        hour=hour,
    )


def _beds(brief: Brief, rng: Random, hour: Hour, side: int, tones: tuple[Colour, ...]) -> Image.Image:
    """Hedges and three rows of flowers, the nearer the sharper, at half size."""
    size = (max(2, brief.size[0] // 2), max(2, brief.size[1] // 2))
    unit = min(size)
    dark, light = GREENS[hour]
    top = paint.mix(light, WHITE, 0.35 if hour in ("day", "golden") else 0.0)
    image = paint.vertical(size, [(0.0, top), (0.4, paint.mix(dark, light, 0.6)), (1.0, dark)])
    paint.glow(image, (size[0] * (0.5 + side * 0.3), 0), (size[0] * 0.6, size[1] * 0.6), paint.scaled(sky.SUNLIGHT[hour], 0.4), 1.8)
    for _ in range(60):
        centre = (size[0] * rng.random(), size[1] * rng.uniform(0.1, 0.8))
        tone = paint.scaled(paint.mix(dark, light, rng.random()), rng.uniform(0.7, 1.15))
        paint.shade(image, centre, unit * rng.uniform(0.08, 0.22), tone, 0.55)
    for count, radius, highest, blur in ((26, 0.03, 0.22, 0.022), (20, 0.048, 0.32, 0.015), (13, 0.07, 0.42, 0.009)):
        for _ in range(count * max(1, min(4, round(size[0] / size[1])))):
            centre = (size[0] * rng.random(), size[1] * rng.uniform(highest, 0.76))
            flower(image, centre, unit * radius * rng.uniform(0.7, 1.3), rng.choice(tones), rng, dark)
        image = paint.blur(image, unit * blur)
    for _ in range(26):
        centre = (size[0] * rng.random(), size[1] * rng.uniform(0.0, 0.5))
        tone = rng.choice((paint.mix(light, WHITE, 0.4), *tones))
        paint.bokeh(image, centre, unit * rng.uniform(0.02, 0.055), paint.scaled(tone, rng.uniform(0.08, 0.24)))
    return image


def _ledge(brief: Brief, behind: Image.Image, line: int, hour: Hour, side: int) -> Image.Image:
    """What the subject stands on: the lawn, a garden table, or a stone ledge."""
    width = brief.size[0]
    size = (width, brief.size[1] - line)
    if brief.says("grass", "lawn", "meadow", "field"):
        ground = surfaces.grass(size, brief.rng("garden/lawn"), *GREENS[hour])
    elif brief.says("table", "wooden", "wood", "picnic", "deck"):
        ground = paint.tinted(surfaces.wood(size, brief.rng("garden/table"), (186, 150, 112), 4), sky.AMBIENT[hour], 0.8)
    else:
        ground = paint.tinted(surfaces.stone(size, brief.rng("garden/stone"), (204, 196, 182), 0.16, 12), sky.AMBIENT[hour], 0.7)
    ground = surfaces.polished(ground, behind, line, 0.16)
    sun = paint.scaled(sky.SUNLIGHT[hour], 0.16)
    paint.glow(ground, (width * (0.5 + side * 0.3), size[1] * 0.2), (width * 0.5, size[1]), sun, 1.5)
    return Image.composite(paint.blur(ground, min(brief.size) * 0.006), ground, paint.fade(size, [(0.0, 1.0), (0.4, 0.0)]))


def flower(image: Image.Image, centre: Point, radius: float, tone: Colour, rng: Random, leaf: Colour) -> None:
    """One blossom with its petals and heart, and a hint of stem and leaf."""
    draw = ImageDraw.Draw(image)
    x, y = centre
    draw.line([(x, y), (x + rng.uniform(-0.4, 0.4) * radius, y + radius * 3.5)], fill=paint.scaled(leaf, 1.2), width=max(1, round(radius * 0.16)))
    petals, turn = rng.choice((5, 6, 8)), rng.random() * 6.28
    for petal in range(petals):
        angle = turn + petal * 2 * math.pi / petals
        px, py = x + math.cos(angle) * radius * 0.58, y + math.sin(angle) * radius * 0.5
        wide = radius * 0.5
        shade = paint.scaled(tone, 0.9 + 0.14 * math.sin(angle + 4.0))
        draw.ellipse((px - wide, py - wide * 0.9, px + wide, py + wide * 0.9), fill=shade)
    heart = paint.mix(tone, (250, 206, 90), 0.75)
    draw.ellipse((x - radius * 0.3, y - radius * 0.26, x + radius * 0.3, y + radius * 0.26), fill=heart)


def _frame(brief: Brief, tones: tuple[Colour, ...], leaf: Colour) -> Image.Image:
    """Blossoms close to the lens in the lower corners, far out of focus."""
    width, height = brief.size
    small = (width // 4, height // 4)
    unit = min(small)
    rng = brief.rng("garden/frame")
    layer = Image.new("RGB", small, paint.mix(tones[0], leaf, 0.4))
    mask = Image.new("L", small, 0)
    for side in (0, 1):
        for _ in range(5):
            centre = (small[0] * (side + (0.5 - side) * rng.uniform(-0.1, 0.3)), small[1] * rng.uniform(0.86, 1.04))
            radius = unit * rng.uniform(0.06, 0.11)
            box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
            ImageDraw.Draw(layer).ellipse(
                tuple(edge + grow for edge, grow in zip(box, (-4, -4, 4, 4), strict=True)), fill=rng.choice((*tones[:3], leaf))
            )
            ImageDraw.Draw(mask).ellipse(box, fill=215)
    layer, mask = paint.blur(layer, unit * 0.02), paint.blur(mask, unit * 0.028)
    layer.putalpha(mask)
    return layer.resize(brief.size, Image.Resampling.BICUBIC)
