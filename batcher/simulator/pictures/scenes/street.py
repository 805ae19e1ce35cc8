"""A city street seen from low above the ground: by night with neon on wet asphalt, or by day."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageChops, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour, Point, Size
from batcher.simulator.pictures.scenes import sky
from batcher.simulator.pictures.stage import Brief, Hour, Stage

NEON: tuple[Colour, ...] = ((255, 60, 140), (60, 220, 255), (255, 120, 60), (150, 90, 255), (80, 255, 190), (255, 200, 80))
WARM: tuple[Colour, ...] = ((255, 190, 110), (255, 168, 84), (255, 214, 150))
HORIZON = 0.52


def paint_street(brief: Brief) -> Stage:
    """A street between shop fronts, with cars far away; wet and mirroring by night or in rain."""
    hour: Hour = brief.mood.hour or "night"
    width, height = brief.size
    dark = hour in ("night", "dusk")
    wet = dark or brief.mood.rain
    half = (width // 2, height // 2)
    above = _above(half, brief, hour)
    if brief.mood.fog:
        above = paint.over(above, paint.scaled(sky.GREY[hour], 1.1), paint.fade(half, [(0.1, 0.15), (HORIZON, 0.75), (1.0, 0.75)]))
    above = above.resize(brief.size, Image.Resampling.BICUBIC)
    line = round(height * HORIZON)
    ground = _ground(above, line, brief, hour, wet)
    above.paste(ground, (0, line), paint.fade(ground.size, [(0.0, 0.0), (0.16, 1.0)]))
    if not dark:
        return Stage(above, ground=0.87, light=(255, 248, 236), ambient=(206, 218, 236), gloss=0.2 if wet else 0.0, shadow=0.55, hour=hour)
    return Stage(
        above,
        ground=0.87,
        light=(255, 206, 150),
        ambient=(168, 180, 226),
        light_x=0.5,
        exposure=1.02,
        rim=0.7,
        shadow=0.75,
        shadow_colour=(2, 3, 8),
        gloss=0.42,
        hour=hour,
    )


def _above(size: Size, brief: Brief, hour: Hour) -> Image.Image:
    """Everything above the ground, out of focus, at the size given."""
    width, height = size
    rng = brief.rng("street")
    dark = hour in ("night", "dusk")
    horizon = height * HORIZON
    vanish = (width * rng.uniform(0.46, 0.54), horizon)
    image = Image.new("RGB", size)
    image.paste(sky.sky((width, round(horizon * 1.1)), hour, brief.mood, rng, (0.7, 0.2)), (0, 0))
    lights = Image.new("RGB", size)
    reach = max(width, height) * 0.62
    for side in (-1, 1):
        _facades(image, lights, vanish, side, reach, rng, dark)
    if dark:
        paint.glow(image, (vanish[0], horizon - height * 0.04), (width * 0.34, height * 0.26), (84, 58, 70), 1.8)
    unit = min(size)
    image = paint.blur(image, unit * 0.009)
    lights = ImageChops.add(paint.blur(lights, unit * 0.007), paint.blur(lights, unit * 0.04))
    image = ImageChops.add(image, lights)
    if dark:
        image = paint.add(image, paint.blur(lights, unit * 0.1), 0.6)
    _traffic(image, vanish, unit, rng, dark)
    return image


def _facades(image: Image.Image, lights: Image.Image, vanish: Point, side: int, reach: float, rng: Random, dark: bool) -> None:
    draw, lamp = ImageDraw.Draw(image), ImageDraw.Draw(lights)
    base = (26, 28, 44) if dark else (176, 164, 150)
    depth = 6.4
    while depth > 0.86:
        nearer = max(0.8, depth - rng.uniform(0.5, 1.3) * (0.5 + depth * 0.2))
        tall = rng.uniform(0.75, 1.5)
        haze = min(1.0, depth / 7)
        tone = paint.mix(paint.scaled(base, rng.uniform(0.7, 1.35)), (74, 66, 96) if dark else (206, 214, 222), haze * 0.75)
        wall = _Wall(vanish, side, reach, depth, nearer)
        draw.polygon(wall.quad(0, 1, 1.0 * -0.3, tall), fill=tone)
        _windows(draw, lamp, wall, tall, rng, dark, tone)
        _shop(draw, lamp, wall, rng, dark)
        depth = nearer


class _Wall:
    """One façade in perspective: places on it are shares of its length and heights in units of the reach."""

    def __init__(self, vanish: Point, side: int, reach: float, far: float, near: float) -> None:
        self.vanish, self.side, self.reach, self.far, self.near = vanish, side, reach, far, near

    def at(self, along: float, up: float) -> Point:
        """The point of the picture at a share of the wall's length and a height."""
        inverse = (1 - along) / self.far + along / self.near
        return self.vanish[0] + self.side * self.reach * 0.72 * inverse, self.vanish[1] - up * self.reach * inverse

    def quad(self, start: float, end: float, low: float, high: float) -> list[Point]:
        """A rectangle on the wall."""
        return [self.at(start, low), self.at(end, low), self.at(end, high), self.at(start, high)]


def _windows(draw: ImageDraw.ImageDraw, lamp: ImageDraw.ImageDraw, wall: _Wall, tall: float, rng: Random, dark: bool, tone: Colour) -> None:
    columns = max(2, round((1 / wall.near - 1 / wall.far) * 14))
    rows = int((tall - 0.18) / 0.12)
    for row in range(rows):
        for column in range(columns):
            quad = wall.quad((column + 0.2) / columns, (column + 0.8) / columns, 0.22 + row * 0.12, 0.3 + row * 0.12)
            if not dark:
                draw.polygon(quad, fill=paint.mix((96, 120, 146), (200, 220, 236), rng.random() * 0.7))
            elif rng.random() < 0.3:
                colour = paint.scaled(rng.choice((*WARM, (150, 190, 255))), rng.uniform(0.25, 0.75))
                lamp.polygon(quad, fill=colour)
            else:
                draw.polygon(quad, fill=paint.scaled(tone, 0.55))


def _shop(draw: ImageDraw.ImageDraw, lamp: ImageDraw.ImageDraw, wall: _Wall, rng: Random, dark: bool) -> None:
    warm = rng.choice(WARM)
    count = max(1, round((1 / wall.near - 1 / wall.far) * 5))
    for part in range(count):
        start, end = (part + 0.12) / count, (part + 0.88) / count
        if dark:
            lamp.polygon(wall.quad(start, end, -0.2, 0.06), fill=paint.scaled(warm, rng.uniform(0.25, 0.6)))
            lamp.polygon(wall.quad(start, end, 0.09, 0.13), fill=paint.scaled(rng.choice(NEON), rng.uniform(0.5, 1.0)))
        else:
            draw.polygon(wall.quad(start, end, -0.2, 0.06), fill=(92, 86, 84))
            draw.polygon(wall.quad(start - 0.05, end + 0.05, 0.07, 0.12), fill=paint.mix(rng.choice(NEON), (214, 206, 196), 0.5))
    if dark:
        colour = rng.choice(NEON)
        at = rng.uniform(0.3, 0.8)
        low = rng.uniform(0.2, 0.34)
        wide = 0.05 + 0.03 * wall.near
        lamp.polygon(wall.quad(at, at + wide, low, low + rng.uniform(0.2, 0.36)), fill=colour)


def _traffic(image: Image.Image, vanish: Point, unit: float, rng: Random, dark: bool) -> None:
    """Lamps of far cars and of the street, as discs of light."""
    factor = 1.0 if dark else 0.35
    for _ in range(rng.randint(7, 10)):
        away = rng.uniform(-1, 1)
        spread = abs(away) ** 1.3 * (1 if away > 0 else -1)
        centre = (vanish[0] + spread * unit * 0.42, vanish[1] - unit * rng.uniform(0.004, 0.06))
        colour: Colour = (255, 232, 196) if away < 0 else (255, 44, 36)
        radius = unit * rng.uniform(0.012, 0.026) * (0.6 + abs(away))
        for shift in (-1.6, 1.6):
            paint.bokeh(image, (centre[0] + shift * radius, centre[1]), radius, paint.scaled(colour, 0.3 * factor))
    for _ in range(rng.randint(12, 18) if dark else 0):
        centre = (vanish[0] + rng.gauss(0, 0.3) * unit, vanish[1] - unit * rng.uniform(0.05, 0.42))
        colour = rng.choice((*WARM, *NEON))
        paint.bokeh(image, centre, unit * rng.uniform(0.014, 0.045), paint.scaled(colour, rng.uniform(0.16, 0.4) * factor))


def _ground(above: Image.Image, line: int, brief: Brief, hour: Hour, wet: bool) -> Image.Image:
    width, height = brief.size
    size = (width, height - line)
    rng = brief.rng("street/ground")
    dark = hour in ("night", "dusk")
    tarmac: Colour = (19, 21, 29) if dark else (112, 114, 120)
    rough = paint.noise(rng, (width, size[1]), (10, 10), 3, 0.8)
    contrast = 0.4 if dark else 0.12
    texture = paint.colourised(rough, paint.scaled(tarmac, 1 - contrast), paint.scaled(tarmac, 1 + contrast))
    ground = paint.receding(texture, size, 3.4)
    ground.paste(paint.scaled(tarmac, 0.8 if dark else 1.25), (0, 0), paint.fade(size, [(0.0, 0.9), (0.35, 0.0)]))
    if not wet:
        return ground
    mirror = paint.mirrored(above, line, size, 1.05)
    mirror = paint.blur(mirror, (width * 0.006, height * 0.03))
    crisp = paint.blur(paint.mirrored(above, line, size, 1.0), (width * 0.002, height * 0.008))
    puddles = paint.receding(paint.noise(rng, (width // 2, size[1] // 2), (150, 110), 3), size, 3.0)
    pool = paint.levels(puddles, 0.5, 0.62)
    mirror = Image.composite(crisp, mirror, pool)
    share = paint.curve(puddles, lambda value: 0.5 + 0.5 * max(0.0, min(1.0, (value - 0.4) / 0.25)))
    share = ImageChops.multiply(share, paint.fade(size, [(0.0, 1.0), (0.5, 0.92), (1.0, 0.7)]))
    sparkle = paint.strength(paint.receding(paint.levels(rough, 0.45, 1.0), size, 3.4), 0.4)
    share = ImageChops.add(share, sparkle)
    return ImageChops.add(ground, ImageChops.multiply(mirror, Image.merge("RGB", (share, share, share))))
