import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from batcher.simulator.pictures.matting import Cutout, cut_out

SIZE = (480, 480)


def backdrop(tone: tuple[int, int, int] = (226, 226, 226), glow: int = 0) -> Image.Image:
    """A backdrop that darkens towards the top, brighter in the middle by `glow`."""
    grade = Image.linear_gradient("L").resize(SIZE).point([200 + level * 55 // 255 for level in range(256)])
    photo = ImageChops.multiply(Image.new("RGB", SIZE, tone), Image.merge("RGB", (grade, grade, grade)))
    if glow:
        spot = Image.radial_gradient("L").resize(SIZE).point([max(0, glow - level * glow // 180) for level in range(256)])
        photo = ImageChops.add(photo, Image.merge("RGB", (spot, spot, spot)))
    return photo


def with_shadow(photo: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", SIZE, 0)
    ImageDraw.Draw(mask).ellipse(box, fill=190)
    dark = photo.point([round(level * 0.45) for level in range(256)] * 3)
    return Image.composite(dark, photo, mask.filter(ImageFilter.GaussianBlur(14)))


def mug_shape() -> Image.Image:
    """The truth: a body with a handle that has a hole."""
    mask = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((280, 180, 390, 310), fill=255)
    draw.ellipse((306, 206, 364, 284), fill=0)
    draw.rectangle((140, 150, 310, 350), fill=255)
    return mask


def photographed(mask: Image.Image, colour: tuple[int, int, int], photo: Image.Image) -> Image.Image:
    soft = mask.filter(ImageFilter.GaussianBlur(0.8))
    return Image.composite(Image.new("RGB", SIZE, colour), photo, soft)


def found(cutout: Cutout, truth: Image.Image) -> float:
    """How well a cutout agrees with the truth: the shared area by the whole area."""
    box = truth.getbbox()
    assert box is not None
    alpha = Image.new("L", SIZE, 0)
    alpha.paste(cutout.image.getchannel("A"), (box[0], box[1]))
    best = 0.0
    # The cutout is cropped to itself, so its place is known to a pixel or two only.
    for dx in range(-3, 4):
        for dy in range(-3, 4):
            moved = ImageChops.offset(alpha, dx, dy)
            shared = ImageStat.Stat(ImageChops.darker(moved, truth)).sum[0]
            best = max(best, shared / ImageStat.Stat(ImageChops.lighter(moved, truth)).sum[0])
    return best


@pytest.mark.parametrize("colour", [(30, 110, 120), (200, 60, 40), (40, 40, 44), (240, 190, 40)])
@pytest.mark.parametrize("tone", [(226, 226, 226), (236, 214, 208), (200, 214, 230)])
def test_a_mug_is_found_with_the_hole_of_its_handle(colour: tuple[int, int, int], tone: tuple[int, int, int]) -> None:
    photo = photographed(mug_shape(), colour, with_shadow(backdrop(tone), (120, 320, 360, 380)))
    cutout = cut_out(photo)
    assert cutout.clean
    assert found(cutout, mug_shape()) > 0.96
    hole = cutout.image.getchannel("A").crop((335 - 140, 235 - 150, 350 - 140, 255 - 150))
    assert ImageStat.Stat(hole).mean[0] < 5


def test_a_glow_in_the_middle_of_the_paper_does_no_harm() -> None:
    photo = photographed(mug_shape(), (60, 90, 160), backdrop((206, 206, 206), glow=18))
    assert found(cut_out(photo), mug_shape()) > 0.95


def test_the_edge_keeps_nothing_of_the_old_backdrop() -> None:
    photo = photographed(mug_shape(), (20, 30, 80), backdrop((250, 250, 250)))
    image = cut_out(photo).image
    seen = image.getchannel("A").point([255 * (level > 100) for level in range(256)])
    pale = image.convert("RGB").convert("L").point([255 * (level > 90) for level in range(256)])
    left_over = ImageStat.Stat(ImageChops.darker(pale, seen)).sum[0] / 255
    assert left_over < 40, "of about 1,300 pixels on the edge"


def test_parts_that_stand_apart_are_kept_and_specks_are_not() -> None:
    truth = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(truth)
    draw.rectangle((120, 160, 240, 340), fill=255)
    draw.ellipse((290, 280, 380, 340), fill=255)
    photo = photographed(truth, (120, 40, 60), backdrop())
    ImageDraw.Draw(photo).ellipse((420, 60, 426, 66), fill=(60, 60, 60))
    image = cut_out(photo).image
    assert abs(image.width - 261) <= 6
    assert abs(image.height - 181) <= 6


def test_a_sticker_of_the_colour_of_the_backdrop_is_no_hole() -> None:
    truth = Image.new("L", SIZE, 0)
    ImageDraw.Draw(truth).rectangle((120, 130, 360, 370), fill=255)
    photo = photographed(truth, (190, 90, 40), backdrop())
    ImageDraw.Draw(photo).rectangle((180, 200, 300, 280), fill=(250, 247, 236))
    assert found(cut_out(photo), truth) > 0.97


def test_a_subject_that_leaves_the_picture_is_kept() -> None:
    truth = Image.new("L", SIZE, 0)
    ImageDraw.Draw(truth).rectangle((180, 200, 300, 480), fill=255)
    cutout = cut_out(photographed(truth, (60, 120, 60), backdrop()))
    assert cutout.clean
    assert abs(cutout.image.width - 121) <= 6


@pytest.mark.parametrize(
    "photo",
    [
        Image.effect_noise(SIZE, 80).convert("RGB"),
        Image.linear_gradient("L").resize(SIZE).convert("RGB"),
        Image.new("RGB", SIZE, (230, 230, 230)),
        Image.new("RGB", (12, 300), (90, 20, 20)),
    ],
    ids=["noise", "steep gradient", "nothing on it", "a sliver"],
)
def test_without_a_plain_backdrop_or_a_subject_the_middle_is_taken(photo: Image.Image) -> None:
    cutout = cut_out(photo)
    assert not cutout.clean
    alpha = cutout.image.getchannel("A")
    assert alpha.getpixel((alpha.width // 2, alpha.height // 2)) == 255
    assert alpha.getpixel((0, 0)) == 0


def test_transparency_of_the_input_is_its_matte() -> None:
    subject = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    ImageDraw.Draw(subject).rectangle((100, 120, 199, 319), fill=(10, 200, 30, 255))
    cutout = cut_out(subject)
    assert cutout.clean
    assert cutout.image.size == (100, 200)


def test_an_opaque_alpha_channel_says_nothing() -> None:
    photo = photographed(mug_shape(), (30, 110, 120), backdrop()).convert("RGBA")
    assert found(cut_out(photo), mug_shape()) > 0.96
