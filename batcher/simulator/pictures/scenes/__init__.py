"""Painted places, one family a file; `SCENES` tells which function paints which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from batcher.simulator.pictures.scenes import abstract, dunes, garden, heavens, highland, rooms, shore, street, studio, woods
from batcher.simulator.pictures.stage import Brief, Stage

SCENES: Mapping[str, Callable[[Brief], Stage]] = MappingProxyType(
    {
        "street": street.paint_street,
        "beach": shore.paint_beach,
        "kitchen": rooms.paint_kitchen,
        "studio": studio.paint_studio,
        "forest": woods.paint_forest,
        "mountains": highland.paint_mountains,
        "desert": dunes.paint_desert,
        "living room": rooms.paint_living_room,
        "desk": rooms.paint_desk,
        "garden": garden.paint_garden,
        "bathroom": rooms.paint_bathroom,
        "space": heavens.paint_space,
        "aurora": heavens.paint_aurora,
        "café": rooms.paint_cafe,
    }
)
"""The painter of each scene that a prompt can name."""


def paint_scene(name: str | None, brief: Brief) -> Stage:
    """Paint a scene by name; no name gives the abstract one."""
    painter = abstract.paint_abstract if name is None else SCENES[name]
    return painter(brief)
