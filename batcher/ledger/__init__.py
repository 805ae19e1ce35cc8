"""The memory of a batch: SQLite in the output folder, with one writing thread."""

from batcher.ledger.owner import Owner
from batcher.ledger.reader import LedgerReader
from batcher.ledger.sqlite import SqliteLedger

__all__ = ["LedgerReader", "Owner", "SqliteLedger"]
