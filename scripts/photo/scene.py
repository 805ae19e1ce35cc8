"""What stands in front of the camera: parts, materials, softboxes; and the arithmetic of directions and colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from photo.solids import Array, Field

Colour: TypeAlias = tuple[float, float, float]
Paint: TypeAlias = Callable[[Array, Array], Array]
"""Points and normals of shape (3, n) to linear colours of shape (3, n)."""


@dataclass(frozen=True)
class Material:
    """How a surface answers to light. Colours are linear; `glass` is what a unit of length lets through."""

    paint: Colour | Paint = (0.5, 0.5, 0.5)
    rough: float = 0.4
    f0: float = 0.04
    metal: float = 0.0
    sheen: float = 0.0
    bump: Field | None = None
    bump_height: float = 0.0
    glass: Paint | None = None
    glow: float = 0.0


@dataclass(frozen=True)
class Part:
    solid: Field
    material: Material


@dataclass(frozen=True)
class Camera:
    """Looks at `target` from `distance`, raised by `pitch` degrees; `fov` is the vertical angle of view in degrees."""

    target: tuple[float, float, float]
    distance: float = 6.5
    pitch: float = 14.0
    yaw: float = 0.0
    fov: float = 24.0


@dataclass(frozen=True)
class Scene:
    """Parts that stand on the floor y = 0, and where they are seen from. `reach` is a ball (x, y, z, radius) that holds them all."""

    parts: Sequence[Part]
    camera: Camera
    reach: tuple[float, float, float, float]
    backdrop: Colour = (0.80, 0.80, 0.81)
    exposure: float = 1.0


@dataclass(frozen=True)
class Softbox:
    """A lit rectangle at infinity: the direction of its middle (azimuth from the camera's right, elevation), half sizes as tangents."""

    azimuth: float
    elevation: float
    half_width: float
    half_height: float
    colour: Colour
    strength: float


KEY = Softbox(148, 42, 0.55, 0.85, (1.0, 0.97, 0.93), 5.2)
FILL = Softbox(8, 24, 0.30, 1.1, (0.92, 0.96, 1.0), 2.6)
TOP = Softbox(95, 78, 0.9, 0.5, (1.0, 1.0, 1.0), 3.0)
RIM = Softbox(-62, 38, 0.28, 0.8, (1.0, 0.98, 0.95), 4.2)
SOFTBOXES = (KEY, FILL, TOP, RIM)


def dot(a: Array, b: Array) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(a: Array) -> Array:
    return a / np.maximum(np.sqrt(dot(a, a)), 1e-9)


def column(values: Sequence[float]) -> Array:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def mix(a: Array, b: Array, t: Array) -> Array:
    return np.asarray(a * (1 - t) + b * t, dtype=np.float32)


def reflect(d: Array, n: Array) -> Array:
    return d - 2 * dot(d, n) * n


def smooth_fraction(f: Array) -> Array:
    return f * f * (3 - 2 * f) * np.float32(0.3) + f * np.float32(0.7)


def refract(d: Array, n: Array, eta: float) -> Array:
    """The refracted direction; zero where the light cannot leave. n points against d."""
    cosine = -dot(d, n)
    k = 1 - eta * eta * (1 - cosine * cosine)
    bent = d * np.float32(eta) + n * (np.float32(eta) * cosine - np.sqrt(np.maximum(k, 0)))
    return np.asarray(np.where(k < 0, 0, bent), dtype=np.float32)
