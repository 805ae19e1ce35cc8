"""Runs the quickstart against the simulated service and puts three photos above what came of them: docs/images/before-after.jpg."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from batcher import Batch
from batcher.simulator import SimulatorSettings

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / "sample_manifests" / "photos"
TARGET = ROOT / "docs" / "images" / "before-after.jpg"
NAMES = ("mug", "plant_pot", "watch")
SCENES = ("beach", "night_street")
WIDTH_PX, GAP_PX, QUALITY = 1200, 6, 86


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report = Batch(ROOT / "sample_manifests" / "quickstart.yaml", out=out, simulate=SimulatorSettings(speed=50)).run()
        assert report.counts.done == report.rows, report.failures
        results = {path.stem: path for path in (out / "results").iterdir()}
        picture = arrange([(PHOTOS / f"{name}.jpg", [results[f"{name}-{scene}"] for scene in SCENES]) for name in NAMES])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.save(TARGET, quality=QUALITY, optimize=True, progressive=True)
    print(f"{TARGET.relative_to(ROOT)}: {picture.width} x {picture.height}, {TARGET.stat().st_size:,} bytes")


def arrange(columns: list[tuple[Path, list[Path]]]) -> Image.Image:
    """A column for each photo: the photo, and below it its results side by side."""
    width = (WIDTH_PX - GAP_PX * (len(columns) - 1)) // len(columns)
    small = (width - GAP_PX) // 2
    picture = Image.new("RGB", (WIDTH_PX, width + GAP_PX + small), "white")
    for n, (photo, results) in enumerate(columns):
        left = n * (width + GAP_PX)
        picture.paste(square(photo, width), (left, 0))
        for m, result in enumerate(results):
            picture.paste(square(result, small), (left + m * (small + GAP_PX), width + GAP_PX))
    return picture


def square(path: Path, side_px: int) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
