"""Drawn creatures and plants."""

from __future__ import annotations

import math
from random import Random

from PIL import Image

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Size
from batcher.simulator.pictures.subjects import forms

EYE: Colour = (36, 34, 38)


def _eyes(image: Image.Image, places: tuple[tuple[float, float], ...], radius: float, iris: Colour) -> Image.Image:
    shape = image.width / image.height
    for x, y in places:
        for size, tone, shift in ((radius, iris, 0.0), (radius * 0.62, EYE, 0.0), (radius * 0.24, WHITE, -radius * 0.3)):
            mark = forms.oval((x + shift - size, y + (shift - size) * shape, x + shift + size, y + (shift + size) * shape), image.size)
            image = forms.laid(image, forms.relief(mark, tone, 0.002))
    return image


def cat(colour: Colour, rng: Random) -> Image.Image:
    """A sitting cat, seen from the front."""
    size: Size = (420, 560)
    pale = paint.mix(colour, WHITE, 0.55)
    tail = [(0.72, 0.9), (0.9, 0.86), (0.95, 0.72), (0.88, 0.6), (0.93, 0.5)]
    result = forms.relief(forms.stroke(tail, 0.075, size), paint.scaled(colour, 0.85), 0.012)
    body = forms.outline(
        [(0.5, 0.34), (0.68, 0.42), (0.8, 0.66), (0.82, 0.88), (0.72, 0.97), (0.28, 0.97), (0.18, 0.88), (0.2, 0.66), (0.32, 0.42)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(body, colour, 0.05))
    chest = forms.outline([(0.5, 0.44), (0.6, 0.52), (0.61, 0.68), (0.5, 0.78), (0.39, 0.68), (0.4, 0.52)], size, smooth=True)
    result = forms.laid(result, forms.relief(chest, pale, 0.03))
    for x in (0.4, 0.6):
        leg = forms.outline(
            [(x - 0.06, 0.66), (x + 0.06, 0.66), (x + 0.07, 0.92), (x + 0.085, 0.975), (x - 0.085, 0.975), (x - 0.07, 0.92)], size, smooth=True
        )
        result = forms.laid(result, forms.relief(leg, paint.mix(colour, WHITE, 0.12), 0.02))
    for way in (-1, 1):
        ear = forms.outline([(0.5 + way * 0.08, 0.16), (0.5 + way * 0.27, 0.015), (0.5 + way * 0.29, 0.24)], size)
        result = forms.laid(result, forms.relief(ear, colour, 0.015))
        inner = forms.outline([(0.5 + way * 0.14, 0.14), (0.5 + way * 0.245, 0.06), (0.5 + way * 0.26, 0.2)], size)
        result = forms.laid(result, forms.relief(inner, (236, 168, 160), 0.01))
    head = forms.outline(
        [(0.5, 0.09), (0.68, 0.12), (0.8, 0.25), (0.74, 0.38), (0.5, 0.44), (0.26, 0.38), (0.2, 0.25), (0.32, 0.12)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(head, paint.mix(colour, WHITE, 0.06), 0.05))
    muzzle = forms.oval((0.36, 0.3, 0.64, 0.43), size)
    result = forms.laid(result, forms.relief(muzzle, pale, 0.02))
    result = _eyes(result, ((0.37, 0.26), (0.63, 0.26)), 0.058, (150, 190, 96))
    result = forms.laid(result, forms.relief(forms.outline([(0.465, 0.325), (0.535, 0.325), (0.5, 0.355)], size), (214, 128, 128), 0.004))
    smile = forms.stroke([(0.42, 0.375), (0.46, 0.385), (0.5, 0.36), (0.54, 0.385), (0.58, 0.375)], 0.008, size)
    return forms.laid(result, forms.relief(smile, paint.scaled(colour, 0.4), 0.001))


def dog(colour: Colour, rng: Random) -> Image.Image:
    """A sitting dog with hanging ears."""
    size: Size = (440, 560)
    pale, dark = paint.mix(colour, WHITE, 0.5), paint.scaled(colour, 0.62)
    result = forms.relief(forms.stroke([(0.78, 0.88), (0.92, 0.78), (0.96, 0.66)], 0.07, size), colour, 0.012)
    body = forms.outline(
        [(0.5, 0.36), (0.68, 0.44), (0.8, 0.68), (0.84, 0.9), (0.74, 0.97), (0.26, 0.97), (0.16, 0.9), (0.2, 0.68), (0.32, 0.44)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(body, colour, 0.05))
    result = forms.laid(
        result,
        forms.relief(forms.outline([(0.5, 0.46), (0.62, 0.54), (0.6, 0.74), (0.5, 0.82), (0.4, 0.74), (0.38, 0.54)], size, smooth=True), pale, 0.03),
    )
    for x in (0.38, 0.62):
        leg = forms.outline(
            [(x - 0.07, 0.64), (x + 0.07, 0.64), (x + 0.075, 0.92), (x + 0.1, 0.975), (x - 0.1, 0.975), (x - 0.075, 0.92)], size, smooth=True
        )
        result = forms.laid(result, forms.relief(leg, paint.mix(colour, WHITE, 0.1), 0.02))
    head = forms.outline(
        [(0.5, 0.05), (0.68, 0.08), (0.76, 0.22), (0.7, 0.36), (0.5, 0.46), (0.3, 0.36), (0.24, 0.22), (0.32, 0.08)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(head, colour, 0.05))
    for way in (-1, 1):
        ear = forms.outline(
            [(0.5 + way * 0.18, 0.09), (0.5 + way * 0.3, 0.1), (0.5 + way * 0.36, 0.28), (0.5 + way * 0.3, 0.42), (0.5 + way * 0.24, 0.32)],
            size,
            smooth=True,
        )
        result = forms.laid(result, forms.relief(ear, dark, 0.025))
    result = forms.laid(
        result,
        forms.relief(forms.outline([(0.5, 0.24), (0.6, 0.3), (0.62, 0.38), (0.5, 0.45), (0.38, 0.38), (0.4, 0.3)], size, smooth=True), pale, 0.03),
    )
    result = _eyes(result, ((0.39, 0.225), (0.61, 0.225)), 0.04, (96, 62, 40))
    result = forms.laid(result, forms.relief(forms.oval((0.44, 0.28, 0.56, 0.345), size), EYE, 0.012))
    tongue = forms.outline([(0.46, 0.41), (0.54, 0.41), (0.535, 0.48), (0.5, 0.5), (0.465, 0.48)], size, smooth=True)
    result = forms.laid(result, forms.relief(tongue, (232, 120, 126), 0.01))
    collar = forms.stroke([(0.34, 0.46), (0.42, 0.5), (0.5, 0.51), (0.58, 0.5), (0.66, 0.46)], 0.035, size)
    return forms.laid(result, forms.relief(collar, (196, 60, 56), 0.006))


def bird(colour: Colour, rng: Random) -> Image.Image:
    """A small round bird from the side."""
    size: Size = (520, 460)
    result = forms.blank(size)
    for x in (0.46, 0.56):
        result = forms.laid(result, forms.relief(forms.stroke([(x, 0.8), (x, 0.97), (x - 0.05, 0.975)], 0.014, size), (196, 130, 66), 0.003))
    tail = forms.outline([(0.7, 0.56), (0.97, 0.44), (0.99, 0.53), (0.74, 0.72)], size)
    result = forms.laid(result, forms.relief(tail, paint.scaled(colour, 0.6), 0.012))
    body = forms.outline(
        [(0.16, 0.28), (0.24, 0.12), (0.4, 0.1), (0.54, 0.24), (0.74, 0.48), (0.76, 0.66), (0.6, 0.84), (0.4, 0.85), (0.22, 0.7), (0.16, 0.48)],
        size,
        smooth=True,
    )
    result = forms.laid(result, forms.relief(body, colour, 0.06))
    breast = forms.outline([(0.19, 0.4), (0.34, 0.38), (0.46, 0.56), (0.5, 0.82), (0.38, 0.84), (0.24, 0.7)], size, smooth=True)
    result = forms.laid(result, forms.relief(breast, paint.mix((244, 176, 110), WHITE, 0.15), 0.03))
    wing = forms.outline([(0.42, 0.36), (0.6, 0.42), (0.82, 0.62), (0.66, 0.7), (0.5, 0.66), (0.42, 0.52)], size, smooth=True)
    result = forms.laid(result, forms.relief(wing, paint.scaled(colour, 0.72), 0.025))
    result = forms.laid(result, forms.relief(forms.outline([(0.18, 0.24), (0.03, 0.31), (0.18, 0.34)], size), (226, 160, 70), 0.008))
    return _eyes(result, ((0.29, 0.24),), 0.034, (70, 52, 40))


def fish(colour: Colour, rng: Random) -> Image.Image:
    """A fish with a broad tail."""
    size: Size = (560, 360)
    fin = paint.scaled(colour, 0.8)
    result = forms.relief(forms.outline([(0.72, 0.5), (0.97, 0.14), (0.93, 0.5), (0.97, 0.86)], size, smooth=True), fin, 0.02)
    for points in ([(0.3, 0.22), (0.5, 0.02), (0.66, 0.26)], [(0.36, 0.78), (0.5, 0.96), (0.58, 0.76)]):
        result = forms.laid(result, forms.relief(forms.outline(points, size), fin, 0.015))
    body = forms.outline(
        [(0.03, 0.52), (0.14, 0.3), (0.36, 0.17), (0.6, 0.26), (0.8, 0.5), (0.6, 0.74), (0.36, 0.84), (0.14, 0.72)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(body, colour, 0.06))
    for x in (0.36, 0.52):
        band = forms.outline([(x, 0.2), (x + 0.07, 0.2), (x + 0.04, 0.5), (x + 0.07, 0.8), (x, 0.8), (x - 0.03, 0.5)], size, smooth=True)
        result = forms.laid(result, forms.relief(band, paint.mix(colour, WHITE, 0.7), 0.01))
    result = forms.laid(result, forms.relief(forms.outline([(0.34, 0.54), (0.48, 0.6), (0.36, 0.68)], size), fin, 0.012))
    return _eyes(result, ((0.17, 0.44),), 0.034, (250, 226, 150))


def tree(colour: Colour, rng: Random) -> Image.Image:
    """A broad-leaved tree."""
    size: Size = (520, 600)
    trunk = forms.outline([(0.45, 0.5), (0.55, 0.5), (0.555, 0.82), (0.62, 0.975), (0.38, 0.975), (0.445, 0.82)], size)
    result = forms.relief(trunk, (110, 78, 54), 0.015)
    for start, end in (((0.48, 0.66), (0.3, 0.5)), ((0.52, 0.62), (0.7, 0.46))):
        result = forms.laid(result, forms.relief(forms.stroke([start, end], 0.03, size), (104, 72, 50), 0.008))
    clumps = sorted((rng.uniform(0.1, 0.46), rng.uniform(0.16, 0.84)) for _ in range(22))
    for y, x in [(0.24, 0.5), (0.34, 0.3), (0.34, 0.7), *clumps]:
        if math.hypot((x - 0.5) / 0.46, (y - 0.3) / 0.3) > 1.0:
            continue
        radius = rng.uniform(0.1, 0.17)
        tone = paint.scaled(colour, 0.72 + 0.5 * (0.5 - y) + rng.uniform(-0.06, 0.08))
        points = [
            (x + radius * rng.uniform(0.86, 1.1) * math.cos(turn), y + radius * 0.86 * rng.uniform(0.86, 1.1) * math.sin(turn))
            for turn in (step * math.pi / 5 for step in range(10))
        ]
        result = forms.laid(result, forms.relief(forms.outline(points, size, smooth=True), tone, 0.028))
    return result


def flower(colour: Colour, rng: Random) -> Image.Image:
    """One tall flower with two leaves."""
    size: Size = (420, 620)
    green: Colour = (86, 138, 74)
    result = forms.relief(forms.stroke([(0.5, 0.3), (0.51, 0.6), (0.49, 0.985)], 0.026, size), green, 0.005)
    for way, y in ((-1, 0.74), (1, 0.66)):
        leaf = forms.outline(
            [(0.5, y + 0.1), (0.5 + way * 0.16, y - 0.02), (0.5 + way * 0.36, y - 0.1), (0.5 + way * 0.24, y + 0.06)], size, smooth=True
        )
        result = forms.laid(result, forms.relief(leaf, green, 0.02))
    petals = 12
    for ring, (reach, dim) in enumerate(((0.27, 0.84), (0.2, 1.0))):
        for petal in range(petals):
            turn = (petal + 0.5 * ring) * 2 * math.pi / petals
            points = [
                (0.5 + math.cos(turn + spread) * far * 1.35, 0.27 + math.sin(turn + spread) * far * 0.86)
                for spread, far in ((0, 0.02), (0.22, reach * 0.66), (0, reach), (-0.22, reach * 0.66))
            ]
            shade = paint.scaled(paint.mix(colour, WHITE, 0.12 * ring), dim * (0.92 + 0.12 * math.sin(turn + 3.6)))
            result = forms.laid(result, forms.relief(forms.outline(points, size, smooth=True), shade, 0.012))
    return forms.laid(result, forms.relief(forms.oval((0.38, 0.2, 0.62, 0.345), size), (206, 146, 52), 0.03))


def fruit(colour: Colour, rng: Random) -> Image.Image:
    """An apple with a leaf."""
    size: Size = (460, 460)
    outline = [
        (0.5, 0.2),
        (0.66, 0.15),
        (0.86, 0.24),
        (0.93, 0.46),
        (0.85, 0.74),
        (0.68, 0.94),
        (0.5, 0.91),
        (0.32, 0.94),
        (0.15, 0.74),
        (0.07, 0.46),
        (0.14, 0.24),
        (0.34, 0.15),
    ]
    mask = forms.outline(outline, size, smooth=True)
    skin = forms.ball(colour, 460, 0.7).convert("RGB")
    result = forms.relief(mask, colour, 0.03, skin)
    paint_dip = forms.relief(forms.oval((0.4, 0.17, 0.6, 0.27), size), paint.scaled(colour, 0.5), 0.02)
    result = forms.laid(result, paint_dip)
    result = forms.laid(result, forms.relief(forms.stroke([(0.5, 0.23), (0.52, 0.12), (0.56, 0.04)], 0.026, size), (104, 72, 46), 0.006))
    leaf = forms.outline([(0.54, 0.13), (0.64, 0.03), (0.82, 0.03), (0.74, 0.13), (0.62, 0.17)], size, smooth=True)
    return forms.laid(result, forms.relief(leaf, (104, 158, 74), 0.02))


def person(colour: Colour, rng: Random) -> Image.Image:
    """A standing person in a coat, without a face."""
    size: Size = (300, 640)
    skin: Colour = rng.choice(((236, 194, 164), (196, 144, 108), (142, 98, 70), (222, 174, 140)))
    hair: Colour = rng.choice(((60, 44, 36), (34, 30, 32), (150, 104, 62), (96, 62, 42)))
    result = forms.blank(size)
    for x in (0.42, 0.58):
        leg = forms.outline([(x - 0.075, 0.58), (x + 0.075, 0.58), (x + 0.06, 0.95), (x - 0.06, 0.95)], size)
        result = forms.laid(result, forms.relief(leg, (62, 66, 84), 0.014))
        result = forms.laid(result, forms.relief(forms.oval((x - 0.1, 0.935, x + 0.08, 0.985), size), (54, 42, 38), 0.012))
    for way in (-1, 1):
        arm = [(0.5 + way * 0.24, 0.25), (0.5 + way * 0.32, 0.42), (0.5 + way * 0.29, 0.54)]
        result = forms.laid(result, forms.relief(forms.oval((0.5 + way * 0.285 - 0.05, 0.525, 0.5 + way * 0.285 + 0.05, 0.58), size), skin, 0.01))
        result = forms.laid(result, forms.relief(forms.stroke(arm, 0.13, size), paint.scaled(colour, 0.88), 0.018))
    result = forms.laid(
        result, forms.relief(forms.outline([(0.44, 0.15), (0.56, 0.15), (0.57, 0.24), (0.43, 0.24)], size), paint.scaled(skin, 0.85), 0.01)
    )
    coat = forms.outline(
        [(0.4, 0.2), (0.6, 0.2), (0.76, 0.24), (0.77, 0.46), (0.84, 0.72), (0.5, 0.75), (0.16, 0.72), (0.23, 0.46), (0.24, 0.24)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(coat, colour, 0.04))
    result = forms.laid(result, forms.relief(forms.stroke([(0.5, 0.25), (0.5, 0.73)], 0.008, size), paint.scaled(colour, 0.6), 0.002))
    scarf = forms.outline([(0.36, 0.19), (0.5, 0.215), (0.64, 0.19), (0.66, 0.235), (0.5, 0.265), (0.34, 0.235)], size, smooth=True)
    result = forms.laid(result, forms.relief(scarf, (236, 222, 200), 0.012))
    result = forms.laid(result, forms.relief(forms.oval((0.355, 0.02, 0.645, 0.18), size), hair, 0.02))
    return forms.laid(result, forms.relief(forms.oval((0.39, 0.045, 0.61, 0.185), size), skin, 0.02))
