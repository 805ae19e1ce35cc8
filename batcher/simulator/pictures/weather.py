"""What lies over the whole picture: rain, snow, fog, and the grading that mood words ask for."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE
from batcher.simulator.pictures.stage import Brief, Mood, Stage


def rain(brief: Brief, moment: float = 0.0) -> Image.Image:
    """A mask of falling drops; `moment` in seconds moves them."""
    width, height = brief.size
    rng = brief.rng("rain")
    unit = min(width, height)
    mask = Image.new("L", brief.size, 0)
    draw = ImageDraw.Draw(mask)
    for _ in range(round(230 * max(width, height) / unit)):
        depth = rng.random() ** 2
        length = unit * (0.03 + 0.1 * depth)
        fall = (rng.random() * 1.3 + moment * (1.6 + 1.4 * depth)) % 1.3 - 0.15
        x, y = width * rng.uniform(-0.1, 1.1), fall * height
        draw.line([(x, y), (x - length * 0.14, y + length)], fill=round(70 + 110 * depth), width=max(1, round(unit * 0.002 * (0.6 + depth))))
    return mask.filter(ImageFilter.GaussianBlur((0.7, unit * 0.0035)))


def snow(brief: Brief, moment: float = 0.0) -> Image.Image:
    """A mask of falling flakes, near ones large and out of focus; `moment` in seconds moves them."""
    width, height = brief.size
    rng = brief.rng("snowfall")
    unit = min(width, height)
    mask = Image.new("RGB", brief.size)
    for _ in range(round(170 * max(width, height) / unit)):
        depth = rng.random() ** 3
        fall = (rng.random() * 1.2 + moment * (0.1 + 0.25 * depth)) % 1.2 - 0.1
        centre = (width * ((rng.random() * 1.1 - 0.05 + moment * 0.03) % 1.1), fall * height)
        level = round(230 - 130 * depth)
        paint.glow(mask, centre, unit * (0.005 + 0.017 * depth), (level, level, level), 0.7)
    return mask.getchannel(0)


def overlay(picture: Image.Image, brief: Brief, scene: str | None, *, moment: float = 0.0) -> Image.Image:
    """The weather of the prompt in front of everything; none indoors."""
    indoors = scene in ("kitchen", "living room", "desk", "bathroom", "café", "studio", "space")
    if indoors:
        return picture
    if brief.mood.rain:
        drops = rain(brief, moment)
        picture = ImageChops.screen(picture, paint.colourised(paint.strength(drops, 0.62), paint.BLACK, (196, 210, 236)))
    if brief.mood.snow:
        picture = paint.over(picture, WHITE, paint.strength(snow(brief, moment), 0.85))
    if brief.mood.fog:
        veil = paint.fade(brief.size, [(0.0, 0.05), (0.5, 0.22), (1.0, 0.1)])
        picture = paint.over(picture, (206, 212, 220), paint.strength(veil, 0.45 if _dark(picture) else 0.9))
    return picture


def _dark(picture: Image.Image) -> bool:
    value = picture.convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return isinstance(value, (int, float)) and value < 80


def graded(picture: Image.Image, mood: Mood, stage: Stage) -> Image.Image:
    """The picture in the tones that mood and colour words ask for."""
    if mood.colours and not stage.obeys_colours:
        picture = _split(picture, mood)
    if mood.warmth:
        glass = (255, 222, 178) if mood.warmth > 0 else (196, 220, 255)
        picture = paint.tinted(picture, glass, 0.42 * abs(mood.warmth))
    if mood.softness > 0:
        grey = picture.convert("L").convert("RGB")
        picture = Image.blend(Image.blend(picture, grey, 0.22 * mood.softness), Image.new("RGB", picture.size, (250, 242, 240)), 0.24 * mood.softness)
    elif mood.softness < 0:
        grey = picture.convert("L").convert("RGB")
        picture = Image.blend(grey, picture, 1 - 0.3 * mood.softness)
    if mood.brightness:
        gain = 1.0 + 0.14 * mood.brightness
        picture = picture.point([min(255, round(255 * (level / 255) ** (1 / gain))) for level in range(256)] * 3)
    return picture


def _split(picture: Image.Image, mood: Mood) -> Image.Image:
    """Light areas lean to the first colour named, dark areas to the last."""
    tone = paint.colourised(picture.convert("L"), paint.scaled(mood.colours[-1], 0.35), paint.mix(mood.colours[0], WHITE, 0.6))
    return Image.blend(picture, tone, 0.2)
