"""The scene for a prompt that names no place: soft colours, a floor, lights out of focus."""

from __future__ import annotations

from random import Random

from PIL import Image

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour
from batcher.simulator.pictures.scenes import surfaces
from batcher.simulator.pictures.stage import Brief, Stage

LINE = 0.68


def paint_abstract(brief: Brief) -> Stage:
    """A graded backdrop whose palette comes from the colour words of the prompt, else from its letters."""
    width, height = brief.size
    dark = brief.mood.hour == "night" or brief.mood.brightness < -0.3
    palette = [paint.scaled(colour, 0.42) for colour in _palette(brief)] if dark else _palette(brief)
    image = _lights(brief, palette, dark).resize(brief.size, Image.Resampling.BICUBIC)
    line = round(height * LINE)
    floor = paint.vertical((width, height - line), [(0.0, paint.scaled(palette[0], 0.84)), (1.0, paint.scaled(palette[1], 0.8))])
    floor = surfaces.polished(floor, image, line, 0.5, 0.05)
    paint.glow(floor, (width / 2, floor.height * 0.45), (width * 0.45, floor.height * 0.6), paint.scaled(palette[2], 0.22), 1.5)
    image = surfaces.laid(image, floor, line)
    soft = paint.blur(image, min(brief.size) * 0.02)
    image = Image.composite(soft, image, paint.fade(brief.size, [(LINE - 0.06, 0.0), (LINE, 1.0), (LINE + 0.06, 0.0)]))
    return Stage(
        image,
        ground=0.86,
        light=paint.mix(palette[2], WHITE, 0.6),
        ambient=paint.mix(palette[0], WHITE, 0.5),
        light_x=brief.rng("abstract/side").choice((-0.5, 0.5)),
        exposure=0.86 if dark else 1.0,
        rim=0.45,
        shadow=0.55,
        shadow_colour=paint.scaled(palette[1], 0.2),
        gloss=0.22,
        obeys_colours=True,
        hour="night" if dark else "day",
    )


def _palette(brief: Brief) -> list[Colour]:
    """Three colours that go together."""
    # The words alone choose the hue, so that the same prompt keeps its palette whatever the seed.
    rng = Random(f"abstract/{' '.join(sorted(brief.words))}")
    turn, spread = rng.random(), rng.choice((0.08, 0.12, 0.42, 0.55))
    palette = list(brief.mood.colours[:3])
    if not palette:
        return [paint.hsv(turn, 0.42, 0.9), paint.hsv(turn + spread, 0.5, 0.72), paint.hsv(turn - 0.07, 0.36, 0.95)]
    while len(palette) < 3:
        palette.append(paint.mix(palette[0], WHITE if len(palette) == 1 else (40, 40, 66), 0.42))
    return palette


def _lights(brief: Brief, palette: list[Colour], dark: bool) -> Image.Image:
    """Soft clouds of the palette and lights out of focus, at half size."""
    rng = brief.rng("abstract/lights")
    size = (max(2, brief.size[0] // 2), max(2, brief.size[1] // 2))
    unit = min(size)
    image = paint.vertical(size, [(0.0, paint.scaled(palette[1], 0.8)), (0.7, palette[0]), (1.0, palette[0])])
    for index in range(7):
        centre = (size[0] * rng.random(), size[1] * rng.uniform(0.0, 0.7))
        paint.shade(image, centre, unit * rng.uniform(0.4, 0.8), palette[index % 3], 0.6, 1.2)
    paint.shade(image, (size[0] * 0.5, size[1] * 0.42), unit * 0.6, paint.mix(palette[2], WHITE, 0.4), 0.5, 1.4)
    for _ in range(30):
        centre = (size[0] * rng.random(), size[1] * rng.uniform(0.02, 0.66))
        colour = paint.mix(rng.choice(palette), WHITE, 0.5)
        paint.bokeh(image, centre, unit * rng.uniform(0.015, 0.075), paint.scaled(colour, rng.uniform(0.05, 0.4 if dark else 0.22)))
    return image
