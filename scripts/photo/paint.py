"""Colours, patterns, printed labels and materials for the product photos."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from photo.scene import Colour, Material, Paint, column, mix, smoothstep
from photo.solids import Array
from PIL import Image, ImageDraw, ImageFont


def rgb(code: str) -> Colour:
    """A hex colour as linear light."""
    parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c < 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return red, green, blue


def plain(colour: Colour) -> Paint:
    return lambda p, n: np.repeat(column(colour), p.shape[1], axis=1)


def layered(base: Colour | Paint, *layers: tuple[Callable[[Array, Array], Array], Colour | Paint]) -> Paint:
    """Paints laid over each other; each layer's mask is 0 to 1."""

    def paint(p: Array, n: Array) -> Array:
        colour = base(p, n) if callable(base) else np.repeat(column(base), p.shape[1], axis=1)
        for mask, over in layers:
            colour = mix(colour, over(p, n) if callable(over) else column(over), mask(p, n))
        return colour

    return paint


def band(low: float, high: float, axis: int = 1, edge: float = 0.002) -> Callable[[Array, Array], Array]:
    return lambda p, n: smoothstep(low - edge, low + edge, p[axis]) * smoothstep(high + edge, high - edge, p[axis])


def noise(p: Array, scale: float) -> Array:
    """Smooth value noise, -1 to 1."""
    q = p * np.float32(scale)
    cell = np.floor(q).astype(np.int64)
    f = (q - cell).astype(np.float32)
    f = f * f * (3 - 2 * f)
    total = np.zeros(p.shape[1], np.float32)
    for corner in range(8):
        offset = np.array([[corner & 1], [corner >> 1 & 1], [corner >> 2 & 1]])
        h = ((cell + offset) * np.array([[73856093], [19349663], [83492791]])).sum(axis=0)
        h = (h ^ (h >> 13)) * 1274126177
        value = ((h ^ (h >> 16)) & 0xFFFF) / 32767.5 - 1
        total += (np.prod(np.where(offset, f, 1 - f), axis=0) * value).astype(np.float32)
    return total


def specks(p: Array, scale: float, radius: float, share: float) -> Array:
    """Round dots of up to `radius` (in cells of 1/scale), one in a `share` of the cells: 1 inside, 0 outside."""
    q = p * np.float32(scale)
    cell = np.floor(q).astype(np.int64)
    h = (cell * np.array([[73856093], [19349663], [83492791]])).sum(axis=0)
    draws = []
    for _ in range(5):
        h = ((h ^ (h >> 15)) * 2246822519 + 3266489917) & 0xFFFFFFFF
        draws.append(((h >> 8) & 0xFFFF) / 65535)
    size = radius * (0.35 + 0.65 * draws[3])
    middle = cell + np.stack([size + (1 - 2 * size) * draw for draw in draws[:3]])
    away = np.sqrt(((q - middle) ** 2).sum(axis=0))
    return np.asarray(smoothstep(1.15, 0.85, (away / size).astype(np.float32)) * (draws[4] < share), dtype=np.float32)


class Print:
    """A picture drawn with Pillow, laid on a surface by (u, v) in 0..1, v downwards."""

    def __init__(self, width: int, height: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> None:
        picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        draw(ImageDraw.Draw(picture))
        pixels = np.asarray(picture, dtype=np.float32) / 255
        self.alpha = np.ascontiguousarray(pixels[:, :, 3])
        self.colour = np.where(pixels[:, :, :3] < 0.04045, pixels[:, :, :3] / 12.92, ((pixels[:, :, :3] + 0.055) / 1.055) ** 2.4).astype(np.float32)

    def over(self, base: Paint, place: Callable[[Array, Array], tuple[Array, Array, Array]]) -> Paint:
        """`place` gives u, v and a mask of where the print may lie."""

        def paint(p: Array, n: Array) -> Array:
            u, v, allowed = place(p, n)
            height, width = self.alpha.shape
            x, y = u * width - 0.5, v * height - 0.5
            inside = allowed & (x > 0) & (y > 0) & (x < width - 1.01) & (y < height - 1.01)
            i, j = np.clip(x, 0, width - 1.01).astype(np.int32), np.clip(y, 0, height - 1.01).astype(np.int32)
            fx, fy = x - i, y - j
            alpha, colour = np.zeros(p.shape[1], np.float32), np.zeros_like(p)
            for a, b, w in ((0, 0, (1 - fx) * (1 - fy)), (0, 1, fx * (1 - fy)), (1, 0, (1 - fx) * fy), (1, 1, fx * fy)):
                weight = w * self.alpha[np.clip(j + a, 0, height - 1), np.clip(i + b, 0, width - 1)]
                alpha += weight
                colour += self.colour[np.clip(j + a, 0, height - 1), np.clip(i + b, 0, width - 1)].T * weight
            return mix(base(p, n), colour / np.maximum(alpha, 1e-4), np.where(inside, alpha, 0))

        return paint


def words(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, fill: str, spacing: float = 0.0) -> None:
    """Text centred at x, y, its letters spread by `spacing` of the size."""
    font = ImageFont.load_default(size)
    widths = [draw.textlength(letter, font=font) + spacing * size for letter in text]
    at = x - (sum(widths) - spacing * size) / 2
    for letter, width in zip(text, widths, strict=True):
        draw.text((at, y), letter, font=font, fill=fill, anchor="lm")
        at += width


def wrapped(centre: float, half_angle: float, low: float, high: float) -> Callable[[Array, Array], tuple[Array, Array, Array]]:
    """Places a print round a y axis: `centre` is the azimuth in degrees that faces the camera's way (90 is +z)."""

    def place(p: Array, n: Array) -> tuple[Array, Array, Array]:
        angle = np.arctan2(p[2], p[0]) - np.float32(math.radians(centre))
        angle = (angle + np.float32(math.pi)) % np.float32(2 * math.pi) - np.float32(math.pi)
        outward = n[0] * p[0] + n[2] * p[2] > 0
        return 0.5 - angle / np.float32(2 * math.radians(half_angle)), (high - p[1]) / np.float32(high - low), outward

    return place


def facing(axis: int, across: int, x0: float, x1: float, y0: float, y1: float, up: int = 1) -> Callable[[Array, Array], tuple[Array, Array, Array]]:
    """Places a print on the side that looks along +axis, from (x0, y0) to (x1, y1)."""
    return lambda p, n: ((p[across] - x0) / np.float32(x1 - x0), (y1 - p[up]) / np.float32(y1 - y0), n[axis] > 0.7)


STEEL = Material((0.62, 0.62, 0.63), rough=0.22, metal=1.0)
BRASS = Material(rgb("#d9b25f"), rough=0.24, metal=1.0)
GOLD = Material(rgb("#e8bd6a"), rough=0.16, metal=1.0)
BLACK = Material(rgb("#1b1b1d"), rough=0.34)
