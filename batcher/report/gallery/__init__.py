"""`report.html`: every row as a card, to look at, to compare and to review. Written from `report.json` and `results.jsonl`, and shown from a disk."""

from batcher.report.gallery.page import render_page
from batcher.report.gallery.thumbnails import Thumbnails
from batcher.report.gallery.writing import Gallery, write_gallery

__all__ = ["Gallery", "Thumbnails", "render_page", "write_gallery"]
