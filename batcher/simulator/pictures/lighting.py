"""The light of a scene on a subject, and what the subject does to the ground: shadows and a mirror image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import BLACK, WHITE, Size
from batcher.simulator.pictures.stage import Stage

STRIP_PX = 6
STEEPEST = 1.1
SEED_RISE = 0.14

Footing: TypeAlias = Sequence[float | None]
"""Where a subject meets the ground: for each strip of its width, how high its lower edge is over the lowest one; None where it hangs."""


def footing(alpha: Image.Image) -> Footing:
    """Find the line along which a subject stands: from its low points outward, as long as its lower edge climbs gently."""
    width, height = alpha.size
    solid = alpha.point([255 * (level > 110) for level in range(256)])
    rises: list[float | None] = []
    for left in range(0, width, STRIP_PX):
        box = solid.crop((left, 0, min(width, left + STRIP_PX), height)).getbbox()
        rises.append(None if box is None else float(height - box[3]))
    standing: list[float | None] = [None] * len(rises)
    for start, rise in enumerate(rises):
        if rise is None or rise > SEED_RISE * height or standing[start] is not None:
            continue
        for way in (-1, 1):
            last, index = rise, start
            while 0 <= index < len(rises):
                here = rises[index]
                if here is None or abs(here - last) > STEEPEST * STRIP_PX:
                    break
                standing[index] = last = here
                index += way
    return standing


def lit(subject: Image.Image, behind: Image.Image, stage: Stage) -> Image.Image:
    """The subject in the light of the scene: exposure, tint, a bright and a dim side, light that wraps its edges, a shaded foot."""
    alpha = subject.getchannel("A")
    colour = paint.tinted(subject.convert("RGB"), paint.scaled(stage.ambient, 1.1), 0.3)
    # A soft shoulder keeps highlights from burning out where the exposure is raised.
    gain = stage.exposure * 1.1
    colour = colour.point([round(255 * (1 - (1 - level / 255) ** gain) * min(1.0, stage.exposure + 0.06)) for level in range(256)] * 3)
    if stage.light_x:
        bright, dim = paint.mix(WHITE, stage.light, 0.4), paint.scaled(paint.mix(WHITE, stage.ambient, 0.4), 0.86)
        sides = paint.horizontal(subject.size, [(0.0, bright), (0.3, bright), (1.0, dim)])
        warm = paint.horizontal(subject.size, [(0.0, paint.scaled(stage.light, 0.26)), (0.45, BLACK), (1.0, BLACK)])
        if stage.light_x > 0:
            sides, warm = sides.transpose(Image.Transpose.FLIP_LEFT_RIGHT), warm.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        share = min(1.0, abs(stage.light_x) + 0.15)
        colour = Image.blend(colour, ImageChops.multiply(colour, sides), share)
        # Light brings out what is bright already: added in proportion to the picture, it keeps its contrast.
        colour = ImageChops.add(colour, ImageChops.multiply(colour, paint.add(warm, warm)), 1.0 / max(0.4, share))
    foot = paint.fade(subject.size, [(0.0, 0.0), (0.7, 0.0), (1.0, 0.4 * stage.shadow)])
    colour = paint.over(colour, stage.shadow_colour, foot)
    colour = _wrapped(colour, alpha, behind)
    if stage.rim > 0:
        colour = _rimmed(colour, alpha, stage)
    colour.putalpha(alpha)
    return colour


def _wrapped(colour: Image.Image, alpha: Image.Image, behind: Image.Image) -> Image.Image:
    """Light of the background that spills over the subject's edges."""
    radius = math.sqrt(alpha.width * alpha.height) * 0.013
    inner = ImageChops.multiply(alpha, ImageChops.invert(paint.blur(alpha, radius)))
    spill = paint.blur(behind, radius * 1.4)
    return ImageChops.screen(colour, ImageChops.multiply(spill, Image.merge("RGB", [paint.strength(inner, 0.45)] * 3)))


def _rimmed(colour: Image.Image, alpha: Image.Image, stage: Stage) -> Image.Image:
    """A thin edge of light on top and on the side of the lamp."""
    step = max(1, round(math.sqrt(alpha.width * alpha.height) * 0.009))
    across = 0 if not stage.light_x else step if stage.light_x < 0 else -step
    moved = Image.new("L", alpha.size, 0)
    moved.paste(alpha, (across, step))
    edge = ImageChops.multiply(paint.blur(ImageChops.subtract(alpha, moved), step * 0.6), alpha)
    return ImageChops.screen(colour, paint.colourised(paint.strength(edge, 0.65 * stage.rim), BLACK, stage.light))


def cast(picture: Image.Image, stage: Stage, subject: Image.Image, foot: Footing, corner: tuple[int, int]) -> None:
    """Lay the subject's shadows on the picture: one thrown by the light, one pooled under it, and the dark line of contact."""
    alpha = subject.getchannel("A")
    width, height = alpha.size
    unit = math.sqrt(width * height)
    margin = round(unit * 0.6)
    size = (width + 2 * margin, round(height * 0.75) + margin)
    ground = size[1] - margin
    shadow = paint.strength(_thrown(alpha, size, margin, ground, stage.light_x), 0.5)
    for below, above, radius, amount in ((0.05, 0.055, 0.05, 0.75), (0.014, 0.04, 0.016, 0.9), (0.004, 0.02, 0.005, 0.75)):
        band = _band(foot, size, margin, ground, below * unit, above * unit)
        shadow = _joined(shadow, paint.strength(paint.blur(band, radius * unit), amount))
    mask = paint.strength(shadow, min(1.0, stage.shadow + 0.25))
    picture.paste(stage.shadow_colour, (corner[0] - margin, corner[1] - ground), mask)


def _thrown(alpha: Image.Image, size: Size, margin: int, ground: int, light_x: float) -> Image.Image:
    """The silhouette laid on the ground, away from the light, softer the farther it falls."""
    width, height = alpha.size
    tall = max(4, round(height * 0.2))
    flat = Image.new("L", size, 0)
    flat.paste(alpha.resize((width, tall), Image.Resampling.BOX), (margin, ground - tall))
    lean = -light_x * 1.6
    slanted = flat.transform(size, Image.Transform.AFFINE, (1, lean, -lean * ground, 0, 1, 0), Image.Resampling.BILINEAR)
    fading = paint.fade(size, [(max(0.0, (ground - tall) / size[1]), 0.15), (ground / size[1], 1.0), (1.0, 1.0)])
    return ImageChops.multiply(paint.blur(slanted, math.sqrt(width * height) * 0.04), fading)


def _band(foot: Footing, size: Size, margin: int, ground: int, below: float, above: float) -> Image.Image:
    """A band along the line of contact, from so much below to so much above it; one piece for each part that stands."""
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    run: list[tuple[float, float]] = []
    for index, rise in enumerate([*foot, None]):
        if rise is not None:
            run.append((margin + (index + 0.5) * STRIP_PX, ground - rise))
            continue
        if len(run) > 1:
            draw.polygon([*((x, y + below) for x, y in run), *((x, y - above) for x, y in reversed(run))], fill=255)
        elif run:
            x, y = run[0]
            draw.rectangle((x - STRIP_PX / 2, y - above, x + STRIP_PX / 2, y + below), fill=255)
        run = []
    return mask


def _joined(first: Image.Image, second: Image.Image) -> Image.Image:
    """Two shadows laid over each other."""
    return ImageChops.invert(ImageChops.multiply(ImageChops.invert(first), ImageChops.invert(second)))


def reflect(picture: Image.Image, stage: Stage, subject: Image.Image, foot: Footing, corner: tuple[int, int]) -> None:
    """Lay the subject's mirror image on glossy ground: each strip is flipped where it stands, what hangs at the nearest such place."""
    width, height = subject.size
    standing = [(index, rise) for index, rise in enumerate(foot) if rise is not None]
    if not standing:
        return
    deepest = round(max(rise for _, rise in standing))
    mirror = Image.new("RGBA", (width, height + 2 * deepest), (0, 0, 0, 0))
    flipped = subject.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for index in range(len(foot)):
        rise = foot[index]
        if rise is None:
            rise = min(standing, key=lambda place: abs(place[0] - index))[1]
        left, right = index * STRIP_PX, min(width, (index + 1) * STRIP_PX)
        # A flip about the lower edge of the picture puts the image of a raised foot too low, by twice its rise.
        mirror.paste(flipped.crop((left, 0, right, height)), (left, 2 * (deepest - round(rise))))
    colour = paint.blur(paint.tinted(mirror.convert("RGB"), stage.ambient, 0.4), (width * 0.006, height * 0.014))
    alpha = paint.blur(mirror.getchannel("A"), (width * 0.01, height * 0.012))
    start = 2 * deepest / mirror.height
    alpha = ImageChops.multiply(alpha, paint.fade(alpha.size, [(0.0, 1.0), (start, 1.0), (start + 0.14, 0.5), (min(1.0, start + 0.5), 0.0)]))
    picture.paste(colour, (corner[0], corner[1] - 2 * deepest - 1), paint.strength(alpha, stage.gloss))
