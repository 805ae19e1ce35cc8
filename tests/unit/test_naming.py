import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.naming import STEM_LIMIT_BYTES, file_stem, name_key, nearest, slug

ANY_TEXT = st.text(alphabet=st.characters(), max_size=200) | st.text(alphabet='./\\ :*a"<>|?\0\u202e', max_size=20)


@pytest.mark.parametrize("text", ["mug", "mug-night-street-7", "Ünïcödé Tasse", "製品 7", "a.b", "a_b", "(1)", "mug's", "console", "com10", "🎨"])
def test_a_good_name_stays_as_it_is(text: str) -> None:
    assert file_stem(text) == text


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "../../etc/passwd",
        "/etc",
        "a:b",
        "a\0b",
        "a\nb",
        "CON",
        "con.txt",
        "Lpt1",
        "com¹",
        "aux .x",
        "a.",
        " a",
        "a ",
        ".hidden",
        "\u202egnp",
        "a\u200bb",
        "\ud800",
        "x" * 121,
        "é" * 61,
        "e\u0301",
        "a?",
        'a"b',
        "\u2003a",
    ],
)
def test_a_bad_name_is_altered_and_marked_with_a_hash(text: str) -> None:
    stem = file_stem(text)
    assert stem != text
    assert len(stem.rsplit("-", 1)[1]) == 10
    assert file_stem(stem) == stem


@pytest.mark.fault("F6", "F7")
def test_two_names_that_clean_to_the_same_stay_apart() -> None:
    assert len({file_stem(text) for text in ("a/b", "a\\b", "a:b", "a?b", "a_b")}) == 5
    long = "x" * 300
    assert file_stem(long + "1") != file_stem(long + "2")


@pytest.mark.fault("F6")
@given(ANY_TEXT)
def test_a_stem_is_always_safe(text: str) -> None:
    stem = file_stem(text)
    assert 0 < len(stem.encode()) <= STEM_LIMIT_BYTES
    assert not set(stem) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in stem)
    assert stem == stem.strip(". ") == unicodedata.normalize("NFC", stem)
    assert stem.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert file_stem(stem) == stem


@pytest.mark.fault("F7")
@given(st.lists(ANY_TEXT, unique=True, max_size=50))
def test_different_texts_get_different_stems(texts: list[str]) -> None:
    assert len({file_stem(text) for text in texts}) == len(texts)


@pytest.mark.fault("F6", "B8")
@pytest.mark.parametrize("text", ["../mug", "/etc/passwd", "a//b", "a/./b", "", "/", "..", ".", "a\\..\\b"])
def test_a_stem_never_leaves_its_folder(text: str) -> None:
    assert file_stem(text) not in ("", ".", "..")
    assert not {"/", "\\"} & set(file_stem(text))


@pytest.mark.fault("F7")
def test_names_that_a_careless_disk_confuses_have_one_key() -> None:
    assert name_key("Mug") == name_key("mUG")
    assert name_key("Caf\u00e9") == name_key("cafe\u0301")
    assert name_key("straße") == name_key("STRASSE")
    assert name_key("mug") != name_key("mugs")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a moody Night street!", "a-moody-night-street"),
        ("16:9", "16-9"),
        ("0.5", "0.5"),
        ("7", "7"),
        ("Café del Mar", "café-del-mar"),
        ("a_b", "a-b"),
        ("v1.2.", "v1.2"),
        ("x" * 60, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_slugs(text: str, label: str) -> None:
    assert slug(text) == label


def test_a_text_without_letters_still_gets_a_slug() -> None:
    assert slug("!!!") != slug("???")
    assert slug("!!!")


@given(ANY_TEXT)
def test_a_slug_is_short_and_not_empty(text: str) -> None:
    assert 0 < len(slug(text)) <= 40


def test_the_nearest_name_is_found() -> None:
    ratios = ["16:9", "1:1", "9:16"]
    assert nearest("16x9", ratios) == "16:9"
    assert nearest("imgae", ["image", "prompt"]) == "image"
    assert nearest("Aspect-Ratio", ["aspect_ratio"]) == "aspect_ratio"
    assert nearest("elephant", ratios) is None
    assert nearest("x", []) is None
