"""A batch runner for generative-media APIs: nothing is paid for twice, nothing paid for is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batcher.version import VERSION

if TYPE_CHECKING:
    from batcher.batch import Batch

__version__ = VERSION
__all__ = ["Batch", "__version__"]


def __getattr__(name: str) -> object:
    """Import `Batch` when it is first asked for: the command line should not wait for what it may not need."""
    if name == "Batch":
        from batcher.batch import Batch

        return Batch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
