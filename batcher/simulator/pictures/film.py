"""A short film over a still picture: a slow push-in, with weather that falls or a light that wanders."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageChops

from batcher.simulator.pictures import mark, paint, weather, webm
from batcher.simulator.pictures.stage import Brief

FRAMES_MAX = 60
RATE_HZ = 10.0
RATE_MIN_HZ = 1.0
DURATION_MAX_S = 60.0
QUALITY = 68


def filmed(still: Image.Image, brief: Brief, scene: str | None, duration_s: float) -> bytes:
    """The bytes of a WebM file of about `duration_s` seconds (0.2 to 60); long films get fewer frames a second."""
    duration = max(0.2, min(DURATION_MAX_S, duration_s if math.isfinite(duration_s) else 5.0))
    count = max(2, min(FRAMES_MAX, round(duration * RATE_HZ)))
    size = (still.width // 2 * 2, still.height // 2 * 2)
    frames = [_frame(still, brief, scene, index / (count - 1), index * duration / count, size) for index in range(count)]
    return webm.muxed(frames, size, duration)


def _frame(still: Image.Image, brief: Brief, scene: str | None, share: float, moment: float, size: paint.Size) -> bytes:
    """One encoded frame: the picture seen a little closer than in the frame before."""
    rng = brief.rng("film")
    drift_x, drift_y = rng.uniform(-1, 1), rng.uniform(-0.4, 0.6)
    eased = share * share * (3 - 2 * share)
    view = 1 - 0.13 * eased
    spare_x, spare_y = still.width * (1 - view) / 2, still.height * (1 - view) / 2
    left, top = spare_x * (1 + 0.6 * drift_x), spare_y * (1 + 0.6 * drift_y)
    box = (left, top, left + still.width * view, top + still.height * view)
    picture = still.resize(size, Image.Resampling.BILINEAR, box=box)
    overlay_brief = Brief(size, brief.seed, brief.mood, brief.words)
    falls = brief.mood.rain or brief.mood.snow
    picture = weather.overlay(picture, overlay_brief, scene, moment=moment) if falls else _swept(picture, share, drift_x)
    buffer = io.BytesIO()
    mark.marked(picture).save(buffer, "WEBP", quality=QUALITY, method=0)
    return webm.key_frame(buffer.getvalue())


def _swept(picture: Image.Image, share: float, drift: float) -> Image.Image:
    """A soft light that wanders across."""
    width, height = picture.size
    way = 1 if drift > 0 else -1
    x = width * (0.5 + way * (share - 0.5) * 1.3)
    light = Image.new("RGB", (width // 8, height // 8))
    paint.glow(light, (x / 8, height * 0.3 / 8), (width * 0.5 / 8, height * 0.7 / 8), (46, 42, 36), 1.6)
    return ImageChops.screen(picture, light.resize(picture.size, Image.Resampling.BICUBIC))
