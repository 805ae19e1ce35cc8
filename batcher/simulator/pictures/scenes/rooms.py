"""The rooms themselves: what is on the wall, which table stands in front, how it is lit."""

from __future__ import annotations

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour
from batcher.simulator.pictures.scenes import interior, surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

CROCKERY: tuple[Colour, ...] = ((236, 228, 214), (196, 170, 138), (150, 170, 158), (214, 150, 116), (120, 136, 150), (244, 240, 232))
BOOKS: tuple[Colour, ...] = ((164, 74, 62), (60, 92, 112), (214, 178, 112), (88, 108, 84), (226, 216, 200), (120, 84, 100))


def paint_kitchen(brief: Brief) -> Stage:
    """A kitchen in the morning: window, shelf, tiles, and a wooden or stone worktop."""
    hour: Hour = brief.mood.hour or "day"
    rng = brief.rng("kitchen")
    side = rng.choice((-1, 1))
    wall: Colour = rng.choice(((232, 226, 214), (214, 222, 214), (226, 218, 222)))
    if brief.mood.colours:
        wall = paint.mix(brief.mood.colours[0], WHITE, 0.25)
    image, size, unit = interior.canvas(brief, [(0.0, paint.scaled(wall, 0.98)), (0.7, paint.scaled(wall, 0.86)), (1.0, paint.scaled(wall, 0.7))])
    width, height = size
    line = height * interior.TABLE
    draw = ImageDraw.Draw(image)
    tile = unit * 0.075
    top = line - tile * 3.4
    row = 0
    while top + row * tile * 0.62 < line:
        offset = tile * 0.5 * (row % 2)
        for column in range(-1, int(width / tile) + 2):
            x, y = column * tile + offset, top + row * tile * 0.62
            draw.rectangle((x, y, x + tile * 0.94, y + tile * 0.56), fill=paint.scaled((246, 244, 240), rng.uniform(0.93, 1.0)))
        row += 1
    image = interior.dimmed(image, hour)
    span = min(width * 0.4, unit * 0.62)
    left = width * 0.05 if side < 0 else width * 0.95 - span
    board = (150, 106, 70)
    shelf_left, shelf_right = (left + span + unit * 0.08, width * 1.02) if side < 0 else (-width * 0.02, left - unit * 0.08)
    tones = tuple(paint.scaled(tone, {"day": 1.0, "golden": 0.9, "dusk": 0.55, "night": 0.35}[hour]) for tone in CROCKERY)
    for level in (0.21, 0.4):
        interior.shelf(image, (shelf_left, shelf_right, height * level), rng, board, tones, unit)
    interior.window(image, (left, -height * 0.06, left + span, line - tile * 2.2), hour, rng)
    interior.plant(image, (left + span * (0.25 if side < 0 else 0.75), line - tile * 0.2), unit * 0.32, rng, (206, 130, 94), (86, 128, 74))
    draw = ImageDraw.Draw(image)
    for index in range(3):
        x = width * 0.5 - side * (unit * (0.3 + 0.12 * index))
        interior.jar(draw, x, line + 2, unit * 0.085, unit * (0.2 - 0.04 * index), tones[(index * 2 + 1) % len(tones)])
    image = interior.sunbeam(image, -side, interior.SUN[hour], 0.22 if hour in ("day", "golden") else 0.0)
    if hour in ("dusk", "night"):
        for x in (0.3, 0.7):
            paint.glow(image, (width * x, height * 0.05), (width * 0.4, height * 0.6), (150, 104, 54), 1.8)
    glow = paint.scaled(interior.SUN[hour], 0.32)
    paint.glow(image, (left + span / 2, height * 0.25), (width * 0.6, height * 0.55), glow, 1.6)
    size_of_top = interior.surface_size(brief)
    if brief.says("marble", "stone", "granite", "quartz"):
        surface = surfaces.marble(size_of_top, brief.rng("kitchen/top"))
        gloss, edge = 0.5, WHITE
    else:
        surface = surfaces.wood(size_of_top, brief.rng("kitchen/top"), rng.choice(interior.WOODS), 3)
        gloss, edge = 0.24, (255, 226, 186)
    surface = interior.dimmed(surface, hour)
    paint.glow(surface, (size_of_top[0] * (0.5 + side * 0.35), 0), (size_of_top[0] * 0.6, size_of_top[1] * 1.1), paint.scaled(interior.SUN[hour], 0.26), 1.6)
    return interior.room_stage(interior.finish(image, brief, surface, focus=0.012, gloss=gloss, edge=edge), hour, side, gloss=gloss * 0.6)


def paint_living_room(brief: Brief) -> Stage:
    """A living room: sofa, lamp, framed pictures, a plant, and a coffee table in front."""
    hour: Hour = brief.mood.hour or "golden"
    rng = brief.rng("living room")
    side = rng.choice((-1, 1))
    wall = paint.mix(brief.mood.colours[0], WHITE, 0.2) if brief.mood.colours else rng.choice(((206, 196, 180), (172, 182, 176), (214, 188, 170)))
    image, size, unit = interior.canvas(brief, [(0.0, paint.scaled(wall, 0.92)), (0.6, wall), (1.0, paint.scaled(wall, 0.8))])
    width, height = size
    line = height * interior.TABLE
    draw = ImageDraw.Draw(image)
    middle = width * 0.5 + side * unit * 0.16
    for index, (dx, tall) in enumerate(((-0.2, 0.26), (0.06, 0.2), (0.28, 0.24))):
        x, y = middle + dx * unit, height * 0.1 + unit * 0.02 * index
        draw.rectangle((x, y, x + unit * 0.18, y + unit * tall), fill=(74, 58, 46))
        draw.rectangle((x + unit * 0.012, y + unit * 0.012, x + unit * 0.168, y + unit * (tall - 0.012)), fill=(236, 230, 220))
        draw.ellipse((x + unit * 0.045, y + unit * 0.06, x + unit * 0.135, y + unit * 0.15), fill=rng.choice(((214, 132, 96), (108, 136, 140), (222, 180, 110))))
    fabric = rng.choice(((96, 116, 122), (150, 108, 88), (126, 128, 104)))
    seat = line - unit * 0.3
    draw.rounded_rectangle((middle - unit * 0.62, seat, middle + unit * 0.62, line + unit * 0.3), radius=unit * 0.07, fill=fabric)
    draw.rounded_rectangle((middle - unit * 0.7, seat + unit * 0.1, middle - unit * 0.52, line + unit * 0.3), radius=unit * 0.05, fill=paint.scaled(fabric, 0.82))
    draw.rounded_rectangle((middle + unit * 0.52, seat + unit * 0.1, middle + unit * 0.7, line + unit * 0.3), radius=unit * 0.05, fill=paint.scaled(fabric, 0.82))
    for dx, tone in ((-0.38, (222, 178, 112)), (0.34, (232, 224, 212)), (0.18, (190, 112, 86))):
        draw.rounded_rectangle((middle + (dx - 0.13) * unit, seat + unit * 0.06, middle + (dx + 0.13) * unit, seat + unit * 0.28), radius=unit * 0.04, fill=tone)
    interior.plant(image, (middle - side * unit * 0.82, line + unit * 0.05), unit * 0.62, rng, (226, 218, 206), (82, 116, 80))
    image = interior.dimmed(image, hour)
    lamp = (middle + side * unit * 0.8, line - unit * 0.62)
    draw = ImageDraw.Draw(image)
    draw.rectangle((lamp[0] - unit * 0.008, lamp[1], lamp[0] + unit * 0.008, line + unit * 0.2), fill=(64, 50, 42))
    draw.polygon([(lamp[0] + dx * unit, lamp[1] + dy * unit) for dx, dy in ((-0.07, -0.1), (0.07, -0.1), (0.12, 0.1), (-0.12, 0.1))], fill=(255, 226, 172))
    paint.glow(image, lamp, unit * 0.75, (170, 116, 58), 2.0)
    paint.glow(image, (lamp[0], lamp[1] + unit * 0.02), unit * 0.22, (120, 96, 56), 2.0)
    image = interior.sunbeam(image, side, interior.SUN[hour], 0.2 if hour in ("day", "golden") else 0.0)
    surface = interior.dimmed(surfaces.wood(interior.surface_size(brief), brief.rng("living/table"), rng.choice(interior.WOODS), 5), hour)
    if hour in ("dusk", "night"):
        paint.glow(surface, (surface.width * (0.5 + side * 0.3), 0), (surface.width * 0.6, surface.height), (110, 74, 40), 1.5)
    picture = interior.finish(image, brief, surface, focus=0.014, gloss=0.26, edge=(255, 220, 172))
    return interior.room_stage(picture, hour, side, gloss=0.16, lamp=True)


def paint_desk(brief: Brief) -> Stage:
    """A wooden desk before a bookcase and a window."""
    hour: Hour = brief.mood.hour or "day"
    rng = brief.rng("desk")
    side = rng.choice((-1, 1))
    wall = paint.mix(brief.mood.colours[0], WHITE, 0.15) if brief.mood.colours else rng.choice(((120, 134, 138), (196, 186, 172), (104, 116, 108)))
    image, size, unit = interior.canvas(brief, [(0.0, paint.scaled(wall, 0.9)), (0.64, wall), (1.0, paint.scaled(wall, 0.8))])
    width, height = size
    line = height * interior.TABLE
    draw = ImageDraw.Draw(image)
    start, end = (width * 0.42, width * 1.02) if side < 0 else (-width * 0.02, width * 0.58)
    draw.rectangle((start, -2, end, line + 2), fill=(92, 64, 44))
    for level in range(4):
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
    image = interior.dimmed(image, hour)
    span = min(width * 0.36, unit * 0.6)
    left = width * 0.02 if side < 0 else width * 0.98 - span
    interior.window(image, (left, -height * 0.05, left + span, line - unit * 0.1), hour, rng)
    interior.plant(image, (left + span * 0.5, line + 2), unit * 0.26, rng, (232, 226, 216), (84, 122, 86))
    lamp = (width * 0.5 - side * unit * 0.44, line - unit * 0.34)
    draw = ImageDraw.Draw(image)
    draw.line([(lamp[0] - side * unit * 0.1, line), (lamp[0] - side * unit * 0.2, line - unit * 0.22), lamp], fill=(40, 40, 44), width=max(2, round(unit * 0.016)))
    draw.polygon([(lamp[0] + dx * unit, lamp[1] + dy * unit) for dx, dy in ((-0.03, -0.05), (0.03, -0.05), (0.09, 0.05), (-0.09, 0.05))], fill=(40, 40, 44))
    paint.glow(image, (lamp[0], lamp[1] + unit * 0.08), (unit * 0.36, unit * 0.34), (160, 118, 66) if hour != "day" else (80, 62, 36), 1.8)
    paint.glow(image, (left + span / 2, height * 0.25), (width * 0.5, height * 0.5), paint.scaled(interior.SUN[hour], 0.24), 1.6)
    surface = interior.dimmed(surfaces.wood(interior.surface_size(brief), brief.rng("desk/top"), (150, 98, 58), 2), hour)
    paint.glow(surface, (surface.width * (0.5 + side * 0.4), 0), (surface.width * 0.6, surface.height), paint.scaled(interior.SUN[hour], 0.24), 1.6)
    picture = interior.finish(image, brief, surface, focus=0.011, gloss=0.28, edge=(255, 216, 166))
    return interior.room_stage(picture, hour, side, gloss=0.16)


def paint_cafe(brief: Brief) -> Stage:
    """A café: pendant lamps, a bar with bottles, a brick wall, a dark table."""
    hour: Hour = brief.mood.hour or "dusk"
    rng = brief.rng("café")
    side = rng.choice((-1, 1))
    late = hour in ("dusk", "night")
    wall: Colour = (112, 74, 58) if late else (186, 140, 114)
    if brief.mood.colours:
        wall = paint.mix(wall, brief.mood.colours[0], 0.5)
    image, size, unit = interior.canvas(brief, [(0.0, paint.scaled(wall, 0.6)), (0.5, wall), (1.0, paint.scaled(wall, 0.5))])
    width, height = size
    line = height * interior.TABLE
    draw = ImageDraw.Draw(image)
    brick = unit * 0.09
    for row in range(int(line / (brick * 0.42)) + 1):
        for column in range(-1, int(width / brick) + 2):
            x, y = column * brick + brick * 0.5 * (row % 2), row * brick * 0.42
            draw.rectangle((x, y, x + brick * 0.93, y + brick * 0.36), fill=paint.scaled(wall, rng.uniform(0.78, 1.12)))
    start, end = (width * 0.45, width * 1.05) if side > 0 else (-width * 0.05, width * 0.55)
    factor = 0.55 if late else 0.95
    glass = tuple(paint.scaled(tone, factor) for tone in ((196, 120, 52), (120, 150, 90), (220, 190, 130), (150, 70, 50), (90, 120, 130)))
    for level in (0.24, 0.42):
        interior.shelf(image, (start, end, height * level), rng, (58, 38, 28), glass, unit)
        paint.glow(image, ((start + end) / 2, height * (level - 0.08)), (abs(end - start) * 0.6, unit * 0.2), (96, 62, 26), 1.5)
    draw = ImageDraw.Draw(image)
    draw.rectangle((start, line - unit * 0.16, end, line), fill=(44, 30, 26))
    draw.rectangle((start, line - unit * 0.18, end, line - unit * 0.155), fill=(150, 104, 66))
    span = unit * 0.5
    left = width * 0.04 if side > 0 else width * 0.96 - span
    interior.window(image, (left, height * 0.06, left + span, line - unit * 0.06), hour, rng, 2)
    count = max(3, round(width / unit * 3))
    for index in range(count):
        centre = (width * (index + 0.5) / count, height * (0.1 + 0.05 * rng.random()))
        ImageDraw.Draw(image).line([(centre[0], 0), centre], fill=(30, 22, 20), width=max(1, round(unit * 0.006)))
        paint.glow(image, centre, unit * 0.46, (150, 96, 40) if late else (90, 64, 34), 2.0)
        paint.bokeh(image, centre, unit * 0.038, (255, 216, 150))
    image = paint.blur(image, min(size) * 0.009)
    for _ in range(16):
        centre = (width * rng.random(), height * rng.uniform(0.05, 0.55))
        paint.bokeh(image, centre, unit * rng.uniform(0.018, 0.05), paint.scaled(rng.choice(((255, 190, 104), (255, 214, 150), (255, 150, 84))), rng.uniform(0.12, 0.34)))
    tone: Colour = (92, 60, 42) if late else (130, 88, 60)
    surface = surfaces.wood(interior.surface_size(brief), brief.rng("café/table"), tone, 3)
    paint.glow(surface, (surface.width * 0.5, surface.height * 0.2), (surface.width * 0.5, surface.height * 0.8), (84, 54, 28), 1.5)
    picture = interior.finish(image, brief, surface, focus=0.004, gloss=0.5, edge=(255, 196, 128))
    return interior.room_stage(picture, hour, side, gloss=0.26, lamp=True, shadow_colour=(18, 10, 8))


def paint_bathroom(brief: Brief) -> Stage:
    """A bright bathroom: tiles, a round mirror, towels, a marble shelf in front."""
    hour: Hour = brief.mood.hour or "day"
    rng = brief.rng("bathroom")
    side = rng.choice((-1, 1))
    tint = brief.mood.colours[0] if brief.mood.colours else rng.choice(((206, 222, 220), (224, 214, 208), (214, 220, 228)))
    tile_tone = paint.mix(tint, WHITE, 0.35)
    image, size, unit = interior.canvas(brief, [(0.0, paint.scaled(tile_tone, 0.84)), (1.0, paint.scaled(tile_tone, 0.78))])
    width, height = size
    line = height * interior.TABLE
    draw = ImageDraw.Draw(image)
    tile = unit * 0.085
    for row in range(int(line / (tile * 2)) + 2):
        for column in range(int(width / tile) + 1):
            x, y = column * tile, line - (row + 1) * tile * 2 + tile * (column % 2)
            draw.rectangle((x, y, x + tile * 0.93, y + tile * 1.94), fill=paint.scaled(tile_tone, rng.uniform(0.92, 1.05)))
    image = interior.dimmed(image, hour)
    centre = (width * 0.5 - side * unit * 0.42, height * 0.24)
    radius = unit * 0.3
    draw = ImageDraw.Draw(image)
    draw.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), fill=(190, 154, 96))
    radius *= 0.95
    glass = interior.dimmed(paint.vertical((round(radius * 2), round(radius * 2)), [(0.0, (244, 248, 248)), (1.0, paint.scaled(tint, 0.86))]), hour)
    disc = Image.new("L", glass.size, 0)
    ImageDraw.Draw(disc).ellipse((0, 0, *glass.size), fill=255)
    image.paste(glass, (round(centre[0] - radius), round(centre[1] - radius)), disc)
    draw = ImageDraw.Draw(image)
    folded = width * 0.5 + side * unit * 0.5
    for index, tone in enumerate(((236, 228, 218), (206, 180, 160), (170, 186, 184))):
        base = line - index * unit * 0.085
        shown = tuple(paint.scaled(tone, {"day": 1.0, "golden": 0.92, "dusk": 0.6, "night": 0.42}[hour]))
        draw.rounded_rectangle((folded - unit * 0.18, base - unit * 0.08, folded + unit * 0.18, base), radius=unit * 0.035, fill=shown)  # type: ignore[arg-type]
    interior.plant(image, (folded + side * unit * 0.34, line), unit * 0.5, rng, (240, 236, 230), (90, 136, 96))
    interior.jar(ImageDraw.Draw(image), centre[0] - side * unit * 0.2, line, unit * 0.09, unit * 0.2, (176, 120, 70))
    interior.jar(ImageDraw.Draw(image), centre[0] - side * unit * 0.06, line, unit * 0.08, unit * 0.13, (226, 216, 206))
    if hour in ("dusk", "night"):
        paint.glow(image, centre, unit * 0.8, (150, 112, 70), 1.8)
    paint.glow(image, (width * (0.5 + side * 0.5), 0), (width * 0.8, height * 0.7), paint.scaled(interior.SUN[hour], 0.26), 1.6)
    surface = interior.dimmed(surfaces.marble(interior.surface_size(brief), brief.rng("bathroom/marble")), hour)
    picture = interior.finish(image, brief, surface, focus=0.011, gloss=0.55, edge=WHITE)
    return interior.room_stage(picture, hour, side, gloss=0.34, shadow_colour=(60, 58, 62))
