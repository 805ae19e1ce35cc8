"""The memory of a batch: SQLite in the output folder, with one writing thread."""

from batcher.ledger.filesystem import is_network
from batcher.ledger.owner import Owner, is_at_work
from batcher.ledger.place import is_another, place_of
from batcher.ledger.reader import LedgerReader
from batcher.ledger.reserve import Reserve
from batcher.ledger.salvage import salvage
from batcher.ledger.soundness import seal_of
from batcher.ledger.sqlite import SqliteLedger
from batcher.ledger.wal import has_wal

SIMULATOR = "simulator"
"""What a ledger calls the service of its batch where that was a simulated one."""

LEDGER = "ledger.db"
"""What the ledger is called in the output folder."""

__all__ = [
    "LEDGER",
    "SIMULATOR",
    "LedgerReader",
    "Owner",
    "Reserve",
    "SqliteLedger",
    "has_wal",
    "is_another",
    "is_at_work",
    "is_network",
    "place_of",
    "salvage",
    "seal_of",
]
