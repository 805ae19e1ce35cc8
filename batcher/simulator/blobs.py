"""Input images that came inside request bodies, kept once each by the hash of their bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batcher.simulator.errors import SimulatorError
from batcher.simulator.schema import decode_data_uri

BLOB = "$blob"


class BlobStore:
    """A folder of blobs; without a folder of its own, a temporary one that goes when the store is closed."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def take_out(self, value: Any) -> Any:
        """`value` with every data URI in it replaced by a reference to a blob."""
        if isinstance(value, str) and value[:5].lower() == "data:":
            content = decode_data_uri(value)
            return value if content is None else {BLOB: self.put(content)}
        if isinstance(value, Mapping):
            return {name: self.take_out(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.take_out(item) for item in value]
        return value

    def put(self, content: bytes) -> str:
        """Keep `content` and return its SHA-256; it survives the process when this returns. Raises `SimulatorError`."""
        name = hashlib.sha256(content).hexdigest()
        try:
            path = self._directory() / name
            if not path.exists():
                draft = path.with_suffix(f".{os.getpid()}.part")
                draft.write_bytes(content)
                draft.replace(path)
        except OSError as error:
            raise SimulatorError(f"an input image cannot be kept: {error}") from error
        return name

    def get(self, name: str) -> bytes | None:
        """The bytes with this hash; None if they are gone."""
        folder = self._folder if self._temporary is None else Path(self._temporary.name)
        if folder is None:
            return None
        try:
            return (folder / name).read_bytes()
        except OSError:
            return None

    def close(self) -> None:
        """Remove what is only temporary."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _directory(self) -> Path:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="batcher-simulator-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)
