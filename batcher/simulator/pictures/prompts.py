"""What the words of a prompt ask for: which scene, which hour, weather and palette, which subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.stage import Hour, Mood

SCENES: Mapping[str, Mapping[str, int]] = {
    "street": {
        "street": 5, "city": 4, "neon": 5, "alley": 5, "downtown": 5, "urban": 4, "tokyo": 5, "road": 3, "shop": 1, "asphalt": 4, "cyberpunk": 5,
        "traffic": 4, "sidewalk": 4, "pavement": 4, "crosswalk": 4, "skyline": 4, "rooftop": 3, "metropolis": 4, "times square": 6, "paris": 4,
        "new york": 5, "puddles": 2, "car park": 4, "parking": 3,
    },
    "beach": {
        "beach": 6, "sea": 4, "ocean": 5, "shore": 5, "seaside": 5, "coast": 5, "sand": 3, "sandy": 3, "waves": 4, "tropical": 4, "palm": 3, "palms": 3,
        "surf": 4, "island": 4, "seashore": 5, "lagoon": 4, "bay": 3, "pier": 4, "harbour": 3, "harbor": 3, "underwater": 3,
    },
    "kitchen": {
        "kitchen": 6, "countertop": 4, "counter": 3, "worktop": 4, "breakfast": 4, "cooking": 3, "stove": 4, "pantry": 4, "dining": 3, "chopping": 3,
        "cutting board": 4, "farmhouse": 3, "bakery": 3,
    },
    "studio": {
        "studio": 5, "seamless": 4, "sweep": 5, "paper": 3, "backdrop": 3, "podium": 5, "pedestal": 5, "plinth": 5, "spotlight": 4, "gradient": 3,
        "plain": 3, "minimal": 2, "minimalist": 2, "cyclorama": 5, "softbox": 4, "catalogue": 3, "catalog": 3, "white background": 5, "packshot": 4,
        "solid": 3, "monochrome": 2,
    },
    "forest": {
        "forest": 6, "woods": 5, "woodland": 5, "clearing": 4, "trees": 3, "moss": 4, "mossy": 4, "jungle": 5, "pine": 3, "fern": 4, "ferns": 4,
        "autumn": 2, "leaves": 2, "redwood": 5, "rainforest": 6, "birch": 4, "park": 3, "undergrowth": 4,
    },
    "mountains": {
        "mountain": 6, "mountains": 6, "alps": 6, "alpine": 5, "peak": 4, "peaks": 4, "snow": 4, "snowy": 4, "glacier": 5, "summit": 5, "hiking": 3,
        "lake": 5, "valley": 4, "ski": 5, "winter": 4, "cliff": 3, "hills": 3, "hill": 3, "meadow": 3, "fjord": 5, "arctic": 4, "ice": 3, "campsite": 3,
    },
    "desert": {"desert": 6, "dune": 6, "dunes": 6, "sahara": 6, "arid": 4, "canyon": 4, "oasis": 4, "mars": 4, "savanna": 3, "wadi": 4},
    "living room": {
        "living room": 7, "lounge": 4, "sofa": 4, "couch": 4, "home": 3, "apartment": 4, "interior": 3, "cosy": 3, "cozy": 3, "room": 3, "bedroom": 5,
        "fireplace": 4, "coffee table": 5, "nightstand": 5, "bedside": 5, "scandinavian": 3, "hygge": 4, "loft": 4, "wooden table": 3,
    },
    "desk": {
        "desk": 6, "office": 5, "library": 6, "bookshelf": 6, "bookshelves": 6, "bookcase": 6, "books": 4, "workspace": 5, "study": 4, "workbench": 4,
        "workshop": 4, "classroom": 4,
    },
    "garden": {
        "garden": 6, "flower": 3, "flowers": 5, "blossom": 4, "blossoms": 4, "floral": 4, "roses": 4, "rose": 2, "tulips": 4, "spring": 3, "picnic": 4,
        "lavender": 3, "wildflowers": 5, "greenhouse": 4, "lawn": 4, "terrace": 4, "patio": 4, "balcony": 3, "grass": 3, "orchard": 4, "field": 3,
        "vineyard": 4, "backyard": 5, "botanical": 4, "poppies": 5,
    },
    "bathroom": {
        "bathroom": 6, "marble": 4, "spa": 5, "tiles": 3, "tiled": 3, "sink": 4, "vanity": 5, "towels": 4, "towel": 3, "washbasin": 5, "shower": 4,
        "bath": 4, "wellness": 3,
    },
    "space": {
        "space": 4, "galaxy": 6, "nebula": 6, "planet": 5, "planets": 5, "cosmos": 5, "cosmic": 5, "stars": 3, "universe": 5, "moon": 3, "lunar": 4,
        "asteroid": 5, "orbit": 4, "outer space": 7, "spaceship": 4, "sci-fi": 4,
    },
    "aurora": {"aurora": 8, "northern lights": 9, "borealis": 7, "polar lights": 8, "iceland": 4, "lapland": 4},
    "café": {
        "cafe": 6, "café": 6, "coffee shop": 7, "coffeehouse": 6, "restaurant": 5, "bar": 4, "pub": 5, "bistro": 6, "diner": 5, "barista": 5, "espresso": 3,
        "tavern": 5, "brick wall": 3, "speakeasy": 5,
    },
}
"""The words that speak for each scene, with how strongly they do; phrases count as well as words."""

COLOURS: Mapping[str, Colour] = {
    "red": (206, 56, 52), "crimson": (176, 32, 56), "burgundy": (122, 32, 52), "maroon": (118, 36, 42), "pink": (240, 150, 178), "rose": (226, 122, 140),
    "blush": (236, 190, 182), "magenta": (206, 60, 150), "fuchsia": (218, 58, 142), "coral": (244, 128, 104), "salmon": (246, 156, 134),
    "peach": (248, 194, 158), "orange": (240, 142, 58), "terracotta": (198, 108, 80), "rust": (176, 86, 48), "amber": (240, 176, 66),
    "yellow": (248, 212, 86), "mustard": (214, 166, 58), "golden": (226, 178, 92), "gold": (212, 168, 84), "cream": (246, 236, 214),
    "ivory": (246, 240, 226), "beige": (226, 208, 182), "sand-coloured": (224, 200, 160), "brown": (136, 96, 68), "chocolate": (96, 62, 46),
    "green": (94, 158, 98), "emerald": (30, 132, 96), "olive": (138, 140, 76), "sage": (168, 186, 154), "mint": (170, 222, 196), "lime": (176, 212, 78),
    "teal": (42, 140, 142), "turquoise": (70, 190, 190), "cyan": (80, 196, 216), "aqua": (110, 208, 208), "blue": (78, 128, 200), "navy": (34, 52, 98),
    "indigo": (70, 66, 150), "cobalt": (42, 84, 184), "sky-blue": (140, 196, 236), "purple": (132, 82, 168), "violet": (140, 100, 200),
    "lavender": (192, 176, 226), "lilac": (204, 178, 220), "plum": (124, 62, 104), "mauve": (186, 148, 176), "white": (242, 242, 240),
    "black": (38, 38, 42), "grey": (152, 154, 158), "gray": (152, 154, 158), "charcoal": (66, 68, 74), "silver": (196, 200, 206),
}

HOURS: Mapping[str, tuple[Hour, int]] = {
    "night": ("night", 4), "nighttime": ("night", 5), "night-time": ("night", 5), "midnight": ("night", 5), "moonlight": ("night", 4),
    "moonlit": ("night", 4), "evening": ("dusk", 3), "dusk": ("dusk", 4), "twilight": ("dusk", 4), "blue hour": ("dusk", 5), "sunset": ("golden", 4),
    "sunrise": ("golden", 4), "golden hour": ("golden", 6), "dawn": ("golden", 3), "late afternoon": ("golden", 4), "candlelit": ("dusk", 3),
    "candlelight": ("dusk", 3), "morning": ("day", 3), "daylight": ("day", 4), "noon": ("day", 4), "midday": ("day", 4), "sunny": ("day", 3),
    "daytime": ("day", 5), "afternoon": ("day", 2), "bright": ("day", 1), "day": ("day", 2),
}

RAIN = {"rain", "rainy", "raining", "drizzle", "storm", "stormy", "wet", "downpour"}
SNOWFALL = {"snowing", "snowfall", "snowflakes", "blizzard", "snowy", "snow"}
FOG = {"fog", "foggy", "mist", "misty", "haze", "hazy", "smoky", "smoke"}
WARM = {"warm", "cosy", "cozy", "amber", "candlelit", "sunlit", "rustic"}
COOL = {"cool", "cold", "icy", "frosty", "chilly"}
PASTEL = {"pastel", "soft", "airy", "dreamy", "gentle", "delicate", "pale"}
VIVID = {"vivid", "vibrant", "saturated", "bold", "neon", "colourful", "colorful"}
DARK = {"dark", "moody", "dramatic", "noir", "low-key", "gloomy", "black"}
BRIGHT = {"bright", "airy", "light-filled", "high-key", "sunny", "white"}

NOUNS: Mapping[str, tuple[str, ...]] = {
    "mug": ("mug", "cup", "teacup", "coffee mug"),
    "bottle": ("bottle", "flask", "wine", "perfume", "shampoo", "serum", "lotion"),
    "vase": ("vase", "jug", "amphora", "pot", "urn"),
    "lamp": ("lamp", "lantern", "table lamp"),
    "chair": ("chair", "armchair", "stool", "seat"),
    "box": ("box", "package", "parcel", "carton", "shoebox", "gift"),
    "book": ("book", "notebook", "journal"),
    "cat": ("cat", "kitten", "kitty"),
    "dog": ("dog", "puppy", "hound"),
    "bird": ("bird", "sparrow", "robin", "parrot"),
    "fish": ("fish", "goldfish"),
    "car": ("car", "automobile", "taxi", "van", "convertible"),
    "boat": ("boat", "sailboat", "ship", "yacht"),
    "balloon": ("balloon", "hot-air balloon", "air balloon"),
    "rocket": ("rocket", "spaceship", "spacecraft"),
    "tree": ("tree", "oak", "bonsai"),
    "house": ("house", "cottage", "cabin", "hut", "lighthouse"),
    "flower": ("flower", "bouquet", "tulip", "sunflower", "daisy"),
    "fruit": ("apple", "orange fruit", "lemon", "fruit", "pear", "peach fruit", "tangerine"),
    "person": ("person", "woman", "man", "girl", "boy", "portrait", "model", "astronaut", "child"),
    "robot": ("robot", "android", "droid"),
    "sphere": ("ball", "sphere", "orb", "marble ball", "pearl"),
}
"""Subjects that can be drawn, with the nouns that ask for them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A subject that a prompt asks for, in the colour that it gives for it."""

    noun: str
    colour: Colour | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as understood: `scene` is None where no place is named."""

    scene: str | None
    mood: Mood
    words: frozenset[str]
    wishes: tuple[Wish, ...]


_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_REFUSED = re.compile(r"\b(?:no|without|not|remove|avoid)\s+(?:the\s+|any\s+|a\s+)?[^\W_]+(?:\s+(?:or|and)\s+[^\W_]+)?", re.IGNORECASE)
_SMALL = {"a", "an", "the", "of", "and", "with", "in", "on", "at", "to", "its", "very", "light", "dark", "deep", "pale", "bright"}
_KEPT = re.compile(r"\b(?:keep|keeping|preserve|preserving|leave)\b[^;,.]*", re.IGNORECASE)


def read(prompt: str, *, edit: bool = False) -> Reading:
    """Understand a prompt; in an edit, nouns name what is in the picture already and what is to be kept says nothing of the scene."""
    text = _REFUSED.sub(" ", prompt[:4000].casefold())
    if edit:
        text = _KEPT.sub(" ", text)
    tokens = [match.group(0) for match in _WORD.finditer(text)]
    wishes, taken = _wishes(tokens)
    words = frozenset(tokens)
    return Reading(_scene(tokens), _mood(tokens, taken), words, wishes)


def _count(tokens: Sequence[str], phrase: str) -> int:
    parts = phrase.split()
    span = len(parts)
    return sum(1 for start in range(len(tokens) - span + 1) if list(tokens[start : start + span]) == parts)


def _scene(tokens: Sequence[str]) -> str | None:
    """The scene that most of the words speak for; a phrase outweighs its words, and an early word a late one."""
    scores: dict[str, float] = {}
    for scene, terms in SCENES.items():
        for term, weight in terms.items():
            if _count(tokens, term):
                place = tokens.index(term.split()[0]) / max(1, len(tokens))
                scores[scene] = scores.get(scene, 0.0) + weight + 0.5 * term.count(" ") + 0.4 * (1 - place)
    if not scores:
        return None
    best = max(scores, key=lambda scene: scores[scene])
    return best if scores[best] >= 2 else None


def _wishes(tokens: Sequence[str]) -> tuple[tuple[Wish, ...], set[int]]:
    """The subjects named, in order, and the places of the colour words that belong to them."""
    index = {term: noun for noun, terms in NOUNS.items() for term in terms}
    found: dict[str, Wish] = {}
    taken: set[int] = set()
    for place, token in enumerate(tokens):
        pair = " ".join(tokens[place : place + 2])
        noun = index.get(pair) or index.get(token) or index.get(token.removesuffix("s"))
        if noun is None or noun in found:
            continue
        colour = None
        for before in range(place - 1, max(-1, place - 4), -1):
            if tokens[before] in COLOURS:
                colour = COLOURS[tokens[before]]
                taken.add(before)
                break
            if tokens[before] in _SMALL - {"light", "dark", "deep", "pale", "bright"}:
                break
        found[noun] = Wish(noun, colour)
    return tuple(found.values()), taken


def _mood(tokens: Sequence[str], taken: set[int]) -> Mood:
    words = set(tokens)
    hours = {term: HOURS[term] for term in HOURS if _count(tokens, term)}
    hour = max(hours.values(), key=lambda entry: entry[1])[0] if hours else None
    colours: dict[Colour, None] = {}
    for place, token in enumerate(tokens):
        if place in taken or token not in COLOURS or (token == "golden" and tokens[place + 1 : place + 2] == ["hour"]):
            continue
        colour = COLOURS[token]
        before = tokens[place - 1] if place else ""
        if before in ("dark", "deep"):
            colour = paint.scaled(colour, 0.6)
        elif before in ("light", "pale", "pastel", "soft"):
            colour = paint.mix(colour, paint.WHITE, 0.45)
        colours[colour] = None
    return Mood(
        hour=hour,
        rain=not words.isdisjoint(RAIN),
        snow=not words.isdisjoint(SNOWFALL),
        fog=not words.isdisjoint(FOG),
        colours=tuple(colours),
        warmth=0.5 * (not words.isdisjoint(WARM)) - 0.5 * (not words.isdisjoint(COOL)),
        softness=0.6 * (not words.isdisjoint(PASTEL)) - 0.6 * (not words.isdisjoint(VIVID)),
        brightness=0.5 * (not words.isdisjoint(BRIGHT)) - 0.5 * (not words.isdisjoint(DARK)),
    )
