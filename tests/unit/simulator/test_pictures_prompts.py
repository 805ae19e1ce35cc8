import pytest

from batcher.simulator.pictures.prompts import read
from batcher.simulator.pictures.scenes import SCENES
from batcher.simulator.pictures.subjects import SUBJECTS
from batcher.simulator.pictures.vocabulary import COLOURS, NOUNS
from batcher.simulator.pictures.vocabulary import SCENES as WORDS

NIGHT_STREET = (
    "Replace the background with a moody nighttime city street; keep the subject and pose unchanged; add light rain and glossy reflections on the "
    "ground; enhance contrast with warm shop lights and cool ambient tones"
)


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        (NIGHT_STREET, "street"),
        ("on a sandy beach at golden hour", "beach"),
        ("a bright kitchen counter in the morning", "kitchen"),
        ("photographer's studio with coloured paper sweep and spotlight", "studio"),
        ("a forest clearing with light shafts", "forest"),
        ("snowy mountain peaks", "mountains"),
        ("rolling desert dunes", "desert"),
        ("a cosy living room", "living room"),
        ("wooden desk in a library", "desk"),
        ("a garden full of flowers", "garden"),
        ("a marble bathroom shelf", "bathroom"),
        ("floating in outer space among stars", "space"),
        ("under the northern lights", "aurora"),
        ("a table in a coffee shop", "café"),
        ("in a café", "café"),
        ("something entirely else", None),
        ("", None),
    ],
)
def test_words_choose_the_place(prompt: str, scene: str | None) -> None:
    assert read(prompt).scene == scene


def test_what_is_refused_does_not_count() -> None:
    assert read("a beach without rain").mood.rain is False
    assert read("a forest, no snow and fog").mood.snow is False
    assert read("not a beach but a desert").scene == "desert"


def test_in_an_edit_what_is_to_be_kept_does_not_count() -> None:
    prompt = "keep the bottle on its forest green pedestal, put it on a beach"
    assert read(prompt, edit=True).scene == "beach"
    assert read(prompt, edit=True).mood.colours == ()


def test_the_documented_example_is_a_rainy_night() -> None:
    mood = read(NIGHT_STREET, edit=True).mood
    assert mood.hour == "night"
    assert mood.rain
    assert mood.brightness < 0
    assert mood.warmth == 0, "warm and cool take each other away"


@pytest.mark.parametrize(
    ("words", "hour"),
    [("at sunset", "golden"), ("golden hour", "golden"), ("at dusk", "dusk"), ("at noon", "day"), ("at midnight", "night"), ("", None)],
)
def test_words_choose_the_hour(words: str, hour: str | None) -> None:
    assert read(f"a beach {words}").mood.hour == hour


def test_golden_hour_is_no_colour() -> None:
    assert read("golden hour").mood.colours == ()
    assert read("golden paper").mood.colours == (COLOURS["golden"],)


def test_snow_lies_in_the_mountains_and_falls_in_a_street() -> None:
    assert not read("snowy mountains").mood.snow
    assert read("snowfall in the mountains").mood.snow
    assert read("a snowy street").mood.snow


def test_a_colour_belongs_to_the_noun_behind_it() -> None:
    reading = read("a dark red mug on teal paper")
    assert [wish.noun for wish in reading.wishes] == ["mug"]
    assert reading.wishes[0].colour == COLOURS["red"]
    assert reading.mood.colours == (COLOURS["teal"],)


def test_shades_of_a_colour_differ() -> None:
    plain, pale, deep = (read(f"{word} blue paper").mood.colours[0] for word in ("some", "pale", "deep"))
    assert sum(deep) < sum(plain) < sum(pale)


def test_plurals_and_phrases_name_subjects_once() -> None:
    reading = read("two cats and a kitten beside a hot-air balloon")
    assert [wish.noun for wish in reading.wishes] == ["cat", "balloon"]


def test_every_place_and_noun_of_the_vocabulary_can_be_painted() -> None:
    assert set(WORDS) == set(SCENES)
    assert set(NOUNS) == set(SUBJECTS)
