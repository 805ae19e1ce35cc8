"""Brushes: gradients, noise, lights, blur and perspective on Pillow images, all repeatable for a given random source."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

from PIL import Image, ImageChops, ImageFilter, ImageOps

Colour: TypeAlias = tuple[int, int, int]
Size: TypeAlias = tuple[int, int]
Point: TypeAlias = tuple[float, float]
Stops: TypeAlias = Sequence[tuple[float, Colour]]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that lies `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """A colour made darker or brighter."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue (any number; whole turns do not count), saturation and value (0 to 1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def luma(colour: Colour) -> float:
    """How bright a colour looks, 0 to 1."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def _gradient(stops: Stops, count: int) -> bytes:
    """The colours of a gradient at `count` places from 0 to 1, as bytes; stops are in rising order."""
    result = bytearray()
    last = max(1, count - 1)
    segment = 0
    for index in range(count):
        at = index / last
        while segment < len(stops) - 1 and stops[segment + 1][0] < at:
            segment += 1
        low, first = stops[segment]
        high, second = stops[min(segment + 1, len(stops) - 1)]
        share = min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.0
        result += bytes(
            (
                int(first[0] + (second[0] - first[0]) * share + 0.5),
                int(first[1] + (second[1] - first[1]) * share + 0.5),
                int(first[2] + (second[2] - first[2]) * share + 0.5),
            )
        )
    return bytes(result)


def vertical(size: Size, stops: Stops) -> Image.Image:
    """A gradient from top (0) to bottom (1)."""
    height = max(1, size[1])
    return Image.frombytes("RGB", (1, height), _gradient(stops, height)).resize(size, Image.Resampling.NEAREST)


def horizontal(size: Size, stops: Stops) -> Image.Image:
    """A gradient from left (0) to right (1)."""
    width = max(1, size[0])
    return Image.frombytes("RGB", (width, 1), _gradient(stops, width)).resize(size, Image.Resampling.NEAREST)


def fade(size: Size, stops: Sequence[tuple[float, float]]) -> Image.Image:
    """A mask that changes from top to bottom; the stops hold strengths from 0 to 1."""
    height = max(1, size[1])
    grey = [(at, (round(value * 255),) * 3) for at, value in stops]
    return Image.frombytes("L", (1, height), _gradient(grey, height)[::3]).resize(size, Image.Resampling.NEAREST)


def levels(mask: Image.Image, low: float, high: float) -> Image.Image:
    """Stretch a mask so that `low` becomes 0 and `high` becomes full (both 0 to 1), smoothly in between."""
    span = max(1e-6, high - low)

    def value(level: int) -> int:
        share = max(0.0, min(1.0, (level / 255 - low) / span))
        return round(255 * share * share * (3 - 2 * share))

    return mask.point([value(level) for level in range(256)])


def curve(mask: Image.Image, function: Callable[[float], float]) -> Image.Image:
    """Pass every level of a mask through a function on 0 to 1."""
    return mask.point([max(0, min(255, round(255 * function(level / 255)))) for level in range(256)])


def strength(mask: Image.Image, factor: float) -> Image.Image:
    """A weaker or stronger mask."""
    return mask.point([min(255, int(level * factor + 0.5)) for level in range(256)])


def noise(rng: Random, size: Size, cell: tuple[float, float], octaves: int = 3, gain: float = 0.5) -> Image.Image:
    """Smooth noise as a mask; `cell` is the size in pixels of its coarsest features."""
    result: Image.Image | None = None
    total = 0.0
    for octave in range(octaves):
        columns = min(size[0], max(2, math.ceil(size[0] / cell[0] * 2**octave) + 1))
        rows = min(size[1], max(2, math.ceil(size[1] / cell[1] * 2**octave) + 1))
        layer = Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows)).resize(size, Image.Resampling.BICUBIC)
        weight = gain**octave
        total += weight
        result = layer if result is None else Image.blend(result, layer, weight / total)
    if result is None:
        raise ValueError("noise needs at least one octave")
    return result


def colourised(mask: Image.Image, dark: Colour, light: Colour, middle: Colour | None = None) -> Image.Image:
    """A mask as a picture whose tones run from one colour to another."""
    return ImageOps.colorize(mask, dark, light, middle)


def grain(image: Image.Image, rng: Random, amount: float) -> Image.Image:
    """Film grain of about `amount` levels; it also hides the steps of soft gradients."""
    width, height = image.size
    tile = Image.frombytes("L", (256, 256), rng.randbytes(65536))
    spread = curve(tile, lambda value: (128 + (value - 0.5) * 2 * amount * 1.7) / 255)
    field = Image.new("L", image.size)
    for top in range(0, height, 256):
        for left in range(0, width, 256):
            turned = spread.transpose(rng.choice((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT)))
            field.paste(turned, (left, top))
    return ImageChops.add(image, Image.merge("RGB", (field, field, field)), 1, -128)


def blur(image: Image.Image, radius: float | tuple[float, float]) -> Image.Image:
    """Gaussian blur, quick for large radii too (done on a smaller copy)."""
    across, down = radius if isinstance(radius, tuple) else (radius, radius)
    shrink_x, shrink_y = max(1, int(across / 1.7)), max(1, int(down / 1.7))
    if shrink_x == shrink_y == 1:
        return image.filter(ImageFilter.GaussianBlur((across, down)))
    small = image.resize((max(2, image.width // shrink_x), max(2, image.height // shrink_y)), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur((across * small.width / image.width, down * small.height / image.height)))
    return small.resize(image.size, Image.Resampling.BICUBIC)


def radial(size: Size, power: float = 2.0) -> Image.Image:
    """A round light: full in the middle, falling to nothing at the edge of the ellipse that fits the size."""
    spot = curve(Image.radial_gradient("L"), lambda value: max(0.0, 1 - value * math.sqrt(2)) ** power)
    return spot.resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BILINEAR)


def _placed(canvas: Image.Image, sprite: Image.Image, left: int, top: int) -> tuple[tuple[int, int, int, int], Image.Image] | None:
    box = (max(0, left), max(0, top), min(canvas.width, left + sprite.width), min(canvas.height, top + sprite.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    return box, sprite.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))


def add_light(canvas: Image.Image, sprite: Image.Image, centre: Point, colour: Colour) -> None:
    """Add light to a picture, in place, in the shape of a mask."""
    placed = _placed(canvas, sprite, round(centre[0] - sprite.width / 2), round(centre[1] - sprite.height / 2))
    if placed is None:
        return
    box, mask = placed
    light = Image.merge("RGB", [strength(mask, channel / 255) for channel in colour])
    canvas.paste(ImageChops.add(canvas.crop(box), light), box)


def glow(canvas: Image.Image, centre: Point, radius: float | tuple[float, float], colour: Colour, power: float = 2.0) -> None:
    """Add a round glow to a picture, in place."""
    across, down = radius if isinstance(radius, tuple) else (radius, radius)
    add_light(canvas, radial((round(across * 2), round(down * 2)), power), centre, colour)


def shade(canvas: Image.Image, centre: Point, radius: float | tuple[float, float], colour: Colour, amount: float, power: float = 1.5) -> None:
    """Lay a soft round spot of a colour on a picture, in place."""
    across, down = radius if isinstance(radius, tuple) else (radius, radius)
    spot = strength(radial((round(across * 2), round(down * 2)), power), amount)
    placed = _placed(canvas, spot, round(centre[0] - spot.width / 2), round(centre[1] - spot.height / 2))
    if placed is not None:
        canvas.paste(colour, placed[0], placed[1])


def bokeh(canvas: Image.Image, centre: Point, radius: float, colour: Colour) -> None:
    """Add a light that is out of focus, in place: an even disc with a slightly brighter rim."""
    side = max(3, round(radius * 2))
    rim = 1 - max(0.06, min(0.3, 1.4 / radius))

    def profile(value: float) -> float:
        distance = value * math.sqrt(2)
        edge = max(0.0, min(1.0, (1 - distance) / (1 - rim)))
        return edge * (0.72 + 0.28 * min(1.0, distance) ** 4)

    disc = curve(Image.radial_gradient("L"), profile).resize((side, side), Image.Resampling.BOX)
    add_light(canvas, disc, centre, colour)


def add(image: Image.Image, light: Image.Image, amount: float = 1.0) -> Image.Image:
    """Light laid over a picture, as a projector would."""
    if amount != 1.0:
        light = light.point([min(255, round(level % 256 * amount)) for level in range(256 * len(light.getbands()))])
    return ImageChops.add(image, light)


def over(image: Image.Image, colour: Colour, mask: Image.Image) -> Image.Image:
    """A picture with a colour laid on it through a mask."""
    result = image.copy()
    result.paste(colour, (0, 0, *image.size), mask)
    return result


def tinted(image: Image.Image, colour: Colour, amount: float) -> Image.Image:
    """A picture seen through a coloured glass: multiplied, by `amount` of the way."""
    factors = [1 - amount * (1 - channel / 255) for channel in colour]
    return image.point([round(level * factor) for factor in factors for level in range(256)])


def vignette(image: Image.Image, amount: float) -> Image.Image:
    """A picture whose corners fall off."""
    mask = curve(Image.radial_gradient("L"), lambda value: amount * max(0.0, value - 0.35) ** 1.6)
    return over(image, BLACK, mask.resize(image.size, Image.Resampling.BICUBIC))


def receding(texture: Image.Image, size: Size, near: float) -> Image.Image:
    """A texture laid on the floor: its top edge is far away; at the bottom everything is `near` times as large."""
    width, height = size
    across, down = texture.size
    coefficients = (across / width, across / 2 * (near - 1) / height, 0.0, 0.0, down * near / height, 0.0, 0.0, (near - 1) / height)
    return texture.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)


def mirrored(image: Image.Image, line: int, size: Size, stretch: float = 1.0) -> Image.Image:
    """What a flat mirror below `line` shows of the picture above it."""
    reach = max(1, min(line, round(size[1] / stretch)))
    flipped = image.crop((0, line - reach, image.width, line)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    result = Image.new("RGB", size, flipped.getpixel((0, reach - 1)))
    result.paste(flipped.resize((size[0], min(size[1], max(1, round(reach * stretch)))), Image.Resampling.BILINEAR), (0, 0))
    return result
