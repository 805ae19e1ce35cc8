"""The simulator's pictures: edits, drawings and short films made from a prompt, with nothing but Pillow."""

from batcher.simulator.pictures.rendering import PictureRequest, render

__all__ = ["PictureRequest", "render"]
