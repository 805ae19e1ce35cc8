#!/usr/bin/env python3
"""Renders the product photos of `sample_manifests/photos/`: twelve subjects on a plain, light backdrop.

    python scripts/render_samples.py [--size 1024] [--only mug,vase] [--out FOLDER]

Needs numpy and Pillow. The same versions of both give the same pictures. Takes two to three minutes on two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from photo import goods, vessels
from photo.scene import Scene
from photo.studio import Studio

PHOTOS = Path(__file__).resolve().parent.parent / "sample_manifests" / "photos"

SCENES: dict[str, Callable[[], Scene]] = {
    "backpack": goods.backpack,
    "bottle": vessels.bottle,
    "candle": vessels.candle,
    "flacon": vessels.flacon,
    "headphones": goods.headphones,
    "lamp": goods.lamp,
    "mug": vessels.mug,
    "plant_pot": goods.plant_pot,
    "shoe_box": goods.shoe_box,
    "teapot": vessels.teapot,
    "vase": vessels.vase,
    "watch": goods.watch,
}


def render(task: tuple[str, int, Path]) -> str:
    name, size, folder = task
    began = time.perf_counter()
    path = folder / f"{name}.jpg"
    Studio(SCENES[name]()).picture(size).save(path, quality=91, optimize=True, progressive=True, subsampling=0)
    return f"{path.name}  {path.stat().st_size // 1024} KiB  {time.perf_counter() - began:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the product photos of the sample manifests.")
    parser.add_argument("--size", type=int, default=1024, help="width and height in pixels")
    parser.add_argument("--only", default=",".join(SCENES), help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=PHOTOS, help="folder for the photos")
    options = parser.parse_args()
    names = options.only.split(",")
    unknown = [name for name in names if name not in SCENES]
    if unknown:
        print(f"unknown photo: {', '.join(unknown)}; there are {', '.join(SCENES)}", file=sys.stderr)
        return 64
    options.out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(min(os.cpu_count() or 1, len(names))) as pool:
        for line in pool.imap_unordered(render, [(name, options.size, options.out) for name in names]):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
