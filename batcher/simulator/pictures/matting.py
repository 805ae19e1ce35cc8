"""Cuts the subject of a product photo out of its plain backdrop.

The backdrop is estimated from the border of the photo. What belongs to it, its soft shadows included, is what can be reached from the border without
crossing an edge, a change of hue or a highlight; enclosed areas that look like it are holes, as in the handle of a mug.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter, ImageStat

from batcher.simulator.pictures import paint

WORK_PX = 448
FULL_PX = 896
NEUTRAL = 200
HUE_STEP = 15
LIGHTER_STEP = 13
HOLE_DARKER = 7
HOLE_LIGHTER = 9
DARKEST_SHADOW = 0.3
EDGE_STEP = 13
SHADOW_STEP = 24
GAP_PX = 3
QUICK = 3
ALIKE, UNLIKE = 0.08, 0.3
RIM_STEP = 8


@dataclass(frozen=True, slots=True)
class Cutout:
    """A subject on transparent ground, cropped to itself.

    `clean` is False where the photo had no plain backdrop; `aloft` is True for what flies.
    """

    image: Image.Image
    clean: bool = True
    aloft: bool = False


@dataclass(frozen=True, slots=True)
class _Matte:
    """Where the subject is, and the backdrop as it is behind the subject, shadows included; both at working size."""

    mask: Image.Image
    backdrop: Image.Image


@dataclass(frozen=True, slots=True)
class _Region:
    """A connected area of a mask: its runs (row, start, end), its size in pixels and whether it touches the border."""

    runs: list[tuple[int, int, int]]
    area: int
    border: bool


def cut_out(image: Image.Image) -> Cutout:
    """The subject of a photo; where it cannot be told from its surroundings, a soft ellipse of the middle."""
    image = _fitted(image, FULL_PX)
    if "A" in image.getbands():
        alpha = image.getchannel("A")
        box = alpha.point(lambda level: 255 * (level > 24)).getbbox()
        if box is not None and ImageStat.Stat(alpha).mean[0] < 250:
            return Cutout(image.crop(box))
    photo = image.convert("RGB")
    matte = _matte(photo)
    if matte is None:
        return Cutout(_ellipse(photo), clean=False)
    return Cutout(_lifted(photo, matte))


def _fitted(image: Image.Image, longest: int) -> Image.Image:
    image = image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB")
    factor = longest / max(image.size)
    if factor >= 1:
        return image
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.HAMMING, reducing_gap=3.0)


def _matte(photo: Image.Image) -> _Matte | None:
    """The subject's mask at working size; None if there is no plain backdrop or nothing before it."""
    small = photo.resize(_work_size(photo.size), Image.Resampling.BOX)
    if min(small.size) < 24:
        return None
    backdrop = _backdrop(small)
    if backdrop is None:
        return None
    mean = ImageStat.Stat(backdrop).mean
    balanced, plain = _neutral(small, mean), _neutral(backdrop, mean)
    candidates = _like_backdrop(balanced, plain)
    _, outside = _reached(candidates)
    # The second pass starts from the backdrop close to the subject, so that a glow in the middle of the paper does no harm. Only a glow
    # counts: a reference darkened by the subject's shadow would make lit backdrop look like a highlight.
    near = _neutral(_estimated(small, outside, QUICK), mean)
    candidates = _like_backdrop(balanced, ImageChops.lighter(plain, near))
    regions, outside = _reached(candidates)
    subject = paint.blur(ImageChops.invert(outside), 1.0).point([255 * (level > 120) for level in range(256)])
    parts = _regions(subject)
    if not parts:
        return None
    largest = max(parts, key=lambda part: part.area * (0.4 if part.border else 1.0))
    kept = [part for part in parts if part is largest or (part.area > largest.area * 0.03 and not part.border)]
    area = sum(part.area for part in kept)
    if not 0.004 < area / (small.width * small.height) < 0.9:
        return None
    holes = _drawn(small.size, [region for region in regions if not region.border and _is_hole(region, balanced, plain, area)])
    holes = _regrown(holes, candidates)
    behind = _estimated(small, ImageChops.lighter(outside, holes))
    return _Matte(_trimmed(ImageChops.subtract(_drawn(small.size, kept), holes), small, behind), behind)


def _trimmed(mask: Image.Image, small: Image.Image, behind: Image.Image) -> Image.Image:
    """The mask without those pixels of its rim that show nothing but backdrop."""
    unlike = _strongest(ImageChops.difference(small, behind)).point([255 * (level > RIM_STEP) for level in range(256)])
    ragged = ImageChops.darker(mask, ImageChops.lighter(_eroded(mask, 2), unlike))
    # A highlight on the rim may look like backdrop here and there; smoothing the outline leaves no nicks.
    return ragged.filter(ImageFilter.GaussianBlur(1.5)).point([255 * (level > 120) for level in range(256)])


def _estimated(small: Image.Image, known: Image.Image, shrink: int = 1) -> Image.Image:
    """The backdrop as it goes on behind the subject, from where it is seen; a shrink factor makes it quicker and coarser."""
    known = _shrunk(known)
    filled = _filled(small.reduce(shrink), known.reduce(shrink))
    return paint.blur(filled.resize(small.size, Image.Resampling.BICUBIC), 1.5)


def _reached(candidates: Image.Image) -> tuple[list[_Region], Image.Image]:
    """The areas of candidate pixels, gaps at weak edges closed, and the mask of what is reached from the border."""
    regions = _regions(_eroded(candidates))
    outside = _drawn(candidates.size, [region for region in regions if region.border])
    return regions, _regrown(outside, candidates)


def _regrown(mask: Image.Image, candidates: Image.Image) -> Image.Image:
    """What erosion took off, given back; twice, so that narrow corners are reached too. Growth ends where the backdrop does."""
    return ImageChops.darker(_grown(ImageChops.darker(_grown(mask), candidates)), candidates)


def _eroded(mask: Image.Image, depth: int = GAP_PX) -> Image.Image:
    return mask.filter(ImageFilter.BoxBlur(depth)).point([255 * (level > 253) for level in range(256)])


def _grown(mask: Image.Image) -> Image.Image:
    return mask.filter(ImageFilter.BoxBlur(GAP_PX)).point([255 * (level > 2) for level in range(256)])


def _shrunk(mask: Image.Image) -> Image.Image:
    return paint.blur(mask, 1.5).point([255 * (level > 245) for level in range(256)])


def _work_size(size: paint.Size) -> paint.Size:
    factor = min(1.0, WORK_PX / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _backdrop(small: Image.Image) -> Image.Image | None:
    """The photo without its subject, guessed from a border strip; None if the border is not plain."""
    strip = max(3, round(min(small.size) * 0.03))
    ring = Image.new("L", small.size, 255)
    ring.paste(0, (strip, strip, small.width - strip, small.height - strip))
    usual = ImageStat.Stat(small, ring).median
    far = ImageChops.difference(small, Image.new("RGB", small.size, tuple(usual)))
    near = _strongest(far).point([255 * (level < 64) for level in range(256)])
    rough = _strongest(ImageChops.difference(small, paint.blur(small, 5))).point([255 * (level < 14) for level in range(256)])
    plain = ImageChops.multiply(ImageChops.multiply(near, rough), ring)
    if ImageStat.Stat(plain, ring).mean[0] < 255 * 0.72:
        return None
    filled = _filled(small.reduce(QUICK), plain.reduce(QUICK)).resize(small.size, Image.Resampling.BICUBIC)
    return paint.blur(filled, 6)


def _strongest(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _weakest(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    return ImageChops.darker(ImageChops.darker(red, green), blue)


def _filled(image: Image.Image, known: Image.Image) -> Image.Image:
    """A picture whose unknown parts are filled smoothly from the known ones, coarse to fine."""
    level = image.convert("RGBA")
    level.putalpha(known)
    pyramid = [level]
    while min(level.size) > 2:
        size = (max(1, (level.width + 1) // 2), max(1, (level.height + 1) // 2))
        level = level.resize(size, Image.Resampling.BOX)
        level.putalpha(level.getchannel("A").point([min(255, value * 4) for value in range(256)]))
        pyramid.append(level)
    result = pyramid[-1].convert("RGB")
    for level in reversed(pyramid[:-1]):
        result = Image.composite(level.convert("RGB"), result.resize(level.size, Image.Resampling.BICUBIC), level.getchannel("A"))
    return result


def _neutral(image: Image.Image, mean: Sequence[float]) -> Image.Image:
    """A picture with the backdrop's mean hue taken out, so that a shadow differs from the backdrop in lightness only."""
    return image.point([min(255, round(level * NEUTRAL / max(40.0, channel))) for channel in mean for level in range(256)])


def _like_backdrop(balanced: Image.Image, reference: Image.Image) -> Image.Image:
    """Pixels that may be backdrop or a shadow on it: neither another hue, nor lighter, nor black, nor on an edge."""
    change = ImageChops.subtract(balanced, reference, 1, 128)
    hue = ImageChops.subtract(_strongest(change), _weakest(change)).filter(ImageFilter.BoxBlur(1))
    grey, plain = balanced.convert("L"), reference.convert("L")
    lighter = ImageChops.subtract(grey, plain)
    floor = plain.point([round(level * DARKEST_SHADOW) for level in range(256)])
    black = ImageChops.subtract(floor, grey)
    even = ImageChops.lighter(_within(_slope(grey.filter(ImageFilter.GaussianBlur(0.8))), EDGE_STEP), _contact_shadow(grey, plain))
    like = ImageChops.darker(_within(hue, HUE_STEP), _within(lighter, LIGHTER_STEP))
    return ImageChops.darker(ImageChops.darker(like, _within(black, 0)), even)


def _within(mask: Image.Image, limit: int) -> Image.Image:
    """Full where a mask is at most `limit`, else nothing."""
    return mask.point([255 * (level <= limit) for level in range(256)])


def _contact_shadow(grey: Image.Image, plain: Image.Image) -> Image.Image:
    """The steep shadow right under a thing: darker than the backdrop, and lighter with every row further down."""
    below = ImageChops.offset(grey, 0, -1)
    falls = ImageChops.subtract(grey, below)
    rises = ImageChops.subtract(below, grey)
    across = ImageChops.difference(grey, ImageChops.offset(grey, 1, 0))
    deep = ImageChops.subtract(plain, grey).point([255 * (level > 12) for level in range(256)])
    soft = ImageChops.darker(_within(rises, SHADOW_STEP), _within(falls, 1))
    return ImageChops.darker(deep, ImageChops.darker(soft, _within(across, SHADOW_STEP // 2)))


def _slope(grey: Image.Image) -> Image.Image:
    """How much a picture changes around each pixel; what lies beyond its border counts as equal."""
    framed = Image.new("L", (grey.width + 2, grey.height + 2))
    framed.paste(grey.resize(framed.size, Image.Resampling.NEAREST))
    framed.paste(grey, (1, 1))
    across = ImageChops.difference(ImageChops.offset(framed, 1, 0), ImageChops.offset(framed, -1, 0))
    down = ImageChops.difference(ImageChops.offset(framed, 0, 1), ImageChops.offset(framed, 0, -1))
    return ImageChops.lighter(across, down).crop((1, 1, grey.width + 1, grey.height + 1))


def _is_hole(region: _Region, balanced: Image.Image, reference: Image.Image, subject_area: int) -> bool:
    """Whether an enclosed area shows the backdrop: close to it in colour, and not so large that it must be the subject itself."""
    if region.area < 30 or region.area > subject_area * 0.3:
        return False
    mask = _drawn(balanced.size, [region])
    here, there = ImageStat.Stat(balanced, mask).median, ImageStat.Stat(reference, mask).median
    offsets = [a - b for a, b in zip(here, there, strict=True)]
    # Backdrop seen through a handle lies in a little shadow; what is brighter than the backdrop is polish.
    return min(offsets) > -HOLE_DARKER and max(offsets) < HOLE_LIGHTER and max(offsets) - min(offsets) < 4


def _regions(mask: Image.Image) -> list[_Region]:
    """The connected areas of a mask of 0 and 255, found row by row as runs that touch."""
    width, height = mask.size
    data = mask.tobytes()
    runs: list[tuple[int, int, int]] = []
    parent: list[int] = []

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    above: list[int] = []
    for row in range(height):
        here: list[int] = []
        cursor = 0
        for match in re.finditer(rb"\xff+", data[row * width : (row + 1) * width]):
            start, end = match.span()
            index = len(runs)
            runs.append((row, start, end))
            parent.append(index)
            while cursor < len(above) and runs[above[cursor]][2] <= start:
                cursor += 1
            probe = cursor
            while probe < len(above) and runs[above[probe]][1] < end:
                parent[root(above[probe])] = root(index)
                probe += 1
            here.append(index)
        above = here
    return _collected(runs, root, width, height)


def _collected(runs: list[tuple[int, int, int]], root: Callable[[int], int], width: int, height: int) -> list[_Region]:
    groups: dict[int, list[tuple[int, int, int]]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(root(index), []).append(run)
    return [
        _Region(
            members,
            sum(end - start for _, start, end in members),
            any(start == 0 or end == width or row in (0, height - 1) for row, start, end in members),
        )
        for members in groups.values()
    ]


def _drawn(size: paint.Size, regions: list[_Region]) -> Image.Image:
    """A mask with these regions."""
    width, height = size
    data = bytearray(width * height)
    for region in regions:
        for row, start, end in region.runs:
            data[row * width + start : row * width + end] = b"\xff" * (end - start)
    return Image.frombytes("L", size, bytes(data))


def _lifted(photo: Image.Image, matte: _Matte) -> Image.Image:
    """The subject with a soft edge, whose edge pixels carry the subject's own colour instead of the old backdrop's."""
    scale = photo.width / matte.mask.width
    margin = 6
    left, top, right, bottom = matte.mask.getbbox() or (0, 0, *matte.mask.size)
    small_box = (max(0, left - margin), max(0, top - margin), min(matte.mask.width, right + margin), min(matte.mask.height, bottom + margin))
    photo = photo.crop(tuple(round(edge * scale) for edge in small_box))  # type: ignore[arg-type]
    backdrop = matte.backdrop.crop(small_box).resize(photo.size, Image.Resampling.BICUBIC)
    soft = paint.blur(matte.mask.crop(small_box), 1.2).resize(photo.size, Image.Resampling.BICUBIC)
    reach, body = paint.levels(soft, 0.08, 0.5), paint.levels(soft, 0.93, 0.999)
    core = paint.levels(soft, 0.93, 0.999)
    spread = photo.convert("RGBA")
    spread.putalpha(core)
    low = spread.resize((max(1, photo.width // 2), max(1, photo.height // 2)), Image.Resampling.BOX)
    inner = _filled(low.convert("RGB"), low.getchannel("A")).resize(photo.size, Image.Resampling.BICUBIC)
    # Between the sure inside and the sure outside a pixel is mixed: its share is how far it lies from the backdrop towards the inner colour.
    seen, full = (_strongest(ImageChops.difference(image, backdrop)) for image in (photo, inner))
    # Where the subject resembles the backdrop, that says little, and the outline of the mask counts instead.
    share = Image.composite(_quotient(seen, full), paint.levels(soft, 0.3, 0.75), paint.levels(full, ALIKE, UNLIKE))
    alpha = ImageChops.multiply(reach, ImageChops.lighter(body, paint.levels(share, 0.12, 0.95)))
    alpha = paint.levels(paint.blur(alpha, 0.3 * scale), 0.1, 0.95)
    result = Image.composite(photo, inner, core)
    result.putalpha(alpha)
    edge = alpha.point([255 * (level > 16) for level in range(256)]).getbbox()
    return result.crop(edge) if edge else result


def _quotient(part: Image.Image, whole: Image.Image) -> Image.Image:
    """One mask divided by another, at most full; undoing premultiplied alpha is just this division."""
    return Image.merge("RGBa", (ImageChops.darker(part, whole),) * 3 + (whole,)).convert("RGBA").getchannel(0)


def _ellipse(photo: Image.Image) -> Image.Image:
    """The middle of a photo, fading out."""
    side = min(photo.size)
    width, height = round(min(photo.width, side * 1.25) * 0.92), round(min(photo.height, side * 1.25) * 0.92)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    result = photo.crop((left, top, left + width, top + height))
    fade = paint.curve(Image.radial_gradient("L"), lambda value: max(0.0, min(1.0, (1 - value * 1.415) / 0.16)))
    result.putalpha(paint.levels(fade.resize(result.size, Image.Resampling.BICUBIC), 0.0, 1.0))
    return result
