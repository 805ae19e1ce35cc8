"""Forms that drawn subjects are made of: turned bodies, balls, and flat outlines that light makes round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import BLACK, WHITE, Colour, Point, Size

SIDE_PX = 560
SCALE = 2


def blank(size: Size = (SIDE_PX, SIDE_PX)) -> Image.Image:
    """Transparent ground."""
    return Image.new("RGBA", size, (0, 0, 0, 0))


def laid(base: Image.Image, top: Image.Image, place: tuple[int, int] = (0, 0)) -> Image.Image:
    """One drawing on another; the place may lie outside."""
    layer = blank(base.size)
    layer.paste(top, place)
    return Image.alpha_composite(base, layer)


def outline(points: Sequence[Point], size: Size = (SIDE_PX, SIDE_PX), *, smooth: bool = False) -> Image.Image:
    """The mask of a polygon whose points are shares of the size; `smooth` rounds its corners."""
    if smooth:
        points = _rounded(points)
    mask = Image.new("L", (size[0] * SCALE, size[1] * SCALE), 0)
    ImageDraw.Draw(mask).polygon([(x * mask.width, y * mask.height) for x, y in points], fill=255)
    return mask.reduce(SCALE)


def _rounded(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """A closed Catmull-Rom curve through the points."""
    result: list[Point] = []
    count = len(points)
    for index in range(count):
        before, start, end, after = (points[(index + shift) % count] for shift in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            x, y = (
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
                for a, b, c, d in zip(before, start, end, after, strict=True)
            )
            result.append((x, y))
    return result


def oval(box: tuple[float, float, float, float], size: Size = (SIDE_PX, SIDE_PX)) -> Image.Image:
    """The mask of an ellipse; the box is in shares of the size."""
    mask = Image.new("L", (size[0] * SCALE, size[1] * SCALE), 0)
    ImageDraw.Draw(mask).ellipse((box[0] * mask.width, box[1] * mask.height, box[2] * mask.width, box[3] * mask.height), fill=255)
    return mask.reduce(SCALE)


def stroke(points: Sequence[Point], width: float, size: Size = (SIDE_PX, SIDE_PX), *, closed: bool = False) -> Image.Image:
    """The mask of a thick line with round joints; points and width are shares of the size."""
    mask = Image.new("L", (size[0] * SCALE, size[1] * SCALE), 0)
    draw = ImageDraw.Draw(mask)
    thick = width * mask.width
    places = [(x * mask.width, y * mask.height) for x, y in points]
    draw.line([*places, places[0]] if closed else places, fill=255, width=max(1, round(thick)))
    for x, y in places:
        draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
    return mask.reduce(SCALE)


def relief(mask: Image.Image, colour: Colour, depth: float = 0.05, texture: Image.Image | None = None) -> Image.Image:
    """A flat shape made round: lit from the upper left, shaded towards the lower right; `depth` is a share of its size."""
    radius = max(1.5, depth * math.sqrt(mask.width * mask.height))
    soft = paint.blur(mask, radius)
    step = max(1, round(radius * 0.9))
    light = ImageChops.subtract(soft, ImageChops.offset(soft, step, step))
    dark = ImageChops.subtract(soft, ImageChops.offset(soft, -step, -step))
    body = texture if texture is not None else paint.vertical(mask.size, [(0.0, paint.mix(colour, WHITE, 0.12)), (1.0, paint.scaled(colour, 0.78))])
    body = paint.over(body, paint.scaled(colour, 0.32), paint.strength(dark, 1.9))
    body = ImageChops.screen(body, paint.colourised(paint.strength(light, 1.5), BLACK, paint.mix(colour, WHITE, 0.55)))
    body.putalpha(mask)
    return body


def ball(colour: Colour, diameter: int, gloss: float = 0.8) -> Image.Image:
    """A sphere lit from the upper left, with a highlight and light from below."""
    size = (diameter, diameter)
    wide = paint.radial((diameter * 2, diameter * 2), 1.0)
    body = paint.colourised(
        wide.crop((round(diameter * 0.66), round(diameter * 0.7), round(diameter * 1.66), round(diameter * 1.7))),
        paint.scaled(colour, 0.12),
        paint.mix(colour, WHITE, 0.25),
        colour,
    )
    paint.glow(body, (diameter * 0.34, diameter * 0.28), diameter * 0.24, paint.scaled(WHITE, gloss), 2.4)
    paint.glow(body, (diameter * 0.6, diameter * 0.98), (diameter * 0.42, diameter * 0.2), paint.scaled(colour, 0.5), 2.0)
    body.putalpha(oval((0, 0, 1, 1), size))
    return body


def turned(profile: Sequence[Point], colour: Colour, size: Size, gloss: float = 0.5, tilt: float = 0.16, *, smooth: bool = False) -> Image.Image:
    """A body turned on a lathe, seen a little from above.

    The profile runs from top to bottom as (height, radius): heights are shares of the drawing's height, radii of half its width. `tilt` is how
    flat circles look: their height by their width. `smooth` rounds the corners of the profile.
    """
    width, height = size
    skin = _skin(colour, gloss)
    body = Image.new("RGB", size, colour)
    mask = Image.new("L", (width * SCALE, height * SCALE), 0)
    draw = ImageDraw.Draw(mask)
    cells = []
    rows = _fine(profile, height) if not smooth else _fine(_flowing(profile), height)
    span = max(1e-6, rows[-1][0] - rows[0][0])
    for (top, upper), (bottom, lower) in pairwise(rows):
        y0, y1 = round(top * height), round(bottom * height)
        if y1 <= y0:
            continue
        half = max(upper, lower) * width / 2 + 1
        v0, v1 = (top - rows[0][0]) / span * skin.height, (bottom - rows[0][0]) / span * skin.height
        box = (max(0, round(width / 2 - half)), y0, min(width, round(width / 2 + half)), y1)
        cells.append((box, (0, v0, 0, v1, skin.width, v1, skin.width, v0)))
    if cells:
        body = skin.transform(size, Image.Transform.MESH, cells, Image.Resampling.BILINEAR)
    left = [((0.5 - radius / 2) * mask.width, at * mask.height) for at, radius in rows]
    right = [((0.5 + radius / 2) * mask.width, at * mask.height) for at, radius in reversed(rows)]
    draw.polygon([*left, *right], fill=255)
    for at, radius in (rows[0], rows[-1]):
        flat = radius * tilt / 2 * mask.width
        draw.ellipse(((0.5 - radius / 2) * mask.width, at * mask.height - flat, (0.5 + radius / 2) * mask.width, at * mask.height + flat), fill=255)
    # The rounded foot lies outside the mesh: it takes the colours of the last row above it.
    foot_y = round(rows[-1][0] * height)
    if 2 < foot_y < height:
        last = body.crop((0, foot_y - 2, width, foot_y - 1)).resize((width, height - foot_y))
        body.paste(paint.tinted(last, (196, 196, 204), 0.8), (0, foot_y - 1))
    head_y = round(rows[0][0] * height)
    if 0 < head_y < height - 2:
        first = body.crop((0, head_y + 1, width, head_y + 2)).resize((width, head_y + 1))
        body.paste(first, (0, 0))
    body.putalpha(mask.reduce(SCALE))
    return body


def _fine(profile: Sequence[Point], height: int) -> list[Point]:
    """The profile with a point for every second pixel row, so that no step shows."""
    rows = [profile[0]]
    for start, end in pairwise(profile):
        steps = max(1, round((end[0] - start[0]) * height / 2))
        rows += [(start[0] + (end[0] - start[0]) * step / steps, start[1] + (end[1] - start[1]) * step / steps) for step in range(1, steps + 1)]
    return rows


def _flowing(profile: Sequence[Point]) -> list[Point]:
    """The profile as a curve through its points, ends kept; heights never turn back."""
    ends = [profile[0], *profile, profile[-1]]
    result: list[Point] = []
    for before, start, end, after in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(6):
            t = step / 6
            radius = 0.5 * (
                2 * start[1]
                + (end[1] - before[1]) * t
                + (2 * before[1] - 5 * start[1] + 4 * end[1] - after[1]) * t * t
                + (3 * start[1] - before[1] - 3 * end[1] + after[1]) * t**3
            )
            result.append((start[0] + (end[0] - start[0]) * t, radius))
    return [*result, profile[-1]]


def _skin(colour: Colour, gloss: float) -> Image.Image:
    """How light runs round a turned body, from its left edge to its right."""
    stops = [
        (0.0, paint.scaled(colour, 0.42)),
        (0.1, paint.scaled(colour, 0.7)),
        (0.3, paint.mix(colour, WHITE, 0.16)),
        (0.5, colour),
        (0.78, paint.scaled(colour, 0.58)),
        (0.93, paint.scaled(colour, 0.4)),
        (1.0, paint.scaled(colour, 0.52)),
    ]
    skin = paint.horizontal((256, 256), stops)
    stripe = paint.horizontal(
        (256, 256),
        [(0.0, BLACK), (0.2, BLACK), (0.235, WHITE), (0.275, WHITE), (0.32, BLACK), (0.86, BLACK), (0.9, (90, 90, 96)), (0.94, BLACK), (1.0, BLACK)],
    )
    stripe = paint.tinted(paint.blur(stripe, 3), BLACK, 1 - gloss)
    fade = paint.fade((256, 256), [(0.0, 0.3), (0.15, 1.0), (0.85, 1.0), (1.0, 0.2)])
    return ImageChops.screen(skin, ImageChops.multiply(stripe, Image.merge("RGB", (fade, fade, fade))))


def disc_top(base: Image.Image, at: float, radius: float, rim: Colour, inside: Colour, tilt: float = 0.16, wall: float = 0.05) -> Image.Image:
    """The open mouth of a turned body: a rim, and what is seen in it."""
    width, height = base.size
    flat = radius * tilt / 2 * width / height
    outer = (0.5 - radius / 2, at - flat, 0.5 + radius / 2, at + flat)
    shrink = radius / 2 * wall
    inner = (outer[0] + shrink, outer[1] + flat * wall * 1.5, outer[2] - shrink, outer[3] - flat * wall * 0.6)
    shown = relief(oval(outer, base.size), rim, 0.006)
    hollow = paint.horizontal(base.size, [(0.5 - radius / 2, paint.scaled(inside, 0.5)), (0.5 + radius / 2, paint.scaled(inside, 1.15))])
    hollow.putalpha(oval(inner, base.size))
    return laid(laid(base, shown), hollow)
