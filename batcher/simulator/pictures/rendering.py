"""From a request to the bytes of a picture or a video."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageOps

from batcher.simulator.pictures import composing, film, mark, matting, paint, prompts, weather
from batcher.simulator.pictures.matting import Cutout
from batcher.simulator.pictures.paint import Size
from batcher.simulator.pictures.scenes import paint_scene
from batcher.simulator.pictures.stage import Brief
from batcher.simulator.pictures.subjects import AIRBORNE, drawn_subject

SUBJECTS_MAX = 3
RATIO_MAX = 8.0
PIXELS_MAX = 64_000_000
SIDE_MIN_PX, SIDE_MAX_PX = 32, 4096
VIDEO_SIDE_PX = 640


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What is to be drawn.

    `inputs` are image files; the first is the subject of an edit, up to three stand side by side. `aspect_ratio` is like "16:9"; None or a word gives
    the first input's, or 1:1. `size_px` is the longer side. `duration_s` counts for video only.
    """

    kind: Literal["edit", "text", "video"]
    prompt: str
    seed: int
    inputs: tuple[bytes, ...] = ()
    aspect_ratio: str | None = None
    size_px: int = 1024
    duration_s: float = 5.0
    format: Literal["png", "jpeg", "webp"] = "png"


@dataclass(frozen=True, slots=True)
class _Scene:
    """A finished still and what made it."""

    still: Image.Image
    brief: Brief
    name: str | None


def render(request: PictureRequest) -> tuple[bytes, str]:
    """Draw what is asked for: the bytes of the file and its media type; the same request gives the same bytes."""
    if request.kind == "video":
        scene = _painted(request, min(request.size_px, VIDEO_SIDE_PX))
        return film.filmed(scene.still, scene.brief, scene.name, request.duration_s), "video/webm"
    scene = _painted(request, request.size_px)
    picture = weather.overlay(scene.still, scene.brief, scene.name)
    picture = mark.marked(paint.grain(picture, scene.brief.rng("grain"), 1.6))
    return _encoded(picture, request.format), f"image/{request.format}"


def _painted(request: PictureRequest, longest: int) -> _Scene:
    photos = [photo for photo in map(_opened, request.inputs[:SUBJECTS_MAX]) if photo is not None]
    reading = prompts.read(request.prompt, edit=request.kind != "text" and bool(photos))
    size = frame(request.aspect_ratio, photos[0].size if photos else None, longest)
    brief = Brief(size, _seed(request, reading.scene), reading.mood, reading.words)
    stage = paint_scene(reading.scene, brief)
    subjects: Sequence[Cutout] = [matting.cut_out(photo) for photo in photos]
    if not subjects:
        subjects = _stand_ins(request, reading, brief)
    still = composing.compose(stage, subjects)
    still = paint.vignette(weather.graded(still, reading.mood, stage), 0.3)
    return _Scene(still, brief, reading.scene)


def _stand_ins(request: PictureRequest, reading: prompts.Reading, brief: Brief) -> list[Cutout]:
    """Drawn subjects: those that the prompt names; else, where a subject is expected, one that its letters choose."""
    wishes = reading.wishes[:SUBJECTS_MAX]
    if not wishes and (request.kind == "edit" or reading.scene is None):
        return [Cutout(drawn_subject(None, None, brief))]
    return [Cutout(drawn_subject(wish.noun, wish.colour, brief), aloft=wish.noun in AIRBORNE) for wish in wishes]


def _seed(request: PictureRequest, scene: str | None) -> str:
    return hashlib.sha256(f"{request.seed}|{scene}|{request.prompt if scene is None else ''}".encode("utf-8", "replace")).hexdigest()[:16]


def _opened(content: bytes) -> Image.Image | None:
    """An input as an image the right way up; None if it is not a readable one."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > PIXELS_MAX:
                return None
            image.draft("RGB", (matting.FULL_PX, matting.FULL_PX))
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception:  # Decoders fail on broken files in many ways, and to the picture they all mean the same.
        return None


def frame(aspect_ratio: str | None, fallback: Size | None, longest: int) -> Size:
    """Width and height in pixels for a ratio like "16:9"; without one, the shape of the fallback or a square."""
    longest = max(SIDE_MIN_PX, min(SIDE_MAX_PX, longest))
    match = re.fullmatch(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*[:x/]\s*(\d{1,5}(?:\.\d{1,3})?)\s*", aspect_ratio or "")
    across, down = (float(match[1]), float(match[2])) if match else (fallback or (1, 1))
    if across <= 0 or down <= 0:
        across, down = fallback or (1, 1)
    ratio = max(1 / RATIO_MAX, min(RATIO_MAX, across / down))
    short = max(SIDE_MIN_PX, round(longest / max(ratio, 1 / ratio) / 8) * 8)
    return (longest, min(longest, short)) if ratio >= 1 else (min(longest, short), longest)


def _encoded(picture: Image.Image, format_: Literal["png", "jpeg", "webp"]) -> bytes:
    buffer = io.BytesIO()
    if format_ == "png":
        picture.save(buffer, "PNG", compress_level=1)
    elif format_ == "jpeg":
        picture.save(buffer, "JPEG", quality=92, subsampling=0)
    else:
        picture.save(buffer, "WEBP", quality=90, method=2)
    return buffer.getvalue()
