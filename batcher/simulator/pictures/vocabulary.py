"""The words that prompts are understood by: places, colours, hours, moods, and nouns that can be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.stage import Hour


def _split(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(","))


def _weighed(table: dict[str, dict[int, str]]) -> Mapping[str, Mapping[str, int]]:
    return MappingProxyType({name: {word: weight for weight, words in rows.items() for word in _split(words)} for name, rows in table.items()})


SCENES: Mapping[str, Mapping[str, int]] = _weighed(
    {
        "street": {
            6: "times square",
            5: "street, neon, alley, downtown, tokyo, cyberpunk, new york",
            4: "city, urban, asphalt, traffic, sidewalk, pavement, crosswalk, skyline, metropolis, paris, car park",
            3: "road, rooftop, parking",
            2: "puddles",
            1: "shop",
        },
        "beach": {
            6: "beach",
            5: "ocean, shore, seaside, coast, seashore",
            4: "sea, waves, tropical, surf, island, lagoon, pier",
            3: "sand, sandy, palm, palms, bay, harbour, harbor, underwater",
        },
        "kitchen": {
            6: "kitchen",
            4: "countertop, worktop, breakfast, stove, pantry, cutting board",
            3: "counter, cooking, dining, chopping, farmhouse, bakery",
        },
        "studio": {
            5: "studio, sweep, podium, pedestal, plinth, cyclorama, white background",
            4: "seamless, spotlight, softbox, packshot",
            3: "paper, backdrop, gradient, plain, catalogue, catalog, solid",
            2: "minimal, minimalist, monochrome",
        },
        "forest": {
            6: "forest, rainforest",
            5: "woods, woodland, jungle, redwood",
            4: "clearing, moss, mossy, fern, ferns, birch, undergrowth",
            3: "trees, pine, park",
            2: "autumn, leaves",
        },
        "mountains": {
            6: "mountain, mountains, alps",
            5: "alpine, glacier, summit, lake, ski, fjord",
            4: "peak, peaks, snow, snowy, valley, winter, arctic",
            3: "hiking, cliff, hills, hill, meadow, ice, campsite",
        },
        "desert": {
            6: "desert, dune, dunes, sahara",
            4: "arid, canyon, oasis, mars, wadi",
            3: "savanna",
        },
        "living room": {
            7: "living room",
            5: "bedroom, coffee table, nightstand, bedside",
            4: "lounge, sofa, couch, apartment, fireplace, hygge, loft",
            3: "home, interior, cosy, cozy, room, scandinavian, wooden table",
        },
        "desk": {
            6: "desk, library, bookshelf, bookshelves, bookcase",
            5: "office, workspace",
            4: "books, study, workbench, workshop, classroom",
        },
        "garden": {
            6: "garden",
            5: "flowers, wildflowers, backyard, poppies",
            4: "blossom, blossoms, floral, roses, tulips, picnic, greenhouse, lawn, terrace, patio, orchard, vineyard, botanical",
            3: "flower, spring, lavender, balcony, grass, field",
            2: "rose",
        },
        "bathroom": {
            6: "bathroom",
            5: "spa, vanity, washbasin",
            4: "marble, sink, towels, shower, bath",
            3: "tiles, tiled, towel, wellness",
        },
        "space": {
            7: "outer space",
            6: "galaxy, nebula",
            5: "planet, planets, cosmos, cosmic, universe, asteroid",
            4: "space, lunar, orbit, spaceship, sci-fi",
            3: "stars, moon",
        },
        "aurora": {
            9: "northern lights",
            8: "aurora, polar lights",
            7: "borealis",
            4: "iceland, lapland",
        },
        "café": {
            7: "coffee shop",
            6: "cafe, café, coffeehouse, bistro",
            5: "restaurant, pub, diner, barista, tavern, speakeasy",
            4: "bar",
            3: "espresso, brick wall",
        },
    }
)
"""The words that speak for each scene, with how strongly they do; phrases count as well as words."""

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "red": (206, 56, 52),
        "crimson": (176, 32, 56),
        "burgundy": (122, 32, 52),
        "maroon": (118, 36, 42),
        "pink": (240, 150, 178),
        "rose": (226, 122, 140),
        "blush": (236, 190, 182),
        "magenta": (206, 60, 150),
        "fuchsia": (218, 58, 142),
        "coral": (244, 128, 104),
        "salmon": (246, 156, 134),
        "peach": (248, 194, 158),
        "orange": (240, 142, 58),
        "terracotta": (198, 108, 80),
        "rust": (176, 86, 48),
        "amber": (240, 176, 66),
        "yellow": (248, 212, 86),
        "mustard": (214, 166, 58),
        "golden": (226, 178, 92),
        "gold": (212, 168, 84),
        "cream": (246, 236, 214),
        "ivory": (246, 240, 226),
        "beige": (226, 208, 182),
        "sand-coloured": (224, 200, 160),
        "brown": (136, 96, 68),
        "chocolate": (96, 62, 46),
        "green": (94, 158, 98),
        "emerald": (30, 132, 96),
        "olive": (138, 140, 76),
        "sage": (168, 186, 154),
        "mint": (170, 222, 196),
        "lime": (176, 212, 78),
        "teal": (42, 140, 142),
        "turquoise": (70, 190, 190),
        "cyan": (80, 196, 216),
        "aqua": (110, 208, 208),
        "blue": (78, 128, 200),
        "navy": (34, 52, 98),
        "indigo": (70, 66, 150),
        "cobalt": (42, 84, 184),
        "sky-blue": (140, 196, 236),
        "purple": (132, 82, 168),
        "violet": (140, 100, 200),
        "lavender": (192, 176, 226),
        "lilac": (204, 178, 220),
        "plum": (124, 62, 104),
        "mauve": (186, 148, 176),
        "white": (242, 242, 240),
        "black": (38, 38, 42),
        "grey": (152, 154, 158),
        "gray": (152, 154, 158),
        "charcoal": (66, 68, 74),
        "silver": (196, 200, 206),
    }
)

HOURS: Mapping[str, tuple[Hour, int]] = MappingProxyType(
    {
        "night": ("night", 4),
        "nighttime": ("night", 5),
        "night-time": ("night", 5),
        "midnight": ("night", 5),
        "moonlight": ("night", 4),
        "moonlit": ("night", 4),
        "evening": ("dusk", 3),
        "dusk": ("dusk", 4),
        "twilight": ("dusk", 4),
        "blue hour": ("dusk", 5),
        "sunset": ("golden", 4),
        "sunrise": ("golden", 4),
        "golden hour": ("golden", 6),
        "dawn": ("golden", 3),
        "late afternoon": ("golden", 4),
        "candlelit": ("dusk", 3),
        "candlelight": ("dusk", 3),
        "morning": ("day", 3),
        "daylight": ("day", 4),
        "noon": ("day", 4),
        "midday": ("day", 4),
        "sunny": ("day", 3),
        "daytime": ("day", 5),
        "afternoon": ("day", 2),
        "bright": ("day", 1),
        "day": ("day", 2),
    }
)
"""The hour that a word speaks for, and how strongly."""

RAIN = frozenset(_split("downpour, drizzle, rain, raining, rainy, storm, stormy, wet"))
SNOWFALL = frozenset(_split("snowing, snowfall, snowflakes, snowstorm, blizzard, flurries"))
SNOW = frozenset(_split("snow, snowy"))
FOG = frozenset(_split("fog, foggy, haze, hazy, mist, misty, smoke, smoky"))
WARM = frozenset(_split("amber, candlelit, cosy, cozy, rustic, sunlit, warm"))
COOL = frozenset(_split("chilly, cold, cool, frosty, icy"))
PASTEL = frozenset(_split("airy, delicate, dreamy, gentle, pale, pastel, soft"))
VIVID = frozenset(_split("bold, colorful, colourful, neon, saturated, vibrant, vivid"))
DARK = frozenset(_split("black, dark, dramatic, gloomy, low-key, moody, noir"))
BRIGHT = frozenset(_split("airy, bright, high-key, light-filled, sunny, white"))

NOUNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mug": _split("mug, cup, teacup, coffee mug"),
        "bottle": _split("bottle, flask, wine, perfume, shampoo, serum, lotion"),
        "vase": _split("vase, jug, amphora, pot, urn"),
        "lamp": _split("lamp, lantern, table lamp"),
        "chair": _split("chair, armchair, stool, seat"),
        "box": _split("box, package, parcel, carton, shoebox, gift"),
        "book": _split("book, notebook, journal"),
        "cat": _split("cat, kitten, kitty"),
        "dog": _split("dog, puppy, hound"),
        "bird": _split("bird, sparrow, robin, parrot"),
        "fish": _split("fish, goldfish"),
        "car": _split("car, automobile, taxi, van, convertible"),
        "boat": _split("boat, sailboat, ship, yacht"),
        "balloon": _split("balloon, hot-air balloon, air balloon"),
        "rocket": _split("rocket, spaceship, spacecraft"),
        "tree": _split("tree, oak, bonsai"),
        "house": _split("house, cottage, cabin, hut, lighthouse"),
        "flower": _split("flower, bouquet, tulip, sunflower, daisy"),
        "fruit": _split("apple, orange fruit, lemon, fruit, pear, peach fruit, tangerine"),
        "person": _split("person, woman, man, girl, boy, portrait, model, astronaut, child"),
        "robot": _split("robot, android, droid"),
        "sphere": _split("ball, sphere, orb, marble ball, pearl"),
    }
)
"""Subjects that can be drawn, with the nouns that ask for them."""
