"""Subjects drawn from nouns, for prompts without an input picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from PIL import Image

from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.stage import Brief
from batcher.simulator.pictures.subjects import creatures, forms, things

PALETTE: tuple[Colour, ...] = ((206, 92, 72), (70, 130, 140), (226, 170, 78), (108, 140, 96), (110, 106, 170), (214, 132, 146), (72, 104, 152))
NATURAL: Mapping[str, tuple[Colour, ...]] = MappingProxyType(
    {
        "cat": ((214, 140, 78), (120, 116, 120), (70, 66, 70), (206, 184, 156)),
        "dog": ((196, 146, 92), (132, 92, 64), (210, 192, 166)),
        "tree": ((98, 148, 72), (120, 158, 80), (84, 132, 84)),
        "fruit": ((202, 50, 44), (150, 180, 66), (216, 96, 52)),
        "house": ((238, 226, 206), (206, 150, 118), (186, 200, 206)),
        "flower": ((240, 120, 140), (250, 196, 84), (176, 130, 220)),
    }
)


AIRBORNE = frozenset({"balloon"})
"""Nouns of things that are seen in the air."""


def _sphere(colour: Colour, rng: Random) -> Image.Image:
    return forms.ball(colour, 460)


def _abstract(colour: Colour, rng: Random) -> Image.Image:
    """Three solids that lean on each other."""
    second, third = rng.choice(PALETTE), rng.choice(PALETTE)
    result = forms.blank((560, 520))
    result = forms.laid(result, forms.turned([(0.1, 0.9), (0.92, 0.9)], second, (190, 420), 0.4), (290, 80))
    result = forms.laid(result, forms.ball(colour, 300), (40, 198))
    return forms.laid(result, forms.ball(third, 130), (330, 372))


SUBJECTS: Mapping[str, Callable[[Colour, Random], Image.Image]] = MappingProxyType(
    {
        "mug": things.mug,
        "bottle": things.bottle,
        "vase": things.vase,
        "lamp": things.lamp,
        "chair": things.chair,
        "box": things.box,
        "book": things.book,
        "car": things.car,
        "boat": things.boat,
        "balloon": things.balloon,
        "rocket": things.rocket,
        "house": things.house,
        "robot": things.robot,
        "cat": creatures.cat,
        "dog": creatures.dog,
        "bird": creatures.bird,
        "fish": creatures.fish,
        "tree": creatures.tree,
        "flower": creatures.flower,
        "fruit": creatures.fruit,
        "person": creatures.person,
        "sphere": _sphere,
    }
)
"""The drawer of each noun that is known."""


def drawn_subject(noun: str | None, colour: Colour | None, brief: Brief) -> Image.Image:
    """A subject on transparent ground, cropped to itself; no noun gives an abstract form."""
    rng = brief.rng(f"subject/{noun}")
    usual = rng.choice(NATURAL.get(noun or "", PALETTE))
    draw = _abstract if noun is None else SUBJECTS[noun]
    image = draw(colour or usual, rng)
    box = image.getchannel("A").point([255 * (level > 16) for level in range(256)]).getbbox()
    return image if box is None else image.crop(box)
