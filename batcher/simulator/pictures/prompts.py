"""What the words of a prompt ask for: which scene, which hour, weather and palette, which subjects."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from batcher.simulator.pictures import paint
from batcher.simulator.pictures.paint import Colour
from batcher.simulator.pictures.stage import Mood
from batcher.simulator.pictures.vocabulary import BRIGHT, COLOURS, COOL, DARK, FOG, HOURS, NOUNS, PASTEL, RAIN, SCENES, SNOW, SNOWFALL, VIVID, WARM


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


SCORE_MIN = 2
DEEPER = frozenset({"dark", "deep"})
PALER = frozenset({"light", "pale", "pastel", "soft"})
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_REFUSED = re.compile(r"\b(?:no|without|not|remove|avoid)\s+(?:the\s+|any\s+|a\s+)?[^\W_]+(?:\s+(?:or|and)\s+[^\W_]+)?", re.IGNORECASE)
_BETWEEN = frozenset({"a", "an", "the", "of", "and", "with", "in", "on", "at", "to", "its", "by", "near"})
_KEPT = re.compile(r"\b(?:keep|keeping|preserve|preserving|leave)\b[^;,.]*", re.IGNORECASE)


def read(prompt: str, *, edit: bool = False) -> Reading:
    """Understand a prompt; in an edit, nouns name what is in the picture already and what is to be kept says nothing of the scene."""
    text = _REFUSED.sub(" ", prompt[:4000].casefold())
    if edit:
        text = _KEPT.sub(" ", text)
    tokens = [match.group(0) for match in _WORD.finditer(text)]
    wishes, taken = _wishes(tokens)
    words = frozenset(tokens)
    scene = _scene(tokens)
    return Reading(scene, _mood(tokens, taken, scene), words, wishes)


def _spoken(tokens: Sequence[str]) -> str:
    """The prompt with one space round every word, so that words and phrases are found whole."""
    return f" {' '.join(tokens)} "


def _scene(tokens: Sequence[str]) -> str | None:
    """The scene that most of the words speak for; a phrase outweighs its words, and an early word a late one."""
    spoken = _spoken(tokens)
    scores: dict[str, float] = {}
    for scene, terms in SCENES.items():
        for term, weight in terms.items():
            place = spoken.find(f" {term} ")
            if place >= 0:
                scores[scene] = scores.get(scene, 0.0) + weight + 0.5 * term.count(" ") + 0.4 * (1 - place / len(spoken))
    best = max(scores, key=lambda scene: scores[scene], default=None)
    return best if best is not None and scores[best] >= SCORE_MIN else None


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
            if tokens[before] in _BETWEEN:
                break
        found[noun] = Wish(noun, colour)
    return tuple(found.values()), taken


def _mood(tokens: Sequence[str], taken: set[int], scene: str | None) -> Mood:
    words, spoken = set(tokens), _spoken(tokens)
    hours = [entry for term, entry in HOURS.items() if f" {term} " in spoken]
    return Mood(
        hour=max(hours, key=lambda entry: entry[1])[0] if hours else None,
        rain=not words.isdisjoint(RAIN),
        # In the mountains snow lies; elsewhere the word is shown by flakes that fall.
        snow=not words.isdisjoint(SNOWFALL if scene == "mountains" else SNOWFALL | SNOW),
        fog=not words.isdisjoint(FOG),
        colours=_colours(tokens, taken),
        warmth=_leaning(words, WARM, COOL, 0.5),
        softness=_leaning(words, PASTEL, VIVID, 0.6),
        brightness=_leaning(words, BRIGHT, DARK, 0.5),
    )


def _leaning(words: set[str], towards: Collection[str], away: Collection[str], step: float) -> float:
    return step * ((not words.isdisjoint(towards)) - (not words.isdisjoint(away)))


def _colours(tokens: Sequence[str], taken: set[int]) -> tuple[Colour, ...]:
    """The colours of the scene in the order of the prompt, each once; those at the places in `taken` belong to subjects."""
    colours: dict[Colour, None] = {}
    for place, word in enumerate(tokens):
        if place in taken or word not in COLOURS or tuple(tokens[place : place + 2]) == ("golden", "hour"):
            continue
        colour = COLOURS[word]
        before = tokens[place - 1] if place else ""
        if before in DEEPER:
            colour = paint.scaled(colour, 0.6)
        elif before in PALER:
            colour = paint.mix(colour, paint.WHITE, 0.45)
        colours[colour] = None
    return tuple(colours)
