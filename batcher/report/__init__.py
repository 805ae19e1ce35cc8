"""What came of a batch, for people and for programs: read from the ledger, written beside it, in every ending."""

from batcher.report.models import FILES, GALLERY, Report, ResultRow
from batcher.report.replacing import sweep
from batcher.report.rows import result_row
from batcher.report.writing import write_report

__all__ = ["FILES", "GALLERY", "Report", "ResultRow", "result_row", "sweep", "write_report"]
