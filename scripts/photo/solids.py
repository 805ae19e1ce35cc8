"""Signed distance functions for `render_samples.py`: solids from profiles and primitives, and ways to combine them.

A field maps points of shape (3, n) to distances of shape (n,): negative inside, lengths in scene units, y pointing up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Field: TypeAlias = Callable[[Array], Array]
Curve: TypeAlias = NDArray[np.float64]
Corner: TypeAlias = tuple[float, float] | tuple[float, float, float]

CELL = 0.003


def _f32(value: object) -> Array:
    return np.asarray(value, dtype=np.float32)


def _length(*parts: Array) -> Array:
    total = parts[0] * parts[0]
    for part in parts[1:]:
        total = total + part * part
    return np.sqrt(total)


# --- primitives -----------------------------------------------------------------------------------------------------------------------------------


def sphere(radius: float) -> Field:
    return lambda p: _length(p[0], p[1], p[2]) - np.float32(radius)


def ellipsoid(rx: float, ry: float, rz: float) -> Field:
    radii = _f32([[rx], [ry], [rz]])

    def field(p: Array) -> Array:
        q = p / radii
        k0 = _length(q[0], q[1], q[2])
        q = q / radii
        k1 = _length(q[0], q[1], q[2])
        return k0 * (k0 - 1) / np.maximum(k1, 1e-6)

    return field


def box(hx: float, hy: float, hz: float, rounding: float = 0.0) -> Field:
    half = _f32([[hx - rounding], [hy - rounding], [hz - rounding]])

    def field(p: Array) -> Array:
        q = np.abs(p) - half
        outside = np.maximum(q, 0)
        return _length(outside[0], outside[1], outside[2]) + np.minimum(np.max(q, axis=0), 0) - np.float32(rounding)

    return field


def cylinder(radius: float, half_height: float, rounding: float = 0.0) -> Field:
    """A cylinder round the y axis."""
    radius, half_height = radius - rounding, half_height - rounding

    def field(p: Array) -> Array:
        return _wedge(_length(p[0], p[2]) - np.float32(radius), np.abs(p[1]) - np.float32(half_height)) - np.float32(rounding)

    return field


def torus(major: float, minor: float) -> Field:
    """A ring round the y axis."""
    return lambda p: _length(_length(p[0], p[2]) - np.float32(major), p[1]) - np.float32(minor)


def capsule(a: Sequence[float], b: Sequence[float], radius: float, end_radius: float | None = None) -> Field:
    """A rod from a to b with round ends; its radius goes linearly to `end_radius`."""
    start, axis = _f32(a).reshape(3, 1), _f32(b).reshape(3, 1) - _f32(a).reshape(3, 1)
    square = float((axis * axis).sum())
    grow = np.float32(0.0 if end_radius is None else end_radius - radius)

    def field(p: Array) -> Array:
        q = p - start
        h = np.clip((q * axis).sum(axis=0) / np.float32(square), 0, 1)
        q = q - axis * h
        return _length(q[0], q[1], q[2]) - (np.float32(radius) + grow * h)

    return field


# --- solids from profiles ---------------------------------------------------------------------------------------------------------------------------


def spline(points: Sequence[Sequence[float]], samples: int = 80) -> Curve:
    """A centripetal-looking smooth curve (Catmull-Rom) through the points."""
    p = np.asarray(points, dtype=np.float64)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, len(p) - 3 - 1e-9, samples)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return np.asarray(0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3))


def corners(points: Sequence[Corner], closed: bool = False, arc: int = 9) -> Curve:
    """A polyline whose corners are rounded by the third number of each point."""
    out: list[NDArray[np.float64]] = []
    count = len(points)
    for i, point in enumerate(points):
        here = np.array(point[:2], dtype=np.float64)
        radius = point[2] if len(point) == 3 else 0.0
        if radius == 0 or (not closed and i in (0, count - 1)):
            out.append(here)
            continue
        back = np.array(points[i - 1][:2], dtype=np.float64) - here
        ahead = np.array(points[(i + 1) % count][:2], dtype=np.float64) - here
        back, ahead = back / np.linalg.norm(back), ahead / np.linalg.norm(ahead)
        half = math.acos(float(np.clip(back @ ahead, -1, 1))) / 2
        reach = radius / math.tan(half)
        middle = here + (back + ahead) / np.linalg.norm(back + ahead) * radius / math.sin(half)
        first, last = here + back * reach - middle, here + ahead * reach - middle
        turn = math.pi - 2 * half
        out.extend(middle + (math.sin((1 - s) * turn) * first + math.sin(s * turn) * last) / math.sin(turn) for s in np.linspace(0, 1, arc))
    return np.array(out)


class _Baked:
    """The signed distance to a plane curve, looked up in a grid. What is inside is told by the even-odd rule; an open curve has no inside.

    With `values`, one for each point of the curve, the value at the nearest point of the curve instead.
    """

    def __init__(self, line: Curve, closed: bool, margin: float = 0.06, values: Curve | None = None) -> None:
        low, high = line.min(axis=0) - margin, line.max(axis=0) + margin
        self.low = low
        self.shape = tuple(int(n) for n in np.ceil((high - low) / CELL) + 1)
        u, v = low[0] + CELL * np.arange(self.shape[0])[:, None], low[1] + CELL * np.arange(self.shape[1])[None, :]
        best, carried = np.full(self.shape, np.inf), np.zeros(self.shape)
        inside = np.zeros(self.shape, dtype=bool)
        for i in range(len(line) if closed else len(line) - 1):
            (ax, ay), (bx, by) = line[i], line[(i + 1) % len(line)]
            if closed and ay != by:
                inside ^= ((ay > v) != (by > v)) & (u < (bx - ax) * (v - ay) / (by - ay) + ax)
            dx, dy = bx - ax, by - ay
            h = np.clip(((u - ax) * dx + (v - ay) * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
            square = (u - ax - h * dx) ** 2 + (v - ay - h * dy) ** 2
            if values is not None:
                carried = np.where(square < best, values[i] * (1 - h) + values[(i + 1) % len(line)] * h, carried)
            best = np.minimum(best, square)
        self.is_distance = values is None
        self.grid = _f32(np.where(inside, -1, 1) * np.sqrt(best) if values is None else carried).ravel()

    def __call__(self, u: Array, v: Array) -> Array:
        x, y = (u - np.float32(self.low[0])) / np.float32(CELL), (v - np.float32(self.low[1])) / np.float32(CELL)
        cx, cy = np.clip(x, 0, self.shape[0] - 1.001), np.clip(y, 0, self.shape[1] - 1.001)
        i, j = cx.astype(np.int32), cy.astype(np.int32)
        fx, fy = cx - i, cy - j
        at = i * self.shape[1] + j
        near = self.grid[at] * (1 - fy) + self.grid[at + 1] * fy
        at += self.shape[1]
        far = self.grid[at] * (1 - fy) + self.grid[at + 1] * fy
        value = near * (1 - fx) + far * fx
        return np.asarray(value + _length(x - cx, y - cy) * np.float32(CELL) if self.is_distance else value)


def lathe(line: Curve) -> Field:
    """The solid that a curve of (radius, height) makes when turned round the y axis. The curve begins and ends on the axis."""
    baked = _Baked(np.vstack([line, line[::-1] * [-1, 1]]), closed=True)
    return lambda p: baked(_length(p[0], p[2]), p[1])


def extrude(line: Curve, half_depth: float, rounding: float = 0.0) -> Field:
    """A closed curve in x and y, drawn out along z to both sides."""
    baked = _Baked(line, closed=True)

    def field(p: Array) -> Array:
        return _wedge(baked(p[0], p[1]) + np.float32(rounding), np.abs(p[2]) - np.float32(half_depth - rounding)) - np.float32(rounding)

    return field


def tube(points: Sequence[tuple[float, float]], radii: Sequence[float] | float) -> Field:
    """A bent rod through the points of the plane z = 0; its radius runs through `radii` on the way."""
    line = spline(points, 24 * (len(points) - 1))
    baked = _Baked(line, closed=False, margin=0.25)
    if isinstance(radii, float):
        return lambda p: _length(np.abs(baked(p[0], p[1])), p[2]) - np.float32(radii)
    widths = _Baked(line, closed=False, margin=0.25, values=np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii))
    return lambda p: (_length(np.abs(baked(p[0], p[1])), p[2]) - widths(p[0], p[1])) * np.float32(0.9)


def _wedge(a: Array, b: Array) -> Array:
    return np.minimum(np.maximum(a, b), 0) + _length(np.maximum(a, 0), np.maximum(b, 0))


# --- combinations -----------------------------------------------------------------------------------------------------------------------------------


def union(*fields: Field) -> Field:
    def field(p: Array) -> Array:
        nearest = fields[0](p)
        for other in fields[1:]:
            nearest = np.minimum(nearest, other(p))
        return nearest

    return field


def blend(width: float, *fields: Field) -> Field:
    """A union whose seams are filled over `width`."""

    def field(p: Array) -> Array:
        nearest = fields[0](p)
        for other in fields[1:]:
            d = other(p)
            h = np.maximum(np.float32(width) - np.abs(nearest - d), 0) / np.float32(width)
            nearest = np.minimum(nearest, d) - h * h * np.float32(width / 4)
        return nearest

    return field


def cut(base: Field, tool: Field, width: float = 0.005) -> Field:
    """What is left of `base` outside `tool`, the edge rounded over `width`."""

    def field(p: Array) -> Array:
        a, b = base(p), -tool(p)
        h = np.maximum(np.float32(width) - np.abs(a - b), 0) / np.float32(width)
        return np.maximum(a, b) + h * h * np.float32(width / 4)

    return field


def overlap(a: Field, b: Field) -> Field:
    return lambda p: np.maximum(a(p), b(p))


def grow(field: Field, by: float) -> Field:
    return lambda p: field(p) - np.float32(by)


def move(field: Field, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Field:
    offset = _f32([[x], [y], [z]])
    return lambda p: field(p - offset)


def turn(field: Field, axis: str, degrees: float) -> Field:
    """The solid turned by `degrees` round an axis through the origin, counter-clockwise as seen from the axis's tip."""
    c, s = np.float32(math.cos(math.radians(degrees))), np.float32(math.sin(math.radians(degrees)))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]

    def field_turned(p: Array) -> Array:
        q = np.empty_like(p)
        q["xyz".index(axis)] = p["xyz".index(axis)]
        q[i], q[j] = c * p[i] + s * p[j], c * p[j] - s * p[i]
        return field(q)

    return field_turned


def stretch(field: Field, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Field:
    factors, least = _f32([[x], [y], [z]]), np.float32(min(x, y, z))
    return lambda p: field(p / factors) * least


def mirror(field: Field, axis: str = "x") -> Field:
    def field_mirrored(p: Array) -> Array:
        q = p.copy()
        q["xyz".index(axis)] = np.abs(q["xyz".index(axis)])
        return field(q)

    return field_mirrored


def repeat_round(field: Field, count: int, phase: float = 0.0) -> Field:
    """`count` copies of a solid near the +x axis, spread evenly round the y axis; it must stay within its own sector."""
    sector = 2 * math.pi / count

    def field_repeated(p: Array) -> Array:
        radius, angle = _length(p[0], p[2]), np.arctan2(p[2], p[0]) - np.float32(phase)
        angle = (angle + np.float32(sector / 2)) % np.float32(sector) - np.float32(sector / 2)
        return field(np.stack([radius * np.cos(angle), p[1], radius * np.sin(angle)]).astype(np.float32))

    return field_repeated


def bounded(field: Field, centre: Sequence[float], radius: float) -> Field:
    """The same solid, measured exactly only near the ball that holds it: saves time."""
    middle = _f32(centre).reshape(3, 1)

    def field_bounded(p: Array) -> Array:
        q = p - middle
        d = _length(q[0], q[1], q[2]) - np.float32(radius)
        near = d < 0.12
        if near.any():
            d = d + np.float32(0.02)
            d[near] = field(p[:, near])
        return d

    return field_bounded
