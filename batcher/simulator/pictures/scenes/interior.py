"""How rooms are built: a wall with things on it, out of focus, behind a table top; and how they light what stands on the table."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import WHITE, Colour, Size
from batcher.simulator.pictures.scenes import surfaces
from batcher.simulator.pictures.stage import Brief, Hour, Stage

SUN: dict[Hour, Colour] = {"day": (255, 244, 220), "golden": (255, 200, 128), "dusk": (220, 150, 160), "night": (120, 140, 200)}
TABLE = 0.64
WOODS: tuple[Colour, ...] = ((176, 124, 78), (148, 98, 60), (198, 152, 104))


@dataclass(frozen=True, slots=True)
class Room:
    """A room that is being painted, at half size: its wall, and what the things in it are placed by.

    `unit` is the measure of furniture in pixels, `line` the far edge of the table, `side` where the light comes from (-1 left, 1 right).
    """

    image: Image.Image
    rng: Random
    hour: Hour
    side: int
    unit: float

    @property
    def width(self) -> int:
        """The width of the wall in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """The height of the wall in pixels."""
        return self.image.height

    @property
    def line(self) -> float:
        """The row at which the table begins."""
        return self.image.height * TABLE

    @property
    def late(self) -> bool:
        """Whether it is after sunset."""
        return self.hour in ("dusk", "night")

    def across(self, near: float, far: float) -> tuple[float, float]:
        """A span given in shares of the width from the side of the light, in pixels from left to right."""
        start, end = (near * self.width, far * self.width) if self.side < 0 else ((1 - far) * self.width, (1 - near) * self.width)
        return start, end

    def darkened(self) -> None:
        """Take the light of the hour onto everything painted so far."""
        self.image.paste(dimmed(self.image, self.hour))

    def light_spill(self, amount: float) -> None:
        """Let daylight spread from the side of the window."""
        centre = (self.width * (0.5 + 0.3 * self.side), self.height * 0.25)
        paint.glow(self.image, centre, (self.width * 0.6, self.height * 0.55), paint.scaled(SUN[self.hour], amount), 1.6)


def room(brief: Brief, name: str, hour: Hour, wall: Colour) -> Room:
    """An empty room with a wall of a colour."""
    size = (max(2, brief.size[0] // 2), max(2, brief.size[1] // 2))
    image = paint.vertical(size, [(0.0, paint.scaled(wall, 0.88)), (0.6, paint.scaled(wall, 0.96)), (1.0, paint.scaled(wall, 0.78))])
    rng = brief.rng(name)
    return Room(image, rng, hour, rng.choice((-1, 1)), min(size[0] * 0.9, size[1] * 0.95))


def sunbeam(room: Room, amount: float) -> None:
    """Slanting bands of light that a window throws on the wall; none after sunset."""
    if room.late:
        return
    width, height, side = room.width, room.height, -room.side
    mask = Image.new("L", room.image.size, 0)
    draw = ImageDraw.Draw(mask)
    for band in range(3):
        x = width * (0.5 - side * 0.1) + side * width * 0.13 * band
        slide = side * height * 0.45
        draw.polygon([(x, 0), (x + width * 0.09, 0), (x + width * 0.09 - slide, height), (x - slide, height)], fill=255)
    room.image.paste(SUN[room.hour], (0, 0), paint.strength(paint.blur(mask, width * 0.02), amount))


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
        ambient={"day": (240, 236, 232), "golden": (236, 206, 180), "dusk": (204, 176, 172), "night": (188, 160, 150)}[hour],
        light_x=0.7 * side,
        exposure={"day": 1.0, "golden": 0.98, "dusk": 0.95, "night": 0.9}[hour],
        rim=0.5 if late else 0.3,
        shadow=0.6,
        shadow_colour=shadow_colour,
        gloss=gloss,
        hour=hour,
    )
