"""The live page: the gallery of a batch, served while the batch runs, before it and after. It keeps out of the way of the run."""

from batcher.live.server import LivePage, Mark, serve

__all__ = ["LivePage", "Mark", "serve"]
