"""Landing files to `raw`, quarantine and the file ledger. No Dagster in here."""

from __future__ import annotations

from orchestration.ingest.landing import Misplaced
from orchestration.ingest.load import (
    FileReport,
    IngestReport,
    LogTotals,
    PendingFile,
    ProgressEvent,
    ingest,
    pending,
)
from orchestration.ingest.quarantine import (
    QuarantinedLine,
    QuarantineGroup,
    ReplayReport,
    list_quarantine,
    replay_quarantine,
    show_quarantine,
)

__all__ = [
    "FileReport",
    "IngestReport",
    "LogTotals",
    "Misplaced",
    "PendingFile",
    "ProgressEvent",
    "QuarantineGroup",
    "QuarantinedLine",
    "ReplayReport",
    "ingest",
    "list_quarantine",
    "pending",
    "replay_quarantine",
    "show_quarantine",
]
