"""Surfaces that things stand on, seen in perspective: wood, stone, cloth, grass."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour, Size


def wood(size: Size, rng: Random, tone: Colour, planks: int = 4, near: float = 2.2) -> Image.Image:
    """Boards that lie across, with grain and joints."""
    width, height = size
    texture_size = (max(64, width), max(64, round(height * 1.4)))
    broad = paint.noise(rng, texture_size, (texture_size[0] * 0.7, texture_size[1] / 14), 3, 0.7)
    fine = paint.noise(rng, texture_size, (texture_size[0] * 0.25, 5), 2, 0.8)
    streaks = paint.levels(Image.blend(broad, fine, 0.45), 0.18, 0.82)
    boards = Image.new("L", texture_size)
    draw = ImageDraw.Draw(boards)
    step = texture_size[1] / planks
    for board in range(planks):
        draw.rectangle((0, board * step, texture_size[0], (board + 1) * step), fill=rng.randint(90, 170))
        # Every board shows another part of the same grain.
        strip = (0, round(board * step), texture_size[0], round((board + 1) * step))
        streaks.paste(ImageChops.offset(streaks.crop(strip), rng.randrange(texture_size[0]), rng.randrange(max(1, round(step)))), strip)
    texture = paint.colourised(
        Image.blend(streaks, boards, 0.3), paint.scaled(tone, 0.58), paint.mix(paint.scaled(tone, 1.28), (255, 240, 214), 0.12), tone
    )
    joints = Image.new("L", texture_size, 0)
    draw = ImageDraw.Draw(joints)
    for board in range(1, planks):
        draw.line([(0, board * step), (texture_size[0], board * step)], fill=190, width=max(1, round(texture_size[1] * 0.006)))
    texture = paint.over(texture, paint.scaled(tone, 0.3), paint.blur(joints, 0.8))
    return paint.receding(texture, size, near)


def marble(size: Size, rng: Random, tone: Colour = (236, 234, 232), vein: Colour = (150, 148, 152)) -> Image.Image:
    """Polished stone with thin veins."""
    texture_size = (max(64, size[0]), max(64, round(size[1] * 1.2)))
    result = paint.colourised(
        paint.noise(rng, texture_size, (size[0] * 0.4, size[0] * 0.3), 4, 0.6), paint.scaled(tone, 0.86), paint.scaled(tone, 1.06)
    )
    for scale, thickness, amount in ((0.5, 0.02, 0.75), (0.28, 0.03, 0.4), (0.16, 0.05, 0.22)):
        field = paint.noise(rng, texture_size, (size[0] * scale, size[0] * scale * 0.75), 5, 0.55)
        line = paint.curve(field, lambda value, thickness=thickness: max(0.0, 1 - abs(value - 0.5) / thickness) ** 1.4)  # type: ignore[misc]
        where = paint.levels(paint.noise(rng, texture_size, (size[0] * 0.35, size[0] * 0.3), 2), 0.35, 0.75)
        result = paint.over(result, vein, paint.strength(ImageChops.multiply(line, where), amount))
    return paint.receding(result, size, 1.8)


def stone(size: Size, rng: Random, tone: Colour, contrast: float = 0.2, cell: float = 40, near: float = 2.6) -> Image.Image:
    """Plain stone, concrete or plaster with soft blotches and fine grit."""
    blotch = paint.noise(rng, size, (size[0] * 0.3, size[0] * 0.2), 3, 0.6)
    grit = paint.noise(rng, size, (cell, cell * 0.6), 4, 0.8)
    mask = paint.receding(Image.blend(blotch, grit, 0.5), size, near)
    return paint.colourised(paint.levels(mask, 0.15, 0.85), paint.scaled(tone, 1 - contrast), paint.scaled(tone, 1 + contrast))


def cloth(size: Size, rng: Random, tone: Colour) -> Image.Image:
    """Linen with soft folds."""
    folds = paint.noise(rng, size, (size[0] * 0.3, size[1] * 0.8), 2, 0.4)
    weave = paint.noise(rng, size, (4, 2), 1)
    return paint.colourised(Image.blend(folds, weave, 0.18), paint.scaled(tone, 0.84), paint.scaled(tone, 1.08))


def grass(size: Size, rng: Random, dark: Colour, light: Colour, blades: int = 900) -> Image.Image:
    """A lawn: tufts far away, single blades near."""
    width, height = size
    tufts = paint.receding(paint.noise(rng, size, (26, 12), 4, 0.8), size, 3.0)
    image = paint.colourised(paint.levels(tufts, 0.15, 0.85), dark, light, paint.mix(dark, light, 0.42))
    draw = ImageDraw.Draw(image)
    for index in range(blades):
        share = (index / blades) ** 0.8
        x, y = rng.random() * width, height * (0.04 + 1.02 * share)
        length = height * (0.03 + 0.13 * share) * rng.uniform(0.6, 1.2)
        lean = rng.uniform(-0.5, 0.5) * length
        tone = paint.mix(dark, light, rng.random())
        draw.line([(x, y), (x + lean * 0.4, y - length * 0.6), (x + lean, y - length)], fill=tone, width=max(1, round(width * 0.0028 * share)))
    return image


def polished(surface: Image.Image, above: Image.Image, line: int, share: float, softness: float = 0.03) -> Image.Image:
    """A surface that mirrors, softly, what stands behind it."""
    mirror = paint.mirrored(above, line, surface.size, 1.2)
    unit = min(above.size)
    mirror = paint.blur(mirror, (unit * softness * 0.5, unit * softness * 1.6))
    mask = paint.fade(surface.size, [(0.0, share * 1.4 if share < 0.7 else 1.0), (0.6, share * 0.6), (1.0, share * 0.35)])
    return Image.composite(ImageChops.screen(paint.tinted(surface, (150, 150, 150), share * 0.6), mirror), surface, mask)


def laid(above: Image.Image, surface: Image.Image, line: int, edge: Colour | None = None) -> Image.Image:
    """A picture with a table top from `line` down; `edge` is the light on its far edge."""
    result = above.copy()
    soft = max(2, round(above.height * 0.006))
    mask = paint.fade(surface.size, [(0.0, 0.0), (soft / surface.height, 1.0), (1.0, 1.0)])
    result.paste(surface, (0, line), mask)
    if edge is not None:
        rim = paint.fade((above.width, soft * 3), [(0.0, 0.0), (0.4, 0.5), (1.0, 0.0)])
        result.paste(edge, (0, line), rim)
    return result


def near_blur(image: Image.Image, start: float, radius: float) -> Image.Image:
    """A picture whose nearest ground (below `start`, a share of the height) is out of focus."""
    top = round(image.height * start)
    part = image.crop((0, top, image.width, image.height))
    soft = paint.blur(part, radius)
    result = image.copy()
    result.paste(soft, (0, top), paint.fade(part.size, [(0.0, 0.0), (1.0, 1.0)]))
    return result
