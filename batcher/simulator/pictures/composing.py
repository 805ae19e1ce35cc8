"""Puts a cut-out subject on a stage: size and place, shadow and reflection, and the light of the scene on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.matting import Cutout
from batcher.simulator.pictures.paint import WHITE, Size
from batcher.simulator.pictures.stage import Stage

STRIP_PX = 6


@dataclass(frozen=True, slots=True)
class _Placed:
    """A subject at its final size; `left` and `base` are where its lower left corner stands in the picture."""

    image: Image.Image
    left: int
    base: int

    @property
    def top(self) -> int:
        """The row of its upper edge."""
        return self.base - self.image.height


def compose(stage: Stage, subjects: Sequence[Cutout]) -> Image.Image:
    """The picture of the subjects standing on the stage, side by side."""
    picture = stage.backdrop.copy()
    for place in _places(stage, subjects):
        if place[1].clean:
            _put(picture, stage, place[0])
        else:
            _float(picture, stage, place[0])
    if stage.foreground is not None:
        picture.paste(stage.foreground, (0, 0), stage.foreground)
    return picture


def _places(stage: Stage, subjects: Sequence[Cutout]) -> list[tuple[_Placed, Cutout]]:
    width, height = stage.backdrop.size
    count = max(1, len(subjects))
    room = width * (0.74 if count == 1 else 0.9) / count
    result = []
    for index, subject in enumerate(subjects):
        scale = _scale(subject.image.size, (room, height * (stage.height + 0.06)), math.sqrt(width * height) * (stage.height - 0.04))
        size = (max(2, round(subject.image.width * scale)), max(2, round(subject.image.height * scale)))
        image = subject.image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).convert("RGBA")
        centre = width * stage.x + (index - (count - 1) / 2) * room
        result.append((_Placed(image, round(centre - size[0] / 2), round(height * (stage.ground + 0.01 * (index % 2)))), subject))
    return result


def _scale(size: Size, room: tuple[float, float], area_side: float) -> float:
    """How much to enlarge a subject: it fits the room, and neither slim nor broad things look lost or huge."""
    return min(room[0] / size[0], room[1] / size[1], area_side / math.sqrt(size[0] * size[1]))


def _put(picture: Image.Image, stage: Stage, placed: _Placed) -> None:
    if stage.gloss > 0:
        _reflect(picture, stage, placed)
    _cast(picture, stage, placed)
    lit = _lit(placed.image, stage)
    picture.paste(lit, (placed.left, placed.top), lit)


def _float(picture: Image.Image, stage: Stage, placed: _Placed) -> None:
    """A subject that could not be cut out stands as a soft-edged picture in the middle, with a pool of shade below."""
    lit = paint.tinted(placed.image.convert("RGB"), stage.ambient, 0.12)
    lit.putalpha(placed.image.getchannel("A"))
    top = round((picture.height - lit.height) / 2)
    paint.shade(picture, (placed.left + lit.width / 2, top + lit.height / 2), (lit.width * 0.62, lit.height * 0.62), stage.shadow_colour, 0.5, 0.8)
    picture.paste(lit, (placed.left, top), lit)


def _lit(subject: Image.Image, stage: Stage) -> Image.Image:
    """The subject in the light of the scene: exposure, tint, a bright and a dark side, a rim of light, a shaded foot."""
    alpha = subject.getchannel("A")
    width, height = subject.size
    colour = paint.tinted(subject.convert("RGB"), paint.scaled(paint.mix(WHITE, stage.ambient, 0.55), stage.exposure), 0.62)
    if stage.light_x:
        bright, dim = paint.mix(WHITE, stage.light, 0.5), paint.mix(WHITE, stage.ambient, 0.6)
        near, far = (bright, paint.scaled(dim, 0.84)) if stage.light_x < 0 else (paint.scaled(dim, 0.84), bright)
        sides = paint.horizontal((width, height), [(0.0, near), (1.0, far)])
        colour = Image.blend(colour, ImageChops.multiply(colour, sides), min(1.0, abs(stage.light_x) + 0.2))
        spot = paint.radial((width * 2, height * 2), 1.3)
        left = 0 if stage.light_x > 0 else width
        side = spot.crop((round(left - 0.4 * width * (1 if stage.light_x > 0 else -1)) % (2 * width) if False else (0 if stage.light_x > 0 else width), height // 3, (width if stage.light_x > 0 else 2 * width), height // 3 + height))
        colour = Image.composite(ImageChops.screen(colour, Image.new("RGB", subject.size, paint.scaled(stage.light, 0.3))), colour, paint.strength(side, 0.5 * abs(stage.light_x)))
    foot = paint.fade(subject.size, [(0.0, 0.0), (0.72, 0.0), (1.0, 0.34 * stage.shadow)])
    colour = paint.over(colour, stage.shadow_colour, foot)
    if stage.rim > 0:
        step = max(1, round(min(subject.size) * 0.012))
        shift = step if stage.light_x < 0 else -step
        edge = ImageChops.subtract(alpha, _shifted(alpha, shift if stage.light_x else 0, step))
        edge = ImageChops.multiply(paint.blur(edge, step * 0.7), alpha)
        colour = ImageChops.screen(colour, paint.colourised(paint.strength(edge, 0.8 * stage.rim), paint.BLACK, stage.light))
    colour.putalpha(alpha)
    return colour


def _shifted(mask: Image.Image, across: int, down: int) -> Image.Image:
    result = Image.new("L", mask.size, 0)
    result.paste(mask, (across, down))
    return result


def _cast(picture: Image.Image, stage: Stage, placed: _Placed) -> None:
    """Three shadows, largest first: thrown by the light, pooled round the foot, and the dark line of contact."""
    alpha = placed.image.getchannel("A")
    width, height = alpha.size
    margin = round(max(width, height) * 0.6)
    size = (width + 2 * margin, round(height * 0.5) + margin)
    ground = size[1] - margin + round(height * 0.02)
    unit = math.sqrt(width * height)
    shadow = Image.new("L", size, 0)
    tall = max(4, round(height * 0.2))
    thrown = alpha.resize((width, tall), Image.Resampling.BOX)
    lean = -stage.light_x * 1.5
    slanted = Image.new("L", size, 0)
    slanted.paste(thrown, (margin, ground - tall))
    slanted = slanted.transform(size, Image.Transform.AFFINE, (1, lean, -lean * ground, 0, 1, 0), Image.Resampling.BILINEAR)
    fading = paint.fade(size, [(max(0.0, (ground - tall) / size[1]), 0.1), (ground / size[1], 1.0), (1.0, 1.0)])
    slanted = ImageChops.multiply(paint.blur(slanted, unit * 0.035), fading)
    shadow = ImageChops.lighter(shadow, paint.strength(slanted, 0.5))
    pool = Image.new("L", size, 0)
    foot = _foot(alpha)
    flat = max(3, round(foot.width * 0.16))
    pool.paste(foot.resize((width, flat)), (margin, ground - round(flat * 0.8)))
    shadow = _joined(shadow, paint.strength(paint.blur(pool, (unit * 0.05, unit * 0.022)), 0.85))
    contact = Image.new("L", size, 0)
    low = alpha.crop((0, round(height * 0.72), width, height))
    low = ImageChops.multiply(low, paint.fade(low.size, [(0.0, 0.0), (0.3, 0.0), (0.8, 1.0), (1.0, 1.0)]))
    contact.paste(low, (margin, ground - round(height * 0.02) - low.height + max(1, round(unit * 0.01))))
    shadow = _joined(shadow, paint.strength(paint.blur(contact, unit * 0.014), 0.9))
    mask = paint.strength(shadow, stage.shadow + 0.2)
    picture.paste(stage.shadow_colour, (placed.left - margin, placed.base - ground + round(height * 0.02)), mask)


def _foot(alpha: Image.Image) -> Image.Image:
    """How much of each column of the subject is close to the ground, as one row."""
    width, height = alpha.size
    low = alpha.crop((0, round(height * 0.8), width, height))
    low = ImageChops.multiply(low, paint.fade(low.size, [(0.0, 0.0), (1.0, 1.0)]))
    return paint.curve(low.resize((width, 1), Image.Resampling.BOX), lambda value: min(1.0, value * 4))


def _joined(first: Image.Image, second: Image.Image) -> Image.Image:
    """Two shadows laid over each other."""
    return ImageChops.invert(ImageChops.multiply(ImageChops.invert(first), ImageChops.invert(second)))


def _reflect(picture: Image.Image, stage: Stage, placed: _Placed) -> None:
    """The subject's mirror image in glossy ground: each strip is flipped at its own foot, so that oblique sides meet it."""
    subject = placed.image
    width, height = subject.size
    solid = subject.getchannel("A").point([255 * (level > 100) for level in range(256)])
    mirror = Image.new("RGBA", (width, height + STRIP_PX), (0, 0, 0, 0))
    for left in range(0, width, STRIP_PX):
        right = min(width, left + STRIP_PX)
        box = solid.crop((left, 0, right, height)).getbbox()
        if box is None:
            continue
        rise = height - box[3]
        # What hangs high above the ground, such as a handle, is mirrored about the ground and not about its own edge.
        shift = -rise if rise < height * 0.16 else 0
        mirror.paste(subject.crop((left, 0, right, height)).transpose(Image.Transpose.FLIP_TOP_BOTTOM), (left, shift * 2))
    colour = paint.blur(paint.tinted(mirror.convert("RGB"), stage.ambient, 0.5), (width * 0.004, height * 0.012))
    alpha = paint.blur(mirror.getchannel("A"), (width * 0.004, height * 0.008))
    alpha = ImageChops.multiply(alpha, paint.fade(alpha.size, [(0.0, 1.0), (0.5, 0.3), (0.8, 0.0)]))
    picture.paste(colour, (placed.left, placed.base - 1), paint.strength(alpha, stage.gloss))
