import pytest
from PIL import ImageChops, ImageStat

from batcher.simulator.pictures.scenes import SCENES, paint_scene
from batcher.simulator.pictures.stage import Brief, Hour, Mood, Stage

NAMES = [*sorted(SCENES), None]
HOURS: tuple[Hour, ...] = ("day", "golden", "dusk", "night")


def checked(stage: Stage, brief: Brief) -> Stage:
    assert stage.backdrop.size == brief.size
    assert stage.backdrop.mode == "RGB"
    assert 0.6 < stage.ground < 1
    assert 0.3 < stage.height < 0.8
    assert -1 <= stage.light_x <= 1.3
    assert 0 <= stage.gloss <= 1
    assert max(ImageStat.Stat(stage.backdrop).stddev) > 3, "a place is no plain colour"
    return stage


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(160, 160), (208, 96), (90, 200), (32, 32), (256, 32), (33, 250)])
def test_every_place_fits_every_frame(name: str | None, size: tuple[int, int]) -> None:
    brief = Brief(size, "7")
    checked(paint_scene(name, brief), brief)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hour", HOURS)
def test_every_place_knows_every_hour_and_weather(name: str | None, hour: Hour) -> None:
    brief = Brief(
        (120, 120), "3", Mood(hour=hour, rain=hour == "dusk", fog=hour == "golden", snow=hour == "day", colours=((40, 120, 160), (230, 90, 60)))
    )
    checked(paint_scene(name, brief), brief)


@pytest.mark.parametrize("name", NAMES)
def test_places_are_repeatable_and_seeds_move_them(name: str | None) -> None:
    first, again, other = (paint_scene(name, Brief((160, 160), seed)).backdrop for seed in ("1", "1", "2"))
    assert first.tobytes() == again.tobytes()
    assert sum(ImageStat.Stat(ImageChops.difference(first, other)).mean) > 3


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("mountains", "lake"),
        ("mountains", "meadow"),
        ("forest", "autumn"),
        ("kitchen", "marble"),
        ("garden", "lawn"),
        ("garden", "table"),
        ("studio", "podium"),
        ("studio", "white"),
        ("studio", "dramatic"),
        ("beach", "palm"),
    ],
)
def test_some_words_change_a_place(name: str, word: str) -> None:
    pictures = []
    for words in (frozenset[str](), frozenset({word})):
        # Several seeds, because a seed may draw by itself what the word asks for.
        pictures.append([paint_scene(name, Brief((120, 120), str(seed), words=words)).backdrop for seed in range(4)])
    assert any(sum(ImageStat.Stat(ImageChops.difference(a, b)).mean) > 1.5 for a, b in zip(*pictures, strict=True))
