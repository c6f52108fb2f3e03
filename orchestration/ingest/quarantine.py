"""What was rejected and why, and taking it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from orchestration.contracts import LogContract, contracts
from orchestration.erasure import journal, tombstones
from orchestration.errors import TandemError
from orchestration.ingest.landing import FORMATS, Landed, look
from orchestration.ingest.lines import Line, Record, csv_lines, csv_record, json_record
from orchestration.ingest.load import (
    Batch,
    FileReport,
    Progress,
    Taken,
    check_sums,
    moment,
    roll_back,
    run,
    say,
    undo_unfinished,
    write_batch,
)
from orchestration.ingest.scan import Scan
from orchestration.ingest.settle import settle
from orchestration.ingest.tables import create_tables, require_tables
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

_CHUNK = 20_000


@dataclass(frozen=True)
class QuarantineGroup:
    """Rejected lines of one file and reason; `lines` is 0 for a file, folder or format."""

    log: str
    path: str
    file_id: int | None
    reason: str
    field: str | None
    lines: int
    first_line: int | None


@dataclass(frozen=True)
class QuarantinedLine:
    """One row of `quarantine.lines`. `raw_text` may hold personal data: never log it."""

    file_id: int | None
    path: str
    log: str
    line: int | None
    reason: str
    field: str | None
    raw_text: str | None
    batch_id: int | None
    rejected_at: datetime


@dataclass(frozen=True)
class ReplayReport:
    """What a replay changed: `lines` tried again became accepted, duplicate or rejected again.

    `files` are the whole-file quarantines that were taken again.
    """

    batch_id: int
    lines: int
    accepted: int
    duplicates: int
    rejected: int
    files: list[FileReport]


def list_quarantine(
    settings: Settings, *, log: str | None = None, reason: str | None = None
) -> list[QuarantineGroup]:
    """Rejected lines counted by log, file, reason and field; the largest groups first.

    Empty when there is no warehouse yet. Raises LockedError while another process writes.
    """
    where, values = _where(log=log, reason=reason)
    rows = _read(
        settings,
        f"""
        select log, path, file_id, reason, field, count(line), min(line)
        from quarantine.lines
        {where}
        group by log, path, file_id, reason, field
        order by count(line) desc, log, path, reason, field
        """,
        values,
    )
    return [QuarantineGroup(*row) for row in rows]


def show_quarantine(
    settings: Settings,
    *,
    log: str | None = None,
    reason: str | None = None,
    path: str | None = None,
    file_id: int | None = None,
    limit: int = 100,
) -> list[QuarantinedLine]:
    """Rejected lines with their raw text, in order of path and line, at most `limit`."""
    where, values = _where(log=log, reason=reason, path=path, file_id=file_id)
    rows = _read(
        settings,
        f"""
        select file_id, path, log, line, reason, field, raw_text, batch_id, rejected_at
        from quarantine.lines
        {where}
        order by path, line nulls first, reason
        limit {int(limit)}
        """,
        values,
    )
    return [QuarantinedLine(*row) for row in rows]


def replay_quarantine(
    settings: Settings,
    *,
    log: str | None = None,
    reason: str | None = None,
    path: str | None = None,
    file_id: int | None = None,
    progress: Progress | None = None,
) -> ReplayReport:
    """Take rejected lines and whole files again, under the contract and clock of now.

    Lines come from quarantine, not from the landing zone; a file that was quarantined whole is
    read again if it still lies there. Every file's counts still add up afterwards.
    """
    journal.require_none(settings)
    filters = {"log": log, "reason": reason, "path": path, "file_id": file_id}
    with open_warehouse(settings) as connection:
        require_tables(connection, "replaying quarantine")
        create_tables(connection)
        undo_unfinished(connection)
        try:
            report = _replay_lines(connection, settings, filters)
            retaken = _forget_files(connection, settings, filters)
        except duckdb.Error as error:
            roll_back(connection)
            raise TandemError(f"replay stopped, nothing was changed: {say(error)}") from None
        except BaseException:
            roll_back(connection)
            raise
        files: list[FileReport] = []
        batch_id = report.batch_id
        if retaken:
            landing = look(settings.landing_path, {file.log for file in retaken})
            wanted = {file.path for file in retaken}
            landing.files[:] = [file for file in landing.files if file.path in wanted]
            taken = run(connection, settings, landing, whole=False, progress=progress)
            files, batch_id = taken.files, taken.batch_id
    return ReplayReport(
        batch_id, report.lines, report.accepted, report.duplicates, report.rejected, files
    )


def _where(**filters: Any) -> tuple[str, list[Any]]:
    given = {name: value for name, value in filters.items() if value is not None}
    if not given:
        return "", []
    return "where " + " and ".join(f"{name} = ?" for name in given), list(given.values())


def _read(settings: Settings, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
    if not settings.warehouse_path.exists():
        return []
    with open_warehouse(settings, read_only=True) as connection:
        if not connection.execute(
            "select 1 from information_schema.tables where table_schema = 'quarantine'"
        ).fetchone():
            return []
        return connection.execute(query, values).fetchall()


def _replay_lines(
    connection: duckdb.DuckDBPyConnection, settings: Settings, filters: dict[str, Any]
) -> ReplayReport:
    connection.begin()
    where, values = _where(**filters)
    clause = f"{where} {'and' if where else 'where'} line is not null"
    connection.execute(
        f"create or replace temp table replayed as select * from quarantine.lines {clause}", values
    )
    ids = connection.execute("select distinct file_id from replayed order by file_id").fetchall()
    if not ids:
        connection.rollback()
        return ReplayReport(0, 0, 0, 0, 0, [])
    batch = Batch(connection, settings, [])
    batch.batch_id = _next_batch(connection)
    connection.execute(f"delete from quarantine.lines {clause}", values)
    before = _counts(connection)
    logs: set[str] = set()
    for (number,) in ids:
        entry = _entry(connection, number)
        logs.add(entry.landed.log)
        contract = contracts()[entry.landed.log]
        for records in _recorded(connection, contract, entry):
            batch.load_records(contract, entry, records)
    tombstones.bury_batch(connection, settings, sorted(logs), batch.batch_id)
    for name in logs:
        settle(connection, contracts()[name], batch.batch_id)
    for (number,) in ids:
        _recount(connection, number)
    check_sums(connection)
    after = _counts(connection)
    lines = _scalar(connection, "select count(*) from replayed")
    accepted, duplicates = after[0] - before[0], after[1] - before[1]
    if accepted or duplicates:
        write_batch(connection, batch.batch_id, moment(settings), [])
        connection.execute(
            "update control.batches set accepted = ?, duplicates = ? where batch_id = ?",
            [accepted, duplicates, batch.batch_id],
        )
    connection.commit()
    return ReplayReport(
        batch.batch_id, lines, accepted, duplicates, lines - accepted - duplicates, []
    )


def _recorded(
    connection: duckdb.DuckDBPyConnection, contract: LogContract, entry: Taken
) -> Iterator[list[Record]]:
    total = _scalar(connection, f"select count(*) from replayed where file_id = {entry.file_id}")
    for start in range(0, total, _CHUNK):
        rows = connection.execute(
            "select line, raw_text from replayed where file_id = ? "
            f"order by line limit {_CHUNK} offset {start}",
            [entry.file_id],
        ).fetchall()
        yield [_record(contract, entry, line, raw) for line, raw in rows]


def _record(contract: LogContract, entry: Taken, line: int, raw: str) -> Record:
    data = raw.encode()
    if entry.landed.kind != "csv":
        return json_record(Line(line, data), contract)
    fields = next((found for _, found in csv_lines([data], len(data) + 1)), None)
    return csv_record(Line(line, data), fields, entry.header or [], contract)


def _entry(connection: duckdb.DuckDBPyConnection, file_id: int) -> Taken:
    row = connection.execute(
        "select path, log, bytes, mtime_ns, format, sha256, lines_read from control.files "
        "where file_id = ?",
        [file_id],
    ).fetchone()
    if row is None:
        raise TandemError(f"quarantine names file {file_id}, which the ledger does not know")
    path, log, size, mtime_ns, file_format, digest, lines = row
    kind, compression = FORMATS[f".{file_format}"]
    header = connection.execute(
        "select header from control.headers where file_id = ?", [file_id]
    ).fetchone()
    return Taken(
        landed=Landed(path, log, size, mtime_ns, file_format, kind, compression, None),
        scan=Scan(digest, size, mtime_ns, lines),
        file_id=file_id,
        lines=lines,
        header=json.loads(header[0]) if header else None,
    )


def _recount(connection: duckdb.DuckDBPyConnection, file_id: int) -> None:
    log = _scalar(connection, f"select log from control.files where file_id = {file_id}")
    connection.execute(
        f"""
        update control.files
        set
            accepted = counts.accepted,
            rejected = counts.rejected,
            duplicates = lines_read - counts.accepted - counts.rejected
        from (
            select
                (select count(*) from raw.{contracts()[log].table} where _file_id = {file_id})
                    as accepted,
                (select count(line) from quarantine.lines where file_id = {file_id}) as rejected
        ) as counts
        where file_id = {file_id}
        """
    )


def _forget_files(
    connection: duckdb.DuckDBPyConnection, settings: Settings, filters: dict[str, Any]
) -> list[Landed]:
    """Make whole-file quarantines that still lie in the landing zone look new."""
    where, values = _where(**filters)
    rows = connection.execute(
        f"""
        select path, file_id from control.files {where} {"and" if where else "where"}
        state = 'quarantined'
        """,
        values,
    ).fetchall()
    ids: dict[str, list[int]] = {}
    for name, number in rows:
        ids.setdefault(name, []).append(number)
    found = [file for file in look(settings.landing_path).files if file.path in ids]
    connection.begin()
    for file in found:
        for number in ids[file.path]:
            connection.execute("delete from control.files where file_id = ?", [number])
            connection.execute("delete from quarantine.lines where file_id = ?", [number])
        connection.execute("delete from control.paths where path = ?", [file.path])
    connection.commit()
    return found


def _next_batch(connection: duckdb.DuckDBPyConnection) -> int:
    return int(_scalar(connection, "select coalesce(max(batch_id), 0) + 1 from control.batches"))


def _counts(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    row = connection.execute(
        "select coalesce(sum(accepted), 0), coalesce(sum(duplicates), 0) from control.files"
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None
