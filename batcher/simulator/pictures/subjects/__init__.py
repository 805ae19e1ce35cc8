"""Subjects drawn from nouns."""

from __future__ import annotations

from PIL import Image

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.stage import Brief


def drawn_subject(noun: str | None, colour: Colour | None, brief: Brief) -> Image.Image:
    """A subject on transparent ground."""
    side = 480
    image = paint.colourised(paint.radial((side, side), 1.0), paint.BLACK, colour or (200, 120, 90))
    image.putalpha(paint.levels(paint.radial((side, side), 1.0), 0.0, 0.02))
    return image
