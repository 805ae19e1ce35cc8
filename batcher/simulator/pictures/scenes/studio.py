"""A photographer's studio: a sweep of coloured paper, a pool of light, sometimes the shadow of a window or a podium."""

from __future__ import annotations

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour
from batcher.simulator.pictures.stage import Brief, Stage

PAPERS: tuple[Colour, ...] = ((232, 168, 152), (150, 182, 190), (226, 200, 150), (172, 188, 160), (196, 176, 212), (218, 214, 206), (92, 116, 148))
BEND = 0.66


def paint_studio(brief: Brief) -> Stage:
    """Paper that curves from the wall into the floor, lit by one lamp."""
    width, height = brief.size
    rng = brief.rng("studio")
    colour = brief.mood.colours[0] if brief.mood.colours else rng.choice(PAPERS)
    if not brief.mood.colours and brief.says("white", "clean", "seamless"):
        colour = (240, 240, 238)
    accent = brief.mood.colours[1] if len(brief.mood.colours) > 1 else None
    low_key = brief.mood.hour == "night" or brief.mood.brightness < -0.3 or brief.says("black", "dramatic")
    side = rng.choice((-1, 1))
    image = _sweep(brief, colour, accent, low_key)
    pool = (width * (0.5 + side * rng.uniform(0.02, 0.12)), height * rng.uniform(0.36, 0.46))
    unit = min(width, height)
    light = paint.mix(colour, WHITE, 0.55)
    if low_key:
        paint.shade(image, pool, (unit * 0.62, unit * 0.58), paint.mix(colour, WHITE, 0.2), 0.85, 1.3)
    paint.shade(image, pool, (unit * 0.8, unit * 0.7), light, 0.6 if not low_key else 0.4, 1.6)
    paint.shade(image, (width * 0.5, height * 0.84), (width * 0.55, height * 0.16), light, 0.4, 1.5)
    if rng.random() < 0.45 and not low_key and not brief.says("plain", "clean", "seamless", "minimal"):
        image = _gobo(image, brief, colour, side)
    ground = 0.86
    if brief.says("podium", "pedestal", "plinth", "platform", "stand"):
        _podium(image, colour, side)
        ground = 0.8
    return Stage(
        image,
        ground=ground,
        height=0.56 if ground > 0.82 else 0.48,
        light=(255, 250, 244),
        ambient=paint.mix(colour, WHITE, 0.7),
        light_x=-0.5 * side,
        exposure=0.98 if low_key else 1.0,
        rim=0.45 if low_key else 0.2,
        shadow=0.55,
        shadow_colour=paint.scaled(colour, 0.22),
        gloss=0.1,
        obeys_colours=True,
    )


def _sweep(brief: Brief, colour: Colour, accent: Colour | None, low_key: bool) -> Image.Image:
    base = paint.scaled(colour, 0.36) if low_key else colour
    wall, deep = paint.scaled(base, 0.93), paint.scaled(base, 0.8)
    stops = [
        (0.0, deep),
        (0.38, wall),
        (BEND - 0.04, paint.scaled(base, 0.82)),
        (BEND + 0.08, paint.scaled(base, 0.96)),
        (0.88, base),
        (1.0, paint.scaled(base, 0.8)),
    ]
    image = paint.vertical(brief.size, stops)
    width, height = brief.size
    if accent is not None:
        paint.shade(image, (width * 0.92, height * 0.25), (width * 0.75, height * 0.9), accent, 0.85, 1.2)
    fibre = paint.noise(brief.rng("studio/paper"), brief.size, (5, 5), 2, 0.7)
    return Image.blend(image, paint.colourised(fibre, paint.scaled(base, 0.7), paint.mix(base, WHITE, 0.3)), 0.05)


def _gobo(image: Image.Image, brief: Brief, colour: Colour, side: int) -> Image.Image:
    """The light of a window with its bars, or leaves in front of the lamp, on the wall."""
    width, height = image.size
    rng = brief.rng("studio/gobo")
    small = (width // 3, height // 3)
    unit = min(small)
    mask = Image.new("L", small, 0)
    draw = ImageDraw.Draw(mask)
    if rng.random() < 0.5:
        left, top = small[0] * rng.uniform(0.14, 0.3), small[1] * rng.uniform(0.02, 0.1)
        pane, slant = unit * 0.27, 0.42 * side
        for column in range(2):
            for row in range(3):
                x, y = left + column * pane * 1.12, top + row * pane * 0.84
                corners = [(x, y), (x + pane, y), (x + pane, y + pane * 0.74), (x, y + pane * 0.74)]
                draw.polygon([(px + (py - top) * slant, py + (px - left) * 0.16 * side) for px, py in corners], fill=255)
        mask = paint.blur(mask, unit * 0.012)
        lit = paint.mix(colour, WHITE, 0.62)
        amount = 0.5
    else:
        for _ in range(26):
            x, y = small[0] * rng.random(), small[1] * rng.uniform(-0.05, 0.75)
            leaf = Image.new("L", (round(unit * 0.34), round(unit * 0.34)), 0)
            ImageDraw.Draw(leaf).ellipse((0, leaf.height * 0.4, leaf.width, leaf.height * 0.6), fill=255)
            leaf = leaf.rotate(35 * side + rng.uniform(-40, 40), Image.Resampling.BILINEAR)
            mask.paste(255, (round(x), round(y)), leaf)
        mask = paint.blur(mask, unit * 0.025)
        lit = paint.scaled(colour, 0.62)
        amount = 0.42
    mask.paste(0, (0, 0), paint.fade(small, [(0.5, 0.0), (0.78, 1.0)]))
    return paint.over(image, lit, paint.strength(mask.resize(image.size, Image.Resampling.BICUBIC), amount))


def _podium(image: Image.Image, colour: Colour, side: int) -> None:
    width, height = image.size
    half, top = min(width * 0.42, height * 0.44), height * 0.8
    flat = half * 0.15
    scale = 2
    big = Image.new("L", (width * scale, round(height * 0.4) * scale), 0)
    shift = height * 0.66
    draw = ImageDraw.Draw(big)
    centre = width / 2
    box = [(centre - half) * scale, (top - flat - shift) * scale, (centre + half) * scale, (top + flat - shift) * scale]
    draw.rectangle((box[0], (top - shift) * scale, box[2], big.height), fill=255)
    body = big.reduce(scale)
    draw.ellipse(box, fill=255)
    whole = big.reduce(scale)
    sides = paint.horizontal(
        body.size, [(0.0, paint.scaled(colour, 0.6)), (0.5 - 0.2 * side, paint.mix(colour, WHITE, 0.25)), (1.0, paint.scaled(colour, 0.55))]
    )
    image.paste(sides, (0, round(shift)), whole)
    lid = Image.new("L", (width * scale, round(height * 0.4) * scale), 0)
    ImageDraw.Draw(lid).ellipse(box, fill=255)
    image.paste(paint.mix(colour, WHITE, 0.42), (0, round(shift)), lid.reduce(scale))
