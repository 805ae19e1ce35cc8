"""Rooms behind a table top: kitchen, living room, desk, café, bathroom. Everything behind the table is out of focus."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Size
from batcher.simulator.pictures.scenes import surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

OUTSIDE: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((232, 244, 250), (172, 204, 150)),
    "golden": ((255, 226, 170), (226, 168, 96)),
    "dusk": ((150, 120, 170), (96, 76, 120)),
    "night": ((16, 24, 52), (28, 34, 62)),
}
SUN: dict[Hour, Colour] = {"day": (255, 244, 220), "golden": (255, 200, 128), "dusk": (220, 150, 160), "night": (120, 140, 200)}
TABLE = 0.64
WOODS: tuple[Colour, ...] = ((176, 124, 78), (148, 98, 60), (198, 152, 104))


def window(image: Image.Image, box: tuple[float, float, float, float], hour: Hour, rng: Random, bars: int = 2) -> None:
    """A bright window with blurred trees outside; the box is in pixels."""
    left, top, right, bottom = (round(edge) for edge in box)
    size = (max(2, right - left), max(2, bottom - top))
    high, low = OUTSIDE[hour]
    view = paint.vertical(size, [(0.0, high), (0.55, paint.mix(high, low, 0.3)), (1.0, low)])
    for _ in range(14):
        centre = (rng.random() * size[0], size[1] * rng.uniform(0.35, 1.0))
        paint.shade(view, centre, size[0] * rng.uniform(0.12, 0.3), paint.scaled(low, rng.uniform(0.75, 1.15)), 0.6)
    if hour == "night":
        for _ in range(9):
            centre = (rng.random() * size[0], size[1] * rng.uniform(0.45, 1.0))
            paint.bokeh(view, centre, size[0] * 0.05, paint.scaled((255, 200, 130), rng.uniform(0.2, 0.6)))
    image.paste(view, (left, top))
    draw = ImageDraw.Draw(image)
    frame = paint.scaled((246, 242, 236), 0.95 if hour == "day" else 0.75 if hour == "golden" else 0.4)
    thick = max(2, round(size[0] * 0.035))
    draw.rectangle((left, top, right, bottom), outline=frame, width=thick * 2)
    for bar in range(1, bars):
        x = left + size[0] * bar / bars
        draw.rectangle((x - thick / 2, top, x + thick / 2, bottom), fill=frame)
    draw.rectangle((left, top + size[1] * 0.42, right, top + size[1] * 0.42 + thick), fill=frame)


def plant(image: Image.Image, foot: tuple[float, float], height: float, rng: Random, pot: Colour, leaf: Colour) -> None:
    """A potted plant with leaves that arch outward."""
    draw = ImageDraw.Draw(image)
    x, y = foot
    for _ in range(26):
        reach, up = rng.uniform(-0.42, 0.42) * height, rng.uniform(0.45, 1.0) * height
        tone = paint.scaled(leaf, rng.uniform(0.6, 1.3))
        tip = (x + reach, y - up)
        bend = (x + reach * 0.3, y - up * 0.8)
        wide = height * 0.035
        draw.polygon([(x, y - height * 0.25), (bend[0] - wide, bend[1]), tip, (bend[0] + wide, bend[1])], fill=tone)
    half = height * 0.15
    draw.polygon([(x - half, y - height * 0.3), (x + half, y - height * 0.3), (x + half * 0.75, y), (x - half * 0.75, y)], fill=pot)


def jar(draw: ImageDraw.ImageDraw, x: float, base: float, wide: float, tall: float, tone: Colour) -> None:
    """A jar or bottle on a shelf."""
    draw.rounded_rectangle((x - wide / 2, base - tall, x + wide / 2, base), radius=wide * 0.2, fill=tone)
    draw.rectangle((x - wide * 0.36, base - tall * 1.12, x + wide * 0.36, base - tall * 0.97), fill=paint.scaled(tone, 0.7))
    draw.rectangle((x - wide * 0.32, base - tall * 0.9, x - wide * 0.16, base - tall * 0.12), fill=paint.mix(tone, WHITE, 0.3))


def shelf(image: Image.Image, box: tuple[float, float, float], rng: Random, board: Colour, tones: tuple[Colour, ...], unit: float) -> None:
    """A shelf (left, right, height in pixels) with jars, bowls and books on it."""
    left, right, base = box
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, base, right, base + unit * 0.022), fill=board)
    x = left + unit * 0.05
    while x < right - unit * 0.06:
        tone = paint.scaled(rng.choice(tones), rng.uniform(0.85, 1.1))
        wide, tall = unit * rng.uniform(0.05, 0.09), unit * rng.uniform(0.08, 0.17)
        if rng.random() < 0.35:
            for _ in range(rng.randint(2, 4)):
                thick = unit * rng.uniform(0.018, 0.03)
                draw.rectangle((x, base - tall * rng.uniform(0.85, 1.15), x + thick, base), fill=paint.scaled(rng.choice(tones), rng.uniform(0.7, 1.1)))
                x += thick * 1.05
            x += unit * 0.05
            continue
        jar(draw, x, base, wide, tall, tone)
        x += wide * 1.5 + unit * rng.uniform(0.0, 0.05)


def sunbeam(image: Image.Image, side: int, light: Colour, amount: float) -> Image.Image:
    """Slanting bands of light that a window throws on the wall."""
    width, height = image.size
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    for band in range(3):
        x = width * (0.5 - side * 0.1) + side * width * 0.13 * band
        draw.polygon([(x, 0), (x + width * 0.09, 0), (x + width * 0.09 - side * height * 0.45, height), (x - side * height * 0.45, height)], fill=255)
    return paint.over(image, light, paint.strength(paint.blur(mask, width * 0.02), amount))


def finish(back: Image.Image, brief: Brief, surface: Image.Image, *, focus: float, gloss: float, edge: Colour) -> Image.Image:
    """Put the room out of focus and the table in front of it."""
    height = brief.size[1]
    line = round(height * TABLE)
    back = paint.blur(back, min(back.size) * focus).resize(brief.size, Image.Resampling.BICUBIC)
    if brief.mood.fog:
        back = paint.over(back, (226, 226, 226), Image.new("L", back.size, 60))
    top = surfaces.polished(surface, back, line, gloss)
    far = paint.blur(top, min(brief.size) * 0.007)
    top = Image.composite(far, top, paint.fade(top.size, [(0.0, 1.0), (0.4, 0.0)]))
    return surfaces.near_blur(surfaces.laid(back, top, line, edge), 0.93, min(brief.size) * 0.005)


def canvas(brief: Brief, stops: paint.Stops) -> tuple[Image.Image, Size, float]:
    """The wall of a room at half size, with its size and the unit for things on it."""
    size = (max(2, brief.size[0] // 2), max(2, brief.size[1] // 2))
    return paint.vertical(size, stops), size, min(size[0] * 0.9, size[1] * 0.95)


def dimmed(image: Image.Image, hour: Hour) -> Image.Image:
    """A room's own colours by the light of the hour, before its lamps are lit."""
    shades: dict[Hour, tuple[Colour, float]] = {
        "day": (WHITE, 0.0),
        "golden": ((255, 214, 168), 0.55),
        "dusk": ((120, 100, 136), 0.8),
        "night": ((64, 62, 88), 0.92),
    }
    colour, amount = shades[hour]
    return paint.tinted(image, colour, amount)


def surface_size(brief: Brief) -> Size:
    """The size of the table top."""
    return brief.size[0], brief.size[1] - round(brief.size[1] * TABLE)


def room_stage(image: Image.Image, hour: Hour, side: int, *, gloss: float, lamp: bool = False, shadow_colour: Colour = (40, 26, 18)) -> Stage:
    """The lighting of a room for the subject: the window's side, or the lamps after dark."""
    late = hour in ("dusk", "night")
    return Stage(
        image,
        ground=0.87,
        height=0.55,
        light=(255, 214, 160) if late or lamp else SUN[hour],
        ambient={"day": (240, 236, 232), "golden": (236, 206, 180), "dusk": (176, 146, 150), "night": (156, 124, 116)}[hour],
        light_x=0.7 * side,
        exposure={"day": 1.0, "golden": 0.98, "dusk": 0.86, "night": 0.8}[hour],
        rim=0.5 if late else 0.3,
        shadow=0.6,
        shadow_colour=shadow_colour,
        gloss=gloss,
        hour=hour,
    )
