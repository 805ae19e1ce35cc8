import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from batcher.simulator.pictures import PictureRequest, render
from batcher.simulator.pictures.rendering import frame

RED = (196, 40, 44)


def product_photo(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (320, 320)) -> Image.Image:
    """A cylinder on a graded grey backdrop with a soft shadow."""
    width, height = size
    photo = Image.linear_gradient("L").resize(size).point([220 + level // 16 for level in range(256)]).convert("RGB")
    shadow = Image.new("L", size, 0)
    ImageDraw.Draw(shadow).ellipse((width * 0.28, height * 0.74, width * 0.76, height * 0.86), fill=120)
    photo.paste((150, 150, 150), (0, 0), shadow.filter(ImageFilter.GaussianBlur(8)))
    draw = ImageDraw.Draw(photo)
    draw.rectangle((width * 0.34, height * 0.3, width * 0.66, height * 0.76), fill=colour)
    draw.ellipse((width * 0.34, height * 0.7, width * 0.66, height * 0.82), fill=colour)
    draw.ellipse((width * 0.34, height * 0.25, width * 0.66, height * 0.35), fill=tuple(channel // 2 for channel in colour))
    return photo


def encoded(image: Image.Image, format_: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


PHOTO = encoded(product_photo())


def edit(prompt: str, **changes: object) -> PictureRequest:
    fields = {"kind": "edit", "prompt": prompt, "seed": 1, "inputs": (PHOTO,), "size_px": 256} | changes
    return PictureRequest(**fields)  # type: ignore[arg-type]


def opened(request: PictureRequest) -> Image.Image:
    content, _ = render(request)
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def difference(first: Image.Image, second: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB"))).mean) / 3


@pytest.mark.parametrize(
    ("format_", "media_type", "kind"), [("png", "image/png", "PNG"), ("jpeg", "image/jpeg", "JPEG"), ("webp", "image/webp", "WEBP")]
)
def test_the_file_is_of_the_format_asked_for(format_: str, media_type: str, kind: str) -> None:
    content, told = render(edit("on a beach", format=format_))
    assert told == media_type
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == kind


@pytest.mark.parametrize(
    ("aspect_ratio", "size"),
    [
        ("16:9", (256, 144)),
        ("9:16", (144, 256)),
        ("1:1", (256, 256)),
        ("21:9", (256, 112)),
        ("4:3", (256, 192)),
        ("8:1", (256, 32)),
        ("1:8", (32, 256)),
    ],
)
def test_the_picture_has_the_aspect_ratio_asked_for(aspect_ratio: str, size: tuple[int, int]) -> None:
    assert opened(edit("a kitchen", aspect_ratio=aspect_ratio)).size == size


@pytest.mark.parametrize("aspect_ratio", [None, "auto", "adaptive", "0:0", "nonsense"])
def test_without_a_ratio_the_picture_keeps_the_shape_of_its_input(aspect_ratio: str | None) -> None:
    wide = encoded(product_photo(size=(400, 200)))
    assert opened(edit("a desert", inputs=(wide,), aspect_ratio=aspect_ratio)).size == (256, 128)


def test_a_frame_stays_within_bounds_whatever_is_asked() -> None:
    assert frame("1000:1", None, 1024) == (1024, 128)
    assert frame(None, None, 3) == (32, 32)
    assert frame("1:1", None, 100_000) == (4096, 4096)


def test_the_same_request_gives_the_same_bytes() -> None:
    request = edit("a rainy neon city street at night")
    assert render(request) == render(request)


def test_threads_do_not_disturb_each_other() -> None:
    requests = [edit(prompt, size_px=96) for prompt in ("a forest", "a snowy street", "a café", "outer space")]
    alone = [render(request) for request in requests]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(render, requests)) == alone


def test_seeds_change_the_picture() -> None:
    assert difference(opened(edit("a beach", seed=1)), opened(edit("a beach", seed=2))) > 5


def test_the_subject_is_kept_and_its_backdrop_is_gone() -> None:
    picture = opened(edit("a forest clearing")).convert("RGB")
    red, green, blue = ImageStat.Stat(picture.crop((118, 130, 138, 180))).mean
    assert red > 1.8 * green
    assert red > 1.8 * blue
    corner = ImageStat.Stat(picture.crop((0, 0, 30, 30))).mean
    assert max(corner) < 200, "the light grey backdrop of the photo must not be left"


def test_different_places_look_different() -> None:
    pictures = [opened(edit(prompt)) for prompt in ("a city street at night", "a beach", "a kitchen", "pink studio paper", "a forest", "deep space")]
    for index, first in enumerate(pictures):
        for second in pictures[index + 1 :]:
            assert difference(first, second) > 12


def test_colour_words_colour_the_studio() -> None:
    pink = ImageStat.Stat(opened(edit("studio with pink paper")).convert("RGB").crop((20, 20, 60, 60))).mean
    teal = ImageStat.Stat(opened(edit("studio with teal paper")).convert("RGB").crop((20, 20, 60, 60))).mean
    assert pink[0] > pink[1] + 20
    assert teal[1] > teal[0] + 20


def test_night_is_darker_than_day() -> None:
    night = ImageStat.Stat(opened(edit("a beach at night")).convert("L")).mean[0]
    day = ImageStat.Stat(opened(edit("a beach at noon")).convert("L")).mean[0]
    assert night < day / 2


@pytest.mark.parametrize(
    "words",
    [
        "in the rain",
        "while it is snowing",
        "in thick fog",
        "in warm light",
        "in cold light",
        "pastel",
        "vivid",
        "dark",
        "bright",
        "with a teal touch",
    ],
)
def test_mood_words_change_a_place(words: str) -> None:
    assert difference(opened(edit("a city street")), opened(edit(f"a city street {words}"))) > 0.8


def test_weather_stays_outdoors() -> None:
    plain, wet = opened(edit("a kitchen")), opened(edit("a kitchen, rain outside"))
    assert difference(plain, wet) < 0.5


def test_several_subjects_stand_side_by_side() -> None:
    others = (PHOTO, encoded(product_photo((40, 60, 200))))
    picture = opened(edit("pale grey studio paper", inputs=others, aspect_ratio="16:9", size_px=320)).convert("RGB")
    left, right = (ImageStat.Stat(picture.crop((centre - 10, 90, centre + 10, 120))).mean for centre in (90, 230))
    assert left[0] > left[2]
    assert right[2] > right[0]


@pytest.mark.parametrize("content", [b"", b"not an image", PHOTO[:200], b"<html></html>"])
def test_an_unreadable_input_is_replaced_by_a_drawn_subject(content: bytes) -> None:
    picture = opened(edit("a red mug on a beach", inputs=(content,)))
    assert difference(picture, opened(PictureRequest("text", "a beach", 1, size_px=256))) > 2


def test_an_absurdly_large_input_is_not_decoded() -> None:
    huge = encoded(Image.new("1", (9000, 9000)))
    assert opened(edit("a beach", inputs=(huge,), size_px=128)).size == (128, 128)


def test_a_photo_without_a_plain_backdrop_still_gives_a_picture() -> None:
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    picture = opened(edit("a beach", inputs=(encoded(noise),)))
    empty = opened(PictureRequest("text", "a beach", 1, size_px=256))
    assert difference(picture.crop((90, 90, 160, 160)), empty.crop((90, 90, 160, 160))) > 10


def test_a_transparent_input_is_used_as_it_is() -> None:
    subject = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(subject).ellipse((40, 20, 160, 180), fill=(30, 60, 220, 255))
    picture = opened(edit("a desert", inputs=(encoded(subject),))).convert("RGB")
    red, _, blue = ImageStat.Stat(picture.crop((118, 140, 138, 170))).mean
    assert blue > red


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "LA", "I;16"])
def test_every_usual_kind_of_image_is_accepted(mode: str) -> None:
    photo = product_photo((60, 60, 60)).convert("L").convert("I;16") if mode == "I;16" else product_photo((60, 60, 60)).convert(mode)
    content = encoded(photo, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    assert opened(edit("a garden", inputs=(content,), size_px=128)).size == (128, 128)


def test_a_prompt_alone_draws_what_it_names() -> None:
    mug = opened(PictureRequest("text", "a red mug on a wooden desk", 3, size_px=256)).convert("RGB")
    red, green, _ = ImageStat.Stat(mug.crop((105, 140, 125, 190))).mean
    assert red > 2 * green
    assert mug.size == (256, 256)


def test_a_prompt_that_names_only_a_place_shows_the_place() -> None:
    with_subject = opened(PictureRequest("text", "a dog in a forest", 3, size_px=256))
    without = opened(PictureRequest("text", "a forest", 3, size_px=256))
    assert difference(with_subject, without) > 3


def test_things_that_fly_are_seen_in_the_air() -> None:
    empty = opened(PictureRequest("text", "a desert", 3, size_px=256)).convert("L")
    flown = opened(PictureRequest("text", "a balloon over a desert", 3, size_px=256)).convert("L")
    changed = ImageChops.difference(empty, flown).point([255 * (level > 40) for level in range(256)])
    box = changed.crop((60, 0, 196, 256)).getbbox()
    assert box is not None
    assert box[3] < 215


@pytest.mark.parametrize("prompt", ["", "§$%&/()", "\ud800 broken", "wort " * 3000, "日本の夜の街", "no rain, no snow"])
def test_any_prompt_gives_a_picture(prompt: str) -> None:
    assert opened(PictureRequest("text", prompt, 5, size_px=96)).size == (96, 96)


def test_an_unknown_place_takes_its_palette_from_the_words() -> None:
    first = opened(PictureRequest("text", "quantum melancholy", 1, size_px=128))
    second = opened(PictureRequest("text", "bureaucratic jazz", 1, size_px=128))
    assert difference(first, second) > 4


def test_the_picture_says_that_it_is_simulated() -> None:
    corner = opened(edit("plain white studio paper, seamless", size_px=512)).convert("L").crop((400, 480, 512, 512))
    levels = corner.tobytes()
    assert min(levels) < 150, "a dark pill"
    assert max(levels) > 200, "light letters"


def test_the_smallest_picture_goes_without_a_mark() -> None:
    assert opened(edit("a beach", size_px=32, aspect_ratio="8:1")).size == (32, 32)


@pytest.mark.parametrize("photo", sorted((Path(__file__).parents[3] / "sample_manifests" / "photos").glob("*.jpg")), ids=lambda path: path.stem)
def test_the_sample_photos_lose_their_backdrop(photo: Path) -> None:
    picture = opened(edit("a city street at night", inputs=(photo.read_bytes(),), size_px=256)).convert("L")
    bright = picture.point([255 * (level > 225) for level in range(256)])
    frame_only = ImageStat.Stat(bright.crop((60, 20, 196, 60))).mean[0]
    assert frame_only < 60
