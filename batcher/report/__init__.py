"""What came of a batch, for people and for programs: read from the ledger, written beside it, in every ending."""

from batcher.report.models import FILES, GALLERY, Report, ResultRow
from batcher.report.replacing import sweep
from batcher.report.rows import iso, result_row
from batcher.report.writing import report_so_far, write_report

__all__ = ["FILES", "GALLERY", "Report", "ResultRow", "iso", "report_so_far", "result_row", "sweep", "write_report"]
