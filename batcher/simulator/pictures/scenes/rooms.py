"""The rooms themselves: what is on the wall, which table stands in front, how it is lit."""

from __future__ import annotations

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour
from batcher.simulator.pictures.scenes import furniture, interior, surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

CROCKERY: tuple[Colour, ...] = ((236, 228, 214), (196, 170, 138), (150, 170, 158), (214, 150, 116), (120, 136, 150), (244, 240, 232))
SPIRITS: tuple[Colour, ...] = ((196, 120, 52), (120, 150, 90), (220, 190, 130), (150, 70, 50), (90, 120, 130))
TOWELS: tuple[Colour, ...] = ((236, 228, 218), (206, 180, 160), (170, 186, 184))
LEAF: Colour = (86, 126, 80)
DIM: dict[Hour, float] = {"day": 1.0, "golden": 0.92, "dusk": 0.58, "night": 0.38}


def _wall(brief: Brief, name: str, usual: tuple[Colour, ...], pale: float) -> Colour:
    """The colour of a wall: the first one of the prompt, made paler, else one of the usual ones."""
    if brief.mood.colours:
        return paint.mix(brief.mood.colours[0], WHITE, pale)
    return brief.rng(f"{name}/wall").choice(usual)


def _at_hour(tones: tuple[Colour, ...], hour: Hour) -> tuple[Colour, ...]:
    return tuple(paint.scaled(tone, DIM[hour]) for tone in tones)


def paint_kitchen(brief: Brief) -> Stage:
    """A kitchen in the morning: window, shelves, tiles, and a wooden or stone worktop."""
    room = interior.room(
        brief, "kitchen", brief.mood.hour or "day", _wall(brief, "kitchen", ((218, 212, 200), (198, 208, 200), (212, 204, 208)), 0.2)
    )
    unit, line, rng = room.unit, room.line, room.rng
    furniture.tiles(room.image, (line - unit * 0.25, line), (unit * 0.075, unit * 0.047), (232, 230, 224), rng)
    room.darkened()
    tones = _at_hour(CROCKERY, room.hour)
    left, right = room.across(0.05, 0.05 + min(0.4, unit * 0.62 / room.width))
    for level in (0.21, 0.4):
        beyond = (right + unit * 0.08, room.width * 1.02) if room.side < 0 else (-room.width * 0.02, left - unit * 0.08)
        furniture.shelf(room.image, beyond, room.height * level, rng, (150, 106, 70), tones, unit)
    furniture.window(room.image, (left, -room.height * 0.06, right, line - unit * 0.165), room.hour, rng)
    furniture.plant(room.image, (left + (right - left) * (0.5 + room.side * 0.25), line), unit * 0.32, rng, (206, 130, 94), LEAF)
    for index in range(3):
        x = room.width * 0.5 - room.side * unit * (0.3 + 0.12 * index)
        furniture.jar(room.image, (x, line + 2), unit * 0.085, unit * (0.2 - 0.04 * index), tones[(index * 2 + 1) % len(tones)])
    interior.sunbeam(room, 0.14)
    if room.late:
        for x in (0.3, 0.7):
            paint.glow(room.image, (room.width * x, room.height * 0.05), (room.width * 0.4, room.height * 0.6), (150, 104, 54), 1.8)
    room.light_spill(0.2)
    return _kitchen_table(brief, room)


def _kitchen_table(brief: Brief, room: interior.Room) -> Stage:
    size = interior.surface_size(brief)
    if brief.says("marble", "stone", "granite", "quartz"):
        surface, gloss, edge = surfaces.marble(size, brief.rng("kitchen/top")), 0.5, WHITE
    else:
        surface, gloss, edge = surfaces.wood(size, brief.rng("kitchen/top"), room.rng.choice(interior.WOODS), 3), 0.24, (255, 226, 186)
    surface = interior.dimmed(surface, room.hour)
    paint.glow(surface, (size[0] * (0.5 + room.side * 0.35), 0), (size[0] * 0.6, size[1] * 1.1), paint.scaled(interior.SUN[room.hour], 0.2), 1.6)
    picture = interior.finish(room.image, brief, surface, focus=0.012, gloss=gloss, edge=edge)
    return interior.room_stage(picture, room.hour, room.side, gloss=gloss * 0.6)


def paint_living_room(brief: Brief) -> Stage:
    """A living room: sofa, lamp, framed pictures, a plant, and a coffee table in front."""
    walls = ((206, 196, 180), (172, 182, 176), (214, 188, 170))
    room = interior.room(brief, "living room", brief.mood.hour or "golden", _wall(brief, "living room", walls, 0.2))
    unit, line, rng = room.unit, room.line, room.rng
    middle = room.width * 0.5 + room.side * unit * 0.16
    furniture.framed_pictures(room.image, middle, room.height * 0.1, rng, unit)
    furniture.sofa(room.image, middle, line, rng.choice(((96, 116, 122), (150, 108, 88), (126, 128, 104))), unit)
    furniture.plant(room.image, (middle - room.side * unit * 0.82, line + unit * 0.05), unit * 0.62, rng, (226, 218, 206), LEAF)
    room.darkened()
    reach = min(unit * 0.8, room.width * (0.5 - 0.04) - unit * 0.16)
    furniture.floor_lamp(room.image, (middle + room.side * reach, line - unit * 0.62), line + unit * 0.2, unit)
    interior.sunbeam(room, 0.2)
    surface = interior.dimmed(surfaces.wood(interior.surface_size(brief), brief.rng("living room/table"), rng.choice(interior.WOODS), 4), room.hour)
    if room.late:
        paint.glow(surface, (surface.width * (0.5 + room.side * 0.3), 0), (surface.width * 0.6, surface.height), (110, 74, 40), 1.5)
    picture = interior.finish(room.image, brief, surface, focus=0.014, gloss=0.26, edge=(255, 220, 172))
    return interior.room_stage(picture, room.hour, room.side, gloss=0.16, lamp=True)


def paint_desk(brief: Brief) -> Stage:
    """A wooden desk before a bookcase and a window."""
    walls = ((120, 134, 138), (196, 186, 172), (104, 116, 108))
    room = interior.room(brief, "desk", brief.mood.hour or "day", _wall(brief, "desk", walls, 0.15))
    unit, line, rng = room.unit, room.line, room.rng
    furniture.bookcase(room.image, room.across(0.42, 1.02), line, rng, unit)
    room.darkened()
    left, right = room.across(0.02, 0.02 + min(0.36, unit * 0.6 / room.width))
    furniture.window(room.image, (left, -room.height * 0.05, right, line - unit * 0.1), room.hour, rng)
    furniture.plant(room.image, ((left + right) / 2, line + 2), unit * 0.26, rng, (232, 226, 216), LEAF)
    light: Colour = (80, 62, 36) if room.hour == "day" else (160, 118, 66)
    furniture.desk_lamp(room.image, (room.width * 0.5 - room.side * unit * 0.44, line - unit * 0.34), line, room.side, unit, light)
    room.light_spill(0.22)
    surface = interior.dimmed(surfaces.wood(interior.surface_size(brief), brief.rng("desk/top"), (150, 98, 58), 2), room.hour)
    glow = paint.scaled(interior.SUN[room.hour], 0.24)
    paint.glow(surface, (surface.width * (0.5 + room.side * 0.4), 0), (surface.width * 0.6, surface.height), glow, 1.6)
    picture = interior.finish(room.image, brief, surface, focus=0.011, gloss=0.28, edge=(255, 216, 166))
    return interior.room_stage(picture, room.hour, room.side, gloss=0.16)


def paint_cafe(brief: Brief) -> Stage:
    """A café: pendant lamps, a bar with bottles, a brick wall, a dark table."""
    hour: Hour = brief.mood.hour or "dusk"
    brick: Colour = (112, 74, 58) if hour in ("dusk", "night") else (186, 140, 114)
    if brief.mood.colours:
        brick = paint.mix(brick, brief.mood.colours[0], 0.5)
    room = interior.room(brief, "café", hour, brick)
    unit, line, rng = room.unit, room.line, room.rng
    furniture.tiles(room.image, (0, line), (unit * 0.09, unit * 0.038), brick, rng)
    bar = room.across(0.45, 1.05)
    for level in (0.24, 0.42):
        furniture.shelf(
            room.image, bar, room.height * level, rng, (58, 38, 28), [paint.scaled(tone, 0.55 if room.late else 0.95) for tone in SPIRITS], unit
        )
        paint.glow(room.image, (sum(bar) / 2, room.height * (level - 0.08)), ((bar[1] - bar[0]) * 0.6, unit * 0.2), (96, 62, 26), 1.5)
    room.image.paste((44, 30, 26), (round(bar[0]), round(line - unit * 0.16), round(bar[1]), round(line)))
    room.image.paste((150, 104, 66), (round(bar[0]), round(line - unit * 0.18), round(bar[1]), round(line - unit * 0.155)))
    left, right = room.across(0.04, 0.04 + min(0.38, unit * 0.5 / room.width))
    furniture.window(room.image, (left, room.height * 0.06, right, line - unit * 0.06), hour, rng)
    furniture.pendants(room.image, max(3, round(room.width / unit * 3)), rng, unit, (150, 96, 40) if room.late else (90, 64, 34))
    soft = paint.blur(room.image, min(room.image.size) * 0.009)
    for _ in range(16):
        tone = rng.choice(((255, 190, 104), (255, 214, 150), (255, 150, 84)))
        centre = (room.width * rng.random(), room.height * rng.uniform(0.05, 0.55))
        paint.bokeh(soft, centre, unit * rng.uniform(0.018, 0.05), paint.scaled(tone, rng.uniform(0.12, 0.34)))
    surface = surfaces.wood(interior.surface_size(brief), brief.rng("café/table"), (92, 60, 42) if room.late else (130, 88, 60), 3)
    paint.glow(surface, (surface.width * 0.5, surface.height * 0.2), (surface.width * 0.5, surface.height * 0.8), (84, 54, 28), 1.5)
    picture = interior.finish(soft, brief, surface, focus=0.004, gloss=0.5, edge=(255, 196, 128))
    return interior.room_stage(picture, hour, room.side, gloss=0.26, lamp=True, shadow_colour=(18, 10, 8))


def paint_bathroom(brief: Brief) -> Stage:
    """A bright bathroom: tiles, a round mirror, towels, a marble shelf in front."""
    tint = _wall(brief, "bathroom", ((196, 214, 212), (218, 206, 198), (204, 212, 222)), 0.15)
    tile = paint.mix(tint, WHITE, 0.25)
    room = interior.room(brief, "bathroom", brief.mood.hour or "day", paint.scaled(tile, 0.88))
    unit, line, rng = room.unit, room.line, room.rng
    furniture.tiles(room.image, (0, line), (unit * 0.12, unit * 0.12), tile, rng)
    room.darkened()
    centre = (room.width * 0.5 - room.side * unit * 0.42, room.height * 0.24)
    bright, low = _at_hour(((238, 244, 244), paint.scaled(tint, 0.84)), room.hour)
    furniture.round_mirror(room.image, centre, unit * 0.3, bright, low)
    folded = room.width * 0.5 + room.side * unit * 0.5
    furniture.towels(room.image, folded, line, _at_hour(TOWELS, room.hour), unit)
    furniture.plant(room.image, (folded + room.side * unit * 0.34, line), unit * 0.5, rng, (240, 236, 230), LEAF)
    furniture.jar(room.image, (centre[0] - room.side * unit * 0.2, line), unit * 0.09, unit * 0.2, (176, 120, 70))
    furniture.jar(room.image, (centre[0] - room.side * unit * 0.06, line), unit * 0.08, unit * 0.13, (226, 216, 206))
    if room.late:
        paint.glow(room.image, centre, unit * 0.8, (150, 112, 70), 1.8)
    paint.glow(
        room.image, (room.width * (0.5 + room.side * 0.5), 0), (room.width * 0.8, room.height * 0.7), paint.scaled(interior.SUN[room.hour], 0.12), 1.6
    )
    surface = interior.dimmed(surfaces.marble(interior.surface_size(brief), brief.rng("bathroom/marble")), room.hour)
    picture = interior.finish(room.image, brief, surface, focus=0.011, gloss=0.55, edge=WHITE)
    return interior.room_stage(picture, room.hour, room.side, gloss=0.34, shadow_colour=(60, 58, 62))
