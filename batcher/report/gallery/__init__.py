"""`report.html`: every row as a card, to look at, to compare and to review. Written from `report.json` and `results.jsonl`, and shown from a disk."""

from batcher.report.gallery.page import POLICY, render_page
from batcher.report.gallery.thumbnails import Thumbnails
from batcher.report.gallery.writing import PART_ROWS, THUMBNAILS, Gallery, enter, write_gallery

__all__ = ["PART_ROWS", "POLICY", "THUMBNAILS", "Gallery", "Thumbnails", "enter", "render_page", "write_gallery"]
