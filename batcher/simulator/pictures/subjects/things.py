"""Drawn things: crockery, furniture, vehicles, buildings."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Point
from batcher.simulator.pictures.subjects import forms

DARK: Colour = (44, 44, 52)
GLASS: Colour = (152, 190, 208)


def mug(colour: Colour, rng: Random) -> Image.Image:
    """A coffee mug with its handle on the right."""
    size = (520, 460)
    points = [(0.66 + 0.27 * math.sin(angle) * 0.9, 0.5 - 0.24 * math.cos(angle)) for angle in (step * math.pi / 16 for step in range(17))]
    handle = forms.relief(forms.stroke(points, 0.062, size), colour, 0.02)
    body = forms.turned([(0.14, 0.72), (0.5, 0.72), (0.8, 0.7), (0.87, 0.62)], colour, size, 0.5)
    shift = forms.blank(size)
    shift.paste(body, (-40, 0))
    cup = forms.disc_top(body, 0.14, 0.72, paint.mix(colour, WHITE, 0.3), (74, 46, 30))
    result = handle
    placed = forms.blank(size)
    placed.paste(cup, (-40, 0))
    return Image.alpha_composite(result, placed)


def bottle(colour: Colour, rng: Random) -> Image.Image:
    """A bottle with a label and a dark stopper."""
    size = (260, 620)
    body = forms.turned(
        [(0.12, 0.3), (0.26, 0.3), (0.31, 0.36), (0.37, 0.66), (0.42, 0.82), (0.46, 0.86), (0.92, 0.86), (0.955, 0.8)], colour, size, 0.8, smooth=True
    )
    label = paint.horizontal(size, [(0.0, (150, 146, 138)), (0.35, (250, 246, 236)), (0.6, (240, 234, 222)), (1.0, (140, 134, 126))])
    draw = ImageDraw.Draw(label)
    for at, wide in ((0.62, 0.3), (0.67, 0.44), (0.76, 0.22)):
        draw.rectangle((size[0] * (0.5 - wide / 2), size[1] * at, size[0] * (0.5 + wide / 2), size[1] * (at + 0.016)), fill=paint.scaled(colour, 0.5))
    patch = forms.outline([(0.07, 0.54), (0.93, 0.54), (0.93, 0.84), (0.5, 0.855), (0.07, 0.84)], size)
    label.putalpha(patch)
    stopper = forms.turned([(0.02, 0.34), (0.13, 0.34)], DARK, size, 0.4)
    return forms.laid(forms.laid(body, label), stopper)


def vase(colour: Colour, rng: Random) -> Image.Image:
    """A vase with a narrow neck."""
    size = (380, 560)
    profile = [
        (0.06, 0.5),
        (0.1, 0.42),
        (0.2, 0.36),
        (0.3, 0.46),
        (0.42, 0.78),
        (0.52, 0.94),
        (0.62, 0.98),
        (0.74, 0.88),
        (0.86, 0.66),
        (0.94, 0.48),
        (0.965, 0.46),
    ]
    return forms.disc_top(forms.turned(profile, colour, size, 0.7, smooth=True), 0.06, 0.5, paint.mix(colour, WHITE, 0.3), paint.scaled(colour, 0.3))


def lamp(colour: Colour, rng: Random) -> Image.Image:
    """A table lamp with a glowing shade."""
    size = (420, 600)
    foot = forms.turned([(0.56, 0.06), (0.7, 0.1), (0.76, 0.3), (0.86, 0.36), (0.94, 0.24), (0.965, 0.28)], colour, size, 0.7, smooth=True)
    shade = forms.turned([(0.06, 0.5), (0.54, 0.94)], (255, 226, 170), size, 0.0, 0.12)
    light = Image.new("RGB", size)
    paint.glow(light, (size[0] / 2, size[1] * 0.36), (size[0] * 0.5, size[1] * 0.3), (120, 92, 48), 1.2)
    bright = ImageChops.add(shade.convert("RGB"), light)
    bright.putalpha(shade.getchannel("A"))
    return forms.laid(foot, bright)


def chair(colour: Colour, rng: Random) -> Image.Image:
    """An upholstered armchair."""
    size = (520, 560)
    wood: Colour = (128, 86, 54)
    result = forms.blank(size)
    for x, lean in ((0.2, -0.03), (0.8, 0.03)):
        result = forms.laid(result, forms.relief(forms.stroke([(x, 0.8), (x + lean, 0.97)], 0.035, size), wood, 0.01))
    back = forms.outline([(0.2, 0.06), (0.5, 0.02), (0.8, 0.06), (0.85, 0.3), (0.83, 0.7), (0.17, 0.7), (0.15, 0.3)], size, smooth=True)
    result = forms.laid(result, forms.relief(back, paint.scaled(colour, 0.9), 0.04))
    seat = forms.outline([(0.14, 0.62), (0.5, 0.57), (0.86, 0.62), (0.88, 0.8), (0.5, 0.86), (0.12, 0.8)], size, smooth=True)
    result = forms.laid(result, forms.relief(seat, paint.mix(colour, WHITE, 0.1), 0.035))
    for x in (0.1, 0.9):
        arm = forms.outline([(x - 0.07, 0.44), (x, 0.4), (x + 0.07, 0.44), (x + 0.065, 0.82), (x, 0.86), (x - 0.065, 0.82)], size, smooth=True)
        result = forms.laid(result, forms.relief(arm, colour, 0.03))
    return result


def box(colour: Colour, rng: Random) -> Image.Image:
    """A closed box in three-quarter view, tied with a ribbon."""
    size = (560, 460)
    left, right = [(0.06, 0.34), (0.56, 0.48), (0.56, 0.96), (0.06, 0.76)], [(0.56, 0.48), (0.95, 0.3), (0.95, 0.7), (0.56, 0.96)]
    lid = [(0.06, 0.34), (0.46, 0.19), (0.95, 0.3), (0.56, 0.48)]
    result = forms.blank(size)
    for points, tone in ((left, paint.scaled(colour, 0.9)), (right, paint.scaled(colour, 0.62)), (lid, paint.mix(colour, WHITE, 0.22))):
        result = forms.laid(result, forms.relief(forms.outline(points, size), tone, 0.008))
    ribbon = paint.mix((246, 240, 228), colour, 0.1)
    strips = (
        [(0.27, 0.4), (0.35, 0.423), (0.35, 0.876), (0.27, 0.844)],
        [(0.27, 0.4), (0.35, 0.423), (0.74, 0.253), (0.67, 0.237)],
        [(0.72, 0.406), (0.79, 0.374), (0.79, 0.807), (0.72, 0.853)],
        [(0.72, 0.406), (0.79, 0.374), (0.3, 0.25), (0.23, 0.276)],
    )
    for points, dim in zip(strips, (0.94, 1.0, 0.7, 1.0), strict=True):
        result = forms.laid(result, forms.relief(forms.outline(points, size), paint.scaled(ribbon, dim), 0.004))
    return result


def book(colour: Colour, rng: Random) -> Image.Image:
    """A closed book standing, seen from its front edge."""
    size = (440, 560)
    result = forms.relief(
        forms.outline([(0.12, 0.1), (0.2, 0.05), (0.93, 0.09), (0.93, 0.93), (0.86, 0.97), (0.12, 0.93)], size), paint.scaled(colour, 0.6), 0.006
    )
    pages = forms.outline([(0.16, 0.1), (0.22, 0.07), (0.92, 0.11), (0.86, 0.15)], size)
    result = forms.laid(result, forms.relief(pages, (244, 236, 218), 0.003))
    cover = forms.outline([(0.1, 0.1), (0.86, 0.14), (0.86, 0.97), (0.1, 0.93)], size)
    result = forms.laid(result, forms.relief(cover, colour, 0.012))
    gold = (226, 192, 124)
    frame = forms.stroke([(0.2, 0.19), (0.77, 0.215), (0.77, 0.89), (0.2, 0.865)], 0.008, size, closed=True)
    result = forms.laid(result, forms.relief(frame, gold, 0.002))
    return forms.laid(result, forms.relief(forms.oval((0.37, 0.4, 0.6, 0.58), size), gold, 0.01))


def car(colour: Colour, rng: Random) -> Image.Image:
    """A small car from the side."""
    size = (640, 300)
    body = [
        (0.02, 0.62),
        (0.06, 0.5),
        (0.2, 0.44),
        (0.32, 0.18),
        (0.42, 0.12),
        (0.62, 0.12),
        (0.72, 0.18),
        (0.82, 0.43),
        (0.95, 0.49),
        (0.985, 0.64),
        (0.96, 0.8),
        (0.04, 0.8),
    ]
    result = forms.relief(forms.outline(body, size, smooth=True), colour, 0.03)
    for points in (
        [(0.27, 0.43), (0.36, 0.22), (0.5, 0.19), (0.5, 0.43)],
        [(0.53, 0.43), (0.53, 0.19), (0.64, 0.2), (0.68, 0.24), (0.76, 0.43)],
    ):
        result = forms.laid(result, forms.relief(forms.outline(points, size), GLASS, 0.01))
    for x in (0.21, 0.78):
        for radius, tone in ((0.088, (30, 30, 34)), (0.05, (176, 180, 188)), (0.018, (90, 94, 100))):
            wheel = forms.oval((x - radius, 0.78 - radius * size[0] / size[1], x + radius, 0.78 + radius * size[0] / size[1]), size)
            result = forms.laid(result, forms.relief(wheel, tone, 0.01))
    for frame, tone in (((0.02, 0.52, 0.06, 0.62), (255, 240, 190)), ((0.945, 0.52, 0.98, 0.61), (220, 50, 46))):
        result = forms.laid(result, forms.relief(forms.oval(frame, size), tone, 0.006))
    seam = forms.stroke([(0.515, 0.45), (0.515, 0.74)], 0.004, size)
    return forms.laid(result, forms.relief(seam, paint.scaled(colour, 0.5), 0.001))


def boat(colour: Colour, rng: Random) -> Image.Image:
    """A sailing boat."""
    size = (520, 560)
    result = forms.relief(forms.stroke([(0.5, 0.03), (0.5, 0.8)], 0.016, size), (120, 84, 56), 0.004)
    main = forms.outline([(0.52, 0.06), (0.62, 0.3), (0.84, 0.7), (0.52, 0.72)], size)
    jib = forms.outline([(0.48, 0.12), (0.38, 0.4), (0.18, 0.7), (0.48, 0.72)], size)
    result = forms.laid(result, forms.relief(main, (246, 242, 232), 0.03))
    result = forms.laid(result, forms.relief(jib, (236, 226, 210), 0.03))
    hull = forms.outline([(0.06, 0.78), (0.94, 0.78), (0.82, 0.95), (0.7, 0.975), (0.26, 0.975), (0.16, 0.93)], size)
    result = forms.laid(result, forms.relief(hull, colour, 0.03))
    return forms.laid(result, forms.relief(forms.outline([(0.05, 0.775), (0.95, 0.775), (0.935, 0.81), (0.075, 0.81)], size), WHITE, 0.005))


def balloon(colour: Colour, rng: Random) -> Image.Image:
    """A hot-air balloon with gores in two colours."""
    size = (460, 620)
    envelope = forms.turned(
        [(0.02, 0.2), (0.06, 0.5), (0.14, 0.78), (0.26, 0.96), (0.36, 1.0), (0.47, 0.92), (0.58, 0.68), (0.68, 0.4), (0.72, 0.26)],
        colour,
        size,
        0.4,
        0.1,
        smooth=True,
    )
    second = paint.mix(colour, WHITE, 0.6)
    stripes = forms.blank(size)
    for inner, outer in ((-0.62, -0.3), (0.0, 0.3), (0.62, 0.9)):
        left, right = _gore(inner), _gore(outer)
        strip = forms.relief(forms.outline([*left, *reversed(right)], size), second, 0.01)
        stripes = forms.laid(stripes, strip)
    lights = envelope.convert("L").resize(size)
    toned = ImageChops.multiply(stripes.convert("RGB"), paint.colourised(paint.levels(lights, 0.0, 0.5), (110, 110, 120), WHITE))
    toned.putalpha(ImageChops.multiply(stripes.getchannel("A"), envelope.getchannel("A")))
    result = forms.laid(envelope, toned)
    for x in (0.4, 0.6):
        result = forms.laid(result, forms.relief(forms.stroke([(x, 0.72), (0.5 + (x - 0.5) * 0.6, 0.88)], 0.006, size), DARK, 0.001))
    return forms.laid(result, forms.relief(forms.outline([(0.42, 0.87), (0.58, 0.87), (0.56, 0.98), (0.44, 0.98)], size), (156, 110, 66), 0.01))


def _gore(share: float) -> list[Point]:
    """The seam of a balloon's envelope that runs at a share of its half width."""
    places = [0.02 + 0.7 * step / 16 for step in range(17)]
    return [(0.5 + share * 0.5 * math.sqrt(max(0.0, 1 - ((at - 0.36) / 0.37) ** 2)), at) for at in places]


def rocket(colour: Colour, rng: Random) -> Image.Image:
    """A rocket on its fins."""
    size = (360, 620)
    result = forms.blank(size)
    for points in ([(0.3, 0.66), (0.05, 0.86), (0.06, 0.97), (0.32, 0.88)], [(0.7, 0.66), (0.95, 0.86), (0.94, 0.97), (0.68, 0.88)]):
        result = forms.laid(result, forms.relief(forms.outline(points, size), colour, 0.02))
    body = [(0.03, 0.02), (0.1, 0.24), (0.2, 0.4), (0.34, 0.5), (0.5, 0.52), (0.7, 0.48), (0.86, 0.38), (0.9, 0.36)]
    result = forms.laid(result, forms.turned(body, (238, 238, 242), size, 0.5, 0.12, smooth=True))
    nose = forms.turned([(0.03, 0.02), (0.1, 0.24), (0.2, 0.4)], colour, size, 0.5, 0.1, smooth=True)
    result = forms.laid(result, nose)
    for radius, tone in ((0.13, colour), (0.095, GLASS)):
        port = forms.oval((0.5 - radius, 0.4 - radius * 0.58, 0.5 + radius, 0.4 + radius * 0.58), size)
        result = forms.laid(result, forms.relief(port, tone, 0.015))
    return result


def house(colour: Colour, rng: Random) -> Image.Image:
    """A small house in three-quarter view, with a lit window."""
    size = (560, 480)
    roof: Colour = (150, 76, 58)
    front, side = [(0.08, 0.46), (0.3, 0.16), (0.52, 0.46), (0.52, 0.95), (0.08, 0.9)], [(0.52, 0.46), (0.93, 0.42), (0.93, 0.86), (0.52, 0.95)]
    result = forms.relief(forms.outline([(0.74, 0.08), (0.81, 0.075), (0.81, 0.26), (0.74, 0.27)], size), (166, 104, 84), 0.005)
    for points, tone in ((front, colour), (side, paint.scaled(colour, 0.7))):
        result = forms.laid(result, forms.relief(forms.outline(points, size), tone, 0.008))
    result = forms.laid(result, forms.relief(forms.outline([(0.3, 0.1), (0.76, 0.12), (0.98, 0.44), (0.52, 0.49)], size), roof, 0.01))
    eave = forms.stroke([(0.045, 0.5), (0.3, 0.13), (0.54, 0.48)], 0.026, size)
    result = forms.laid(result, forms.relief(eave, paint.scaled(roof, 0.75), 0.006))
    result = forms.laid(result, forms.relief(forms.outline([(0.25, 0.62), (0.37, 0.62), (0.37, 0.93), (0.25, 0.917)], size), (92, 62, 46), 0.006))
    for points in (
        [(0.12, 0.6), (0.2, 0.6), (0.2, 0.73), (0.12, 0.73)],
        [(0.6, 0.57), (0.7, 0.56), (0.7, 0.71), (0.6, 0.73)],
        [(0.77, 0.55), (0.87, 0.54), (0.87, 0.685), (0.77, 0.7)],
    ):
        result = forms.laid(result, forms.relief(forms.outline(points, size), (255, 222, 150), 0.006))
    return result


def robot(colour: Colour, rng: Random) -> Image.Image:
    """A friendly robot."""
    size = (440, 580)
    metal: Colour = (188, 194, 204)
    result = forms.relief(forms.stroke([(0.5, 0.14), (0.5, 0.04)], 0.014, size), metal, 0.003)
    result = forms.laid(result, forms.relief(forms.oval((0.465, 0.01, 0.535, 0.062), size), (240, 120, 90), 0.01))
    for x in (0.38, 0.62):
        result = forms.laid(result, forms.relief(forms.stroke([(x, 0.78), (x, 0.94)], 0.08, size), metal, 0.012))
        result = forms.laid(result, forms.relief(forms.oval((x - 0.1, 0.91, x + 0.08, 0.985), size), paint.scaled(colour, 0.8), 0.015))
    for way in (-1, 1):
        arm = [(0.5 + way * 0.28, 0.5), (0.5 + way * 0.4, 0.62), (0.5 + way * 0.36, 0.74)]
        result = forms.laid(result, forms.relief(forms.stroke(arm, 0.06, size), metal, 0.01))
    body = forms.outline(
        [(0.26, 0.46), (0.5, 0.43), (0.74, 0.46), (0.76, 0.64), (0.7, 0.8), (0.5, 0.83), (0.3, 0.8), (0.24, 0.64)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(body, colour, 0.045))
    head = forms.outline(
        [(0.2, 0.16), (0.5, 0.12), (0.8, 0.16), (0.83, 0.28), (0.78, 0.41), (0.5, 0.44), (0.22, 0.41), (0.17, 0.28)], size, smooth=True
    )
    result = forms.laid(result, forms.relief(head, paint.mix(colour, WHITE, 0.3), 0.04))
    face = forms.outline([(0.28, 0.21), (0.5, 0.19), (0.72, 0.21), (0.73, 0.33), (0.5, 0.365), (0.27, 0.33)], size, smooth=True)
    result = forms.laid(result, forms.relief(face, (34, 40, 54), 0.015))
    for x in (0.39, 0.61):
        result = forms.laid(result, forms.relief(forms.oval((x - 0.045, 0.235, x + 0.045, 0.305), size), (120, 236, 232), 0.01))
    return forms.laid(result, forms.relief(forms.oval((0.44, 0.55, 0.56, 0.64), size), (250, 214, 130), 0.012))
