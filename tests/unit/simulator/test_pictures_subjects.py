import pytest
from PIL import ImageStat

from batcher.simulator.pictures.paint import noise
from batcher.simulator.pictures.stage import Brief
from batcher.simulator.pictures.subjects import SUBJECTS, drawn_subject

BRIEF = Brief((256, 256), "4")


@pytest.mark.parametrize("noun", [*sorted(SUBJECTS), None])
def test_every_noun_is_drawn_on_transparent_ground(noun: str | None) -> None:
    image = drawn_subject(noun, None, BRIEF)
    alpha = image.getchannel("A")
    assert min(image.size) > 120
    assert alpha.getextrema() == (0, 255)
    assert 0.12 < ImageStat.Stat(alpha).mean[0] / 255 < 0.97
    assert max(ImageStat.Stat(image.convert("RGB"), alpha).stddev) > 10, "it is shaded"


def test_a_subject_takes_the_colour_asked_for() -> None:
    blue = drawn_subject("mug", (40, 70, 210), BRIEF)
    red, _, strong = ImageStat.Stat(blue.convert("RGB"), blue.getchannel("A")).mean
    assert strong > 1.4 * red


def test_a_subject_is_repeatable() -> None:
    assert drawn_subject("tree", None, BRIEF).tobytes() == drawn_subject("tree", None, BRIEF).tobytes()


def test_noise_needs_an_octave() -> None:
    with pytest.raises(ValueError, match="octave"):
        noise(BRIEF.rng("noise"), (8, 8), (4, 4), 0)
