"""What stands and hangs in rooms: windows, shelves, lamps, sofas, plants. Drawn simply, since all of it ends up out of focus."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Point
from batcher.simulator.pictures.stage import Hour

OUTSIDE: dict[Hour, tuple[Colour, Colour]] = {
    "day": ((232, 244, 250), (172, 204, 150)),
    "golden": ((255, 226, 170), (226, 168, 96)),
    "dusk": ((132, 124, 172), (196, 128, 112)),
    "night": ((16, 24, 52), (28, 34, 62)),
}
FRAME: dict[Hour, float] = {"day": 0.95, "golden": 0.75, "dusk": 0.42, "night": 0.4}
BOOKS: tuple[Colour, ...] = ((164, 74, 62), (60, 92, 112), (214, 178, 112), (88, 108, 84), (226, 216, 200), (120, 84, 100))


def window(image: Image.Image, box: tuple[float, float, float, float], hour: Hour, rng: Random, bars: int = 2) -> None:
    """A window with blurred trees, or lights by night, outside; the box is in pixels."""
    left, top, right, bottom = (round(edge) for edge in box)
    size = (max(2, right - left), max(2, bottom - top))
    high, low = OUTSIDE[hour]
    view = paint.vertical(size, [(0.0, high), (0.55, paint.mix(high, low, 0.3)), (1.0, low)])
    for _ in range(14):
        centre = (rng.random() * size[0], size[1] * rng.uniform(0.35, 1.0))
        paint.shade(view, centre, size[0] * rng.uniform(0.12, 0.3), paint.scaled(low, rng.uniform(0.75, 1.15)), 0.6)
    if hour in ("dusk", "night"):
        for _ in range(9):
            centre = (rng.random() * size[0], size[1] * rng.uniform(0.45, 1.0))
            paint.bokeh(view, centre, size[0] * 0.05, paint.scaled((255, 200, 130), rng.uniform(0.2, 0.6)))
    image.paste(view, (left, top))
    draw = ImageDraw.Draw(image)
    frame = paint.scaled((246, 242, 236), FRAME[hour])
    thick = max(2, round(size[0] * 0.035))
    draw.rectangle((left, top, right, bottom), outline=frame, width=thick * 2)
    for bar in range(1, bars):
        x = left + size[0] * bar / bars
        draw.rectangle((x - thick / 2, top, x + thick / 2, bottom), fill=frame)
    draw.rectangle((left, top + size[1] * 0.42, right, top + size[1] * 0.42 + thick), fill=frame)


def plant(image: Image.Image, foot: Point, height: float, rng: Random, pot: Colour, leaf: Colour) -> None:
    """A potted plant with leaves that arch outward."""
    draw = ImageDraw.Draw(image)
    x, y = foot
    for _ in range(26):
        reach, up = rng.uniform(-0.42, 0.42) * height, rng.uniform(0.45, 1.0) * height
        tone = paint.scaled(leaf, rng.uniform(0.6, 1.3))
        bend = (x + reach * 0.3, y - up * 0.8)
        wide = height * 0.035
        draw.polygon([(x, y - height * 0.25), (bend[0] - wide, bend[1]), (x + reach, y - up), (bend[0] + wide, bend[1])], fill=tone)
    half = height * 0.15
    draw.polygon([(x - half, y - height * 0.3), (x + half, y - height * 0.3), (x + half * 0.75, y), (x - half * 0.75, y)], fill=pot)


def jar(image: Image.Image, foot: Point, wide: float, tall: float, tone: Colour) -> None:
    """A jar or bottle."""
    draw = ImageDraw.Draw(image)
    x, base = foot
    draw.rounded_rectangle((x - wide / 2, base - tall, x + wide / 2, base), radius=wide * 0.2, fill=tone)
    draw.rectangle((x - wide * 0.36, base - tall * 1.12, x + wide * 0.36, base - tall * 0.97), fill=paint.scaled(tone, 0.7))
    draw.rectangle((x - wide * 0.32, base - tall * 0.9, x - wide * 0.16, base - tall * 0.12), fill=paint.mix(tone, WHITE, 0.3))


def shelf(image: Image.Image, span: tuple[float, float], base: float, rng: Random, board: Colour, tones: Sequence[Colour], unit: float) -> None:
    """A board from left to right (`span`, in pixels) at the height `base`, with jars and books on it."""
    left, right = span
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, base, right, base + unit * 0.022), fill=board)
    x = left + unit * 0.05
    while x < right - unit * 0.06:
        tone = paint.scaled(rng.choice(tones), rng.uniform(0.85, 1.1))
        wide, tall = unit * rng.uniform(0.05, 0.09), unit * rng.uniform(0.08, 0.17)
        if rng.random() < 0.35:
            for _ in range(rng.randint(2, 4)):
                thick = unit * rng.uniform(0.018, 0.03)
                shade = paint.scaled(rng.choice(tones), rng.uniform(0.7, 1.1))
                draw.rectangle((x, base - tall * rng.uniform(0.85, 1.15), x + thick, base), fill=shade)
                x += thick * 1.05
            x += unit * 0.05
            continue
        jar(image, (x, base), wide, tall, tone)
        x += wide * 1.5 + unit * rng.uniform(0.0, 0.05)


def bookcase(image: Image.Image, span: tuple[float, float], line: float, rng: Random, unit: float) -> None:
    """Four shelves of books that reach from the table up."""
    start, end = span
    draw = ImageDraw.Draw(image)
    draw.rectangle((start, -2, end, line + 2), fill=(92, 64, 44))
    for level in range(max(4, int(line / (unit * 0.26)) + 1)):
        top, base = line - (level + 1) * unit * 0.26, line - level * unit * 0.26 - unit * 0.03
        draw.rectangle((start + unit * 0.02, top, end - unit * 0.02, base), fill=(58, 40, 30))
        x = start + unit * 0.03
        while x < end - unit * 0.05:
            thick, tall = unit * rng.uniform(0.022, 0.048), unit * rng.uniform(0.13, 0.2)
            if rng.random() < 0.12:
                x += unit * rng.uniform(0.05, 0.12)
                continue
            tone = paint.scaled(rng.choice(BOOKS), rng.uniform(0.75, 1.1))
            draw.rectangle((x, base - tall, x + thick * 0.94, base), fill=tone)
            draw.rectangle((x, base - tall * 0.8, x + thick * 0.94, base - tall * 0.74), fill=paint.mix(tone, (255, 226, 160), 0.5))
            x += thick


def tiles(image: Image.Image, area: tuple[float, float], tile: Point, tone: Colour, rng: Random) -> None:
    """Rows of tiles or bricks from the top to the bottom of the area, every second row shifted by half."""
    draw = ImageDraw.Draw(image)
    top, bottom = area
    across, down = tile
    row = 0
    while bottom - (row + 1) * down > top - down:
        y = bottom - (row + 1) * down
        for column in range(-1, int(image.width / across) + 2):
            x = column * across + across * 0.5 * (row % 2)
            draw.rectangle((x, y, x + across * 0.94, y + down * 0.9), fill=paint.scaled(tone, rng.uniform(0.9, 1.06)))
        row += 1


def framed_pictures(image: Image.Image, middle: float, top: float, rng: Random, unit: float) -> None:
    """Three prints in frames."""
    draw = ImageDraw.Draw(image)
    for index, (dx, tall) in enumerate(((-0.2, 0.26), (0.06, 0.2), (0.28, 0.24))):
        x, y = middle + dx * unit, top + unit * 0.02 * index
        draw.rectangle((x, y, x + unit * 0.18, y + unit * tall), fill=(74, 58, 46))
        draw.rectangle((x + unit * 0.012, y + unit * 0.012, x + unit * 0.168, y + unit * (tall - 0.012)), fill=(236, 230, 220))
        spot = rng.choice(((214, 132, 96), (108, 136, 140), (222, 180, 110)))
        draw.ellipse((x + unit * 0.045, y + unit * 0.06, x + unit * 0.135, y + unit * 0.15), fill=spot)


def sofa(image: Image.Image, middle: float, line: float, fabric: Colour, unit: float) -> None:
    """A sofa with cushions, seen from the front."""
    draw = ImageDraw.Draw(image)
    seat = line - unit * 0.3
    draw.rounded_rectangle((middle - unit * 0.62, seat, middle + unit * 0.62, line + unit * 0.3), radius=unit * 0.07, fill=fabric)
    for side in (-1, 1):
        arm = sorted((middle + side * unit * 0.52, middle + side * unit * 0.7))
        draw.rounded_rectangle((arm[0], seat + unit * 0.1, arm[1], line + unit * 0.3), radius=unit * 0.05, fill=paint.scaled(fabric, 0.82))
    for dx, tone in ((-0.38, (222, 178, 112)), (0.34, (232, 224, 212)), (0.18, (190, 112, 86))):
        box = (middle + (dx - 0.13) * unit, seat + unit * 0.06, middle + (dx + 0.13) * unit, seat + unit * 0.28)
        draw.rounded_rectangle(box, radius=unit * 0.04, fill=tone)


def floor_lamp(image: Image.Image, top: Point, foot: float, unit: float) -> None:
    """A standing lamp that is lit."""
    draw = ImageDraw.Draw(image)
    draw.rectangle((top[0] - unit * 0.008, top[1], top[0] + unit * 0.008, foot), fill=(64, 50, 42))
    shade = [(top[0] + dx * unit, top[1] + dy * unit) for dx, dy in ((-0.07, -0.1), (0.07, -0.1), (0.12, 0.1), (-0.12, 0.1))]
    draw.polygon(shade, fill=(255, 226, 172))
    paint.glow(image, top, unit * 0.75, (170, 116, 58), 2.0)
    paint.glow(image, (top[0], top[1] + unit * 0.02), unit * 0.22, (120, 96, 56), 2.0)


def desk_lamp(image: Image.Image, head: Point, line: float, side: int, unit: float, light: Colour) -> None:
    """A lamp with a bent arm whose light falls on the desk."""
    draw = ImageDraw.Draw(image)
    dark: Colour = (40, 40, 44)
    arm = [(head[0] - side * unit * 0.1, line), (head[0] - side * unit * 0.2, line - unit * 0.22), head]
    draw.line(arm, fill=dark, width=max(2, round(unit * 0.016)))
    shade = [(head[0] + dx * unit, head[1] + dy * unit) for dx, dy in ((-0.03, -0.05), (0.03, -0.05), (0.09, 0.05), (-0.09, 0.05))]
    draw.polygon(shade, fill=dark)
    paint.glow(image, (head[0], head[1] + unit * 0.08), (unit * 0.36, unit * 0.34), light, 1.8)


def pendants(image: Image.Image, count: int, rng: Random, unit: float, light: Colour) -> None:
    """Lamps that hang from the ceiling in a row."""
    for index in range(count):
        centre = (image.width * (index + 0.5) / count, image.height * (0.1 + 0.05 * rng.random()))
        ImageDraw.Draw(image).line([(centre[0], 0), centre], fill=(30, 22, 20), width=max(1, round(unit * 0.006)))
        paint.glow(image, centre, unit * 0.46, light, 2.0)
        paint.bokeh(image, centre, unit * 0.038, (255, 216, 150))


def round_mirror(image: Image.Image, centre: Point, radius: float, high: Colour, low: Colour) -> None:
    """A round mirror in a brass frame."""
    draw = ImageDraw.Draw(image)
    draw.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), fill=(190, 154, 96))
    radius *= 0.95
    glass = paint.vertical((round(radius * 2), round(radius * 2)), [(0.0, high), (1.0, low)])
    disc = Image.new("L", glass.size, 0)
    ImageDraw.Draw(disc).ellipse((0, 0, *glass.size), fill=255)
    image.paste(glass, (round(centre[0] - radius), round(centre[1] - radius)), disc)


def towels(image: Image.Image, middle: float, line: float, tones: Sequence[Colour], unit: float) -> None:
    """A pile of folded towels."""
    draw = ImageDraw.Draw(image)
    for index, tone in enumerate(tones):
        base = line - index * unit * 0.085
        draw.rounded_rectangle((middle - unit * 0.18, base - unit * 0.08, middle + unit * 0.18, base), radius=unit * 0.035, fill=tone)
