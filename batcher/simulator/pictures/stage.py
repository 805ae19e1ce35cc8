"""What a scene is asked for and what it gives: the brief of a picture, and the stage on which the subject is put."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias

from PIL import Image

from batcher.simulator.pictures.paint import WHITE, Colour, Size

Hour: TypeAlias = Literal["day", "golden", "dusk", "night"]


@dataclass(frozen=True, slots=True)
class Mood:
    """What the words of a prompt say about time, weather and palette.

    `hour` is None where the prompt does not say. `colours` are in the order of the prompt. `warmth` runs from -1 (cool) to 1 (warm), `softness`
    from -1 (vivid) to 1 (pastel), `brightness` from -1 (dark, moody) to 1 (bright, airy).
    """

    hour: Hour | None = None
    rain: bool = False
    snow: bool = False
    fog: bool = False
    colours: tuple[Colour, ...] = ()
    warmth: float = 0.0
    softness: float = 0.0
    brightness: float = 0.0


@dataclass(frozen=True, slots=True)
class Brief:
    """What a scene is to paint: size in pixels, mood, the words of the prompt, and a seed that moves its composition."""

    size: Size
    seed: str
    mood: Mood = field(default_factory=Mood)
    words: frozenset[str] = frozenset()

    def rng(self, purpose: str) -> Random:
        """A random source of its own for each purpose, so that changing one part of a picture does not move another."""
        return Random(f"{self.seed}/{purpose}")

    def says(self, *words: str) -> bool:
        """Whether the prompt holds any of the words."""
        return not self.words.isdisjoint(words)


@dataclass(frozen=True, slots=True)
class Stage:
    """A painted background and how a subject is lit on it; lengths are shares of the picture's height, `x` of its width.

    `ground` is where the subject stands. `light` falls from `light_x` (-1 from the left, 1 from the right, 0 from the front). `ambient` colours the
    subject's shadows. `gloss` is how much of the subject the ground mirrors.
    """

    backdrop: Image.Image
    ground: float = 0.86
    x: float = 0.5
    height: float = 0.56
    light: Colour = WHITE
    ambient: Colour = WHITE
    light_x: float = 0.0
    exposure: float = 1.0
    rim: float = 0.35
    shadow: float = 0.6
    shadow_colour: Colour = (12, 12, 18)
    gloss: float = 0.0
    foreground: Image.Image | None = None
    obeys_colours: bool = False
    hour: Hour = "day"
