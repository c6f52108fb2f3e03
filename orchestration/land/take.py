"""The first step of a landing: files to accepted rows, by the very code of ingest."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import contracts
from orchestration.ingest.checks import literal, quote
from orchestration.ingest.landing import Landed
from orchestration.ingest.load import Batch, Taken, Tell, attempts
from orchestration.ingest.scan import Scan
from orchestration.ingest.tables import create_tables, raw_columns
from orchestration.land.store import day_sql
from orchestration.settings import Settings

ACCEPTED = "accepted.parquet"
REJECTED = "rejected.parquet"


class StagedBatch(Batch):
    """Files of one log whose rows stay in a worker's own database: nothing is settled yet.

    Every file is loaded, two of the same bytes too: which of them counts the ledger tells later.
    """

    unreadable: frozenset[int] = frozenset()

    def take(self, tell: Tell) -> None:
        """Scan and load."""
        self.taken = self.scan_files(tell)
        self.connection.begin()
        fresh = self.number(self.taken)
        self.unreadable = frozenset(entry.file_id for entry in fresh if entry.reason is not None)
        self.accept(fresh)
        self.write_ledger(fresh)
        self.connection.commit()

    def choose(self, taken: list[Taken]) -> list[Taken]:
        """All of them."""
        return taken


def staged_columns(log: str) -> list[str]:
    """The columns of accepted rows: those of raw but for the batch, with a file's own number."""
    return [name for name in raw_columns(contracts()[log]) if name != "_batch_id"]


def take(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    files: list[Landed],
    moment: str,
    out: Path,
) -> dict[str, Any]:
    """Read and check files of one log; what is accepted and rejected goes to `out` as Parquet.

    Returns an entry a file and the number of accepted rows a day. Raises TandemError for a file
    that changes while it is read.
    """
    create_tables(connection, [files[0].log])
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    settings = settings.model_copy(update={"now": now})
    contract = contracts()[files[0].log]
    entries = []
    for batch in attempts(connection, settings, files, _silent, StagedBatch):
        for entry in batch.taken:
            drift = [
                [name, lines]
                for (_, name, number), lines in sorted(batch.drift.items())
                if number == entry.file_id
            ]
            entries.append(_pack(entry, drift, entry.file_id not in batch.unreadable))
    table = f"raw.{contract.table}"
    days = dict(
        connection.execute(
            f"select {day_sql(contract)}, count(*) from {table} group by 1"
        ).fetchall()
    )
    if days:
        # By time, so that one day of it can be read alone.
        _copy(
            connection,
            f"select {', '.join(map(quote, staged_columns(contract.log)))} from {table} "
            f"order by {quote(contract.time)}",
            out / ACCEPTED,
        )
    lines = "from quarantine.lines where line is not null"
    if connection.execute(f"select 1 {lines} limit 1").fetchone():
        _copy(connection, f"select file_id, line, reason, field, raw_text {lines}", out / REJECTED)
    return {"log": contract.log, "entries": entries, "days": days}


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"copy ({query}) to {literal(str(path))} (format parquet, compression zstd)")


def _pack(entry: Taken, drift: list[list[Any]], is_readable: bool) -> dict[str, Any]:
    return {
        "landed": asdict(entry.landed),
        "sha256": entry.scan.sha256,
        "bytes": entry.scan.bytes,
        "mtime_ns": entry.scan.mtime_ns,
        "number": entry.file_id,
        "lines": entry.lines,
        "inserted": entry.inserted,
        "rejected": entry.rejected,
        "reason": entry.reason,
        "detail": entry.detail,
        "header": entry.header,
        "drift": drift,
        "is_readable": is_readable,
    }


def unpack(packed: dict[str, Any]) -> Taken:
    """The entry of a file as `take` left it; its number is the one in its own result."""
    landed = dict(packed["landed"])
    landed["control"] = tuple(landed["control"]) if landed["control"] else None
    return Taken(
        landed=Landed(**landed),
        scan=Scan(packed["sha256"], packed["bytes"], packed["mtime_ns"], packed["lines"]),
        file_id=packed["number"],
        lines=packed["lines"],
        inserted=packed["inserted"],
        rejected=packed["rejected"],
        reason=packed["reason"],
        detail=packed["detail"],
        header=packed["header"],
    )


def _silent(*_: object) -> None:
    return


def from_json(values: list[dict[str, Any]]) -> list[Landed]:
    """The files of a task's arguments."""
    return [
        Landed(**(value | {"control": tuple(value["control"]) if value["control"] else None}))
        for value in values
    ]


def identity(files: list[Landed], tools: str) -> str:
    """What a result depends on, as text: the files as they lie, and what reads them."""
    return json.dumps([tools, [asdict(file) for file in files]], ensure_ascii=False)
