"""Skies for every hour and weather; outdoor scenes build on them."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour, Size, Stops
from batcher.simulator.pictures.stage import Hour, Mood

STOPS: dict[Hour, Stops] = {
    "day": ((0.0, (58, 122, 196)), (0.55, (136, 186, 228)), (1.0, (226, 238, 242))),
    "golden": ((0.0, (70, 92, 148)), (0.42, (176, 148, 168)), (0.74, (246, 182, 128)), (1.0, (255, 220, 160))),
    "dusk": ((0.0, (24, 30, 74)), (0.5, (88, 66, 124)), (0.8, (206, 108, 116)), (1.0, (246, 172, 128))),
    "night": ((0.0, (5, 8, 22)), (0.6, (14, 24, 54)), (1.0, (42, 58, 96))),
}
SUNLIGHT: dict[Hour, Colour] = {"day": (255, 248, 232), "golden": (255, 206, 140), "dusk": (255, 168, 140), "night": (176, 198, 255)}
AMBIENT: dict[Hour, Colour] = {"day": (212, 226, 246), "golden": (222, 188, 178), "dusk": (176, 156, 196), "night": (132, 148, 200)}
GREY: dict[Hour, Colour] = {"day": (178, 188, 198), "golden": (190, 176, 172), "dusk": (92, 88, 112), "night": (30, 36, 52)}
EXPOSURE: dict[Hour, float] = {"day": 1.0, "golden": 0.98, "dusk": 0.92, "night": 0.86}


def overcast(mood: Mood) -> float:
    """How much of the sky is cloud, 0 to 1."""
    return 0.75 if mood.fog else 0.6 if mood.rain or mood.snow else 0.0


def stops(hour: Hour, mood: Mood) -> Stops:
    """The sky's gradient from zenith to horizon."""
    grey = GREY[hour]
    return [(at, paint.mix(colour, paint.scaled(grey, 0.8 + 0.3 * at), overcast(mood))) for at, colour in STOPS[hour]]


def sky(size: Size, hour: Hour, mood: Mood, rng: Random, sun: tuple[float, float]) -> Image.Image:
    """A sky with its sun or moon (a place in shares of the size), clouds or stars."""
    image = paint.vertical(size, stops(hour, mood))
    width, height = size
    unit = min(width, height * 1.6)
    cloudy = overcast(mood)
    centre = (sun[0] * width, sun[1] * height)
    light = SUNLIGHT[hour]
    if hour == "night" and cloudy < 0.5:
        _stars(image, rng)
    if cloudy < 0.5:
        paint.glow(image, centre, unit * 0.9, paint.scaled(light, 0.26 if hour != "night" else 0.12), 2.2)
        paint.glow(image, centre, unit * 0.36, paint.scaled(light, 0.45 if hour != "night" else 0.2), 2.4)
    _clouds(image, hour, mood, rng)
    if cloudy < 0.5:
        radius = unit * (0.055 if hour != "night" else 0.035)
        paint.glow(image, centre, radius * 2.6, paint.scaled(light, 0.7), 3.0)
        paint.bokeh(image, centre, radius, light)
    return image


def _stars(image: Image.Image, rng: Random) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(image.width * image.height // 2600):
        x, y = rng.randrange(image.width), int(image.height * rng.random() ** 1.4)
        level = round(80 + 150 * rng.random() ** 3)
        draw.point((x, y), (level, level, min(255, level + 18)))
        if level > 205:
            paint.glow(image, (x, y), 3, (120, 130, 160))


def _clouds(image: Image.Image, hour: Hour, mood: Mood, rng: Random) -> None:
    width, height = image.size
    small = (max(8, width // 2), max(8, height // 2))
    bank = paint.noise(rng, small, (small[0] * 0.42, small[1] * 0.2), 5, 0.56)
    cover = overcast(mood)
    mask = paint.levels(bank, 0.52 - 0.25 * cover, 0.78 - 0.1 * cover)
    top = 0.75 if cover else 0.35
    mask.paste(0, (0, 0), paint.fade(small, [(0.0, 1 - top), (0.45, 0.0), (0.85, 0.25), (1.0, 0.85)]))
    below = paint.mix(GREY[hour], STOPS[hour][1][1], 0.5)
    lit = paint.mix(SUNLIGHT[hour], (255, 255, 255), 0.4 if hour == "day" else 0.0)
    if hour == "night" or cover:
        lit = paint.scaled(GREY[hour], 1.25)
    body = paint.colourised(paint.levels(bank, 0.45, 0.95), paint.mix(below, lit, 0.35), lit)
    mask = paint.strength(mask, 0.8 if hour != "night" else 0.5)
    image.paste(body.resize(image.size, Image.Resampling.BICUBIC), (0, 0), mask.resize(image.size, Image.Resampling.BICUBIC))
