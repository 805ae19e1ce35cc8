"""Manifests: what a person writes to say what is to be made, read as rows with every fault named by its place."""

from batcher.manifest.csv_reader import cell
from batcher.manifest.head import Head
from batcher.manifest.manifest import Manifest
from batcher.manifest.opening import open_manifest, open_rows
from batcher.manifest.problems import did_you_mean, problems_from, unknown_key
from batcher.manifest.sources import Format

__all__ = ["Format", "Head", "Manifest", "cell", "did_you_mean", "open_manifest", "open_rows", "problems_from", "unknown_key"]
