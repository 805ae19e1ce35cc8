"""Puts cut-out subjects on a stage: their size and place."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.lighting import Footing, cast, footing, lit, reflect
from batcher.simulator.pictures.matting import Cutout
from batcher.simulator.pictures.paint import Point, Size
from batcher.simulator.pictures.stage import Stage


def compose(stage: Stage, subjects: Sequence[Cutout]) -> Image.Image:
    """The picture of the subjects standing on the stage, side by side."""
    picture = stage.backdrop.copy()
    for index, subject in enumerate(subjects):
        image = _sized(subject.image, stage, len(subjects))
        left, base = _corner(image.size, stage, index, len(subjects))
        if subject.aloft:
            _fly(picture, stage, image, left)
        elif subject.clean:
            _stand(picture, stage, image, left, base)
        else:
            _float(picture, stage, image, left)
    if stage.foreground is not None:
        picture.paste(stage.foreground, (0, 0), stage.foreground)
    return picture


def _room(stage: Stage, count: int) -> float:
    """The width in pixels that one of several subjects may take."""
    return stage.backdrop.width * (0.72 if count == 1 else 0.88) / max(1, count)


def _sized(image: Image.Image, stage: Stage, count: int) -> Image.Image:
    """A subject at its size in the picture: it fits the room, and neither slim nor broad things look lost or huge."""
    width, height = stage.backdrop.size
    usual_side = math.sqrt(width * height) * (stage.height - 0.05)
    scale = min(_room(stage, count) / image.width, height * (stage.height + 0.07) / image.height, usual_side / math.sqrt(image.width * image.height))
    size = (max(2, round(image.width * scale)), max(2, round(image.height * scale)))
    return image.convert("RGBa").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0).convert("RGBA")


def _corner(size: Size, stage: Stage, index: int, count: int) -> tuple[int, int]:
    """The lower left corner of a subject; deep ones stand a little nearer, so that their middle is where slim ones stand."""
    width, height = stage.backdrop.size
    centre: Point = (width * stage.x + (index - (count - 1) / 2) * _room(stage, count), height * (stage.ground + 0.012 * (index % 2)))
    depth = min(0.03, 0.05 * size[0] / height)
    return round(centre[0] - size[0] / 2), round(centre[1] + (depth - 0.015) * height)


def _stand(picture: Image.Image, stage: Stage, image: Image.Image, left: int, base: int) -> None:
    foot: Footing = footing(image.getchannel("A"))
    if stage.gloss > 0:
        reflect(picture, stage, image, foot, (left, base))
    cast(picture, stage, image, foot, (left, base))
    top = base - image.height
    behind = picture.crop((left, top, left + image.width, base))
    shown = lit(image, behind, stage)
    picture.paste(shown, (left, top), shown)


def _fly(picture: Image.Image, stage: Stage, image: Image.Image, left: int) -> None:
    """A subject in the air, over the horizon and smaller than one that stands near."""
    small = image.resize((max(2, round(image.width * 0.8)), max(2, round(image.height * 0.8))), Image.Resampling.BICUBIC)
    left += (image.width - small.width) // 2
    top = max(0, round(picture.height * 0.42 - small.height / 2))
    shown = lit(small, picture.crop((left, top, left + small.width, top + small.height)), stage)
    picture.paste(shown, (left, top), shown)


def _float(picture: Image.Image, stage: Stage, image: Image.Image, left: int) -> None:
    """A subject that could not be cut out hangs as a soft-edged picture in the middle, with a pool of shade behind."""
    shown = paint.tinted(image.convert("RGB"), stage.ambient, 0.12)
    shown.putalpha(image.getchannel("A"))
    top = round((picture.height - shown.height) / 2)
    paint.shade(picture, (left + shown.width / 2, top + shown.height / 2), (shown.width * 0.62, shown.height * 0.62), stage.shadow_colour, 0.5, 0.8)
    picture.paste(shown, (left, top), shown)
