"""From the landing zone into `raw`: batches of files, each wholly in the ledger or not at all.

A small batch is one transaction. A large one has its rows in `raw` before it is settled and
recorded; what a kill between the two leaves goes when the next run begins.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import duckdb
import orjson

from orchestration.contracts import LogContract, contracts
from orchestration.erasure import journal, tombstones
from orchestration.errors import TandemError, first_line
from orchestration.ingest import readers
from orchestration.ingest.canonical import canonical_sql
from orchestration.ingest.checks import Clock, literal, quote, typed_sql, verdict_sql
from orchestration.ingest.landing import (
    CONTROL_SUFFIX,
    Landed,
    Landing,
    Misplaced,
    is_inside,
    look,
    open_regular,
)
from orchestration.ingest.lines import (
    Record,
    csv_lines,
    csv_record,
    json_lines,
    json_record,
    pick,
)
from orchestration.ingest.scan import MAX_COLUMNS, Scan, content, scan
from orchestration.ingest.settle import settle
from orchestration.ingest.tables import create_tables, raw_columns, require_tables
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

# Bounds what one transaction holds back and what a kill can cost; one file is never split.
BATCH_BYTES = 512 << 20
BATCH_FILES = 2000
# From so many rows on a batch is settled in a transaction of its own: when rows are deleted that
# their own transaction has brought, DuckDB writes all the others again (a third of a load).
_SETTLED_APART = 250_000
_CHUNK_RECORDS = 20_000
# Longer lines need more memory than a connection beside the warehouse's is given.
_SIDE_LINE = 16 << 20
_CHUNK_BYTES = 8 << 20
# Of each file so many lines of at most so many bytes tell in which orders members come.
_LAYOUT_LINES, _LAYOUT_BYTES = 100, 64 << 10
_CONTROL_BYTES = 1 << 20
DRIFT_FIELDS = 1000
"""Of so many unknown fields drift keeps the names, per file; the others are `OTHER_FIELDS`."""
OTHER_FIELDS = "(other fields)"
_NAME_CHARACTERS = 200
# What DuckDB says of a file's content rather than of the machine it runs on.
_OF_THE_DATA = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError)


@dataclass(frozen=True)
class ProgressEvent:
    """Where an ingest stands. `path` is the file just scanned, or None between steps."""

    step: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    path: str | None = None


@dataclass(frozen=True)
class PendingFile:
    """Something in the landing zone that the next ingest would take, or report.

    `change` is `new`, `changed`, `control` (a control file beside a quarantined file changed),
    or the reason that reports it: `unknown_log`, `unknown_format`, `unreadable_file`.
    """

    path: str
    log: str
    bytes: int
    change: str


@dataclass(frozen=True)
class FileReport:
    """What became of one file: a row of `control.files`."""

    file_id: int
    log: str
    path: str
    state: str
    reason: str | None
    lines_read: int
    accepted: int
    rejected: int
    duplicates: int


@dataclass
class LogTotals:
    """Sums over the files that one ingest took of one log."""

    files: int = 0
    lines_read: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0


@dataclass
class IngestReport:
    """What one ingest did. `batch_id` is the last batch in the warehouse, 0 if there is none.

    `files` has a row per file taken, in path order of each batch. `unknown` lists what lies in
    the wrong place, `drift` gives the unknown fields met: (log, field) to number of records.
    """

    batch_id: int = 0
    files: list[FileReport] = field(default_factory=list)
    totals: dict[str, LogTotals] = field(default_factory=dict)
    unknown: list[Misplaced] = field(default_factory=list)
    drift: dict[tuple[str, str], int] = field(default_factory=dict)


Progress = Callable[[ProgressEvent], None]
Tell = Callable[[str, str | None, int, int], None]
"""Told a step, the file it is at or None, files and bytes done."""
BatchKind = TypeVar("BatchKind", bound="Batch")


def pending(settings: Settings, *, logs: Collection[str] | None = None) -> list[PendingFile]:
    """What in the landing zone is new or changed, by size and time of change alone.

    Reads the ledger without writing; hashes nothing. A file that was only touched is listed
    too, and the next ingest finds that its content is known. Raises LockedError while another
    process writes.
    """
    landing = look(settings.landing_path, logs)
    if not settings.warehouse_path.exists():
        return _changes(landing, _Seen({}, set()))
    with open_warehouse(settings, read_only=True) as connection:
        return _changes(landing, _seen(connection))


def ingest(
    settings: Settings,
    *,
    logs: Collection[str] | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Take everything new in the landing zone into `raw`, `quarantine` and `control`.

    With raw_storage = "parquet" it lands them, and `raw` is views. `logs` narrows it to some logs.
    Raises TandemError when nothing more can be taken (a full disk, a file that changes while it
    is read): batches before it are kept, it leaves no trace.
    """
    if settings.raw_storage == "parquet":
        from orchestration.land import land

        return land(settings, logs=logs, progress=progress)
    landing = look(settings.landing_path, logs)
    with open_warehouse(settings) as connection:
        return run(connection, settings, landing, logs is None, progress)


def run(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    landing: Landing,
    whole: bool,
    progress: Progress | None = None,
) -> IngestReport:
    """`ingest` on an open connection; `whole` says that `landing` shows every log."""
    journal.require_none(settings)
    require_tables(connection, "taking records into tables")
    report = IngestReport(unknown=landing.misplaced)
    try:
        create_tables(connection)
        undo_unfinished(connection)
        changes = changed(connection, settings, landing, whole=whole)
        files = [file for file in landing.files if file.path in changes]
        done, total = 0, sum(file.bytes for file in files)
        taken = 0
        for batch in _batches(files):
            tell = _teller(progress, taken, len(files), done, total)
            for loader in attempts(connection, settings, batch, tell, Batch):
                add_to(report, loader)
            taken += len(batch)
            done += sum(file.bytes for file in batch)
        row = connection.execute("select coalesce(max(batch_id), 0) from control.batches")
        report.batch_id = int((row.fetchone() or (0,))[0])
    except duckdb.Error as error:
        _give_up(connection)
        raise TandemError(f"ingest stopped, nothing of its batch was kept: {say(error)}") from None
    except BaseException:
        _give_up(connection)
        raise
    return report


def changed(
    connection: duckdb.DuckDBPyConnection, settings: Settings, landing: Landing, *, whole: bool
) -> set[str]:
    """The paths that are new or changed; notes what lies in the wrong place when all was seen."""
    seen = _seen(connection)
    if whole and _misplaced_keys(landing) != seen.misplaced:
        _write_misplaced(connection, settings, landing.misplaced)
    return {change.path for change in _changes(landing, seen)}


def attempts(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    batch: list[Landed],
    tell: Tell,
    make: type[BatchKind],
) -> Iterator[BatchKind]:
    """Take a batch; one that DuckDB gives up on carefully, then file by file.

    `make` is the kind of batch.
    """
    loader = make(connection, settings, batch)
    try:
        loader.take(tell)
    except (duckdb.IOException, duckdb.OutOfMemoryException, *_OF_THE_DATA):
        # Something that the scan finds whole and DuckDB does not, such as zero bytes behind a
        # gzip stream. A full disk fails again, and then for good.
        roll_back(connection)
        loader = make(connection, settings, batch, careful=True)
        try:
            loader.take(tell)
        except _OF_THE_DATA:
            roll_back(connection)
            for file in batch:
                yield _taken_alone(connection, settings, file, tell, make)
            return
    yield loader


def _taken_alone(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    file: Landed,
    tell: Tell,
    make: type[BatchKind],
) -> BatchKind:
    """Take one file; quarantine it whole when it cannot be, so that it stops no other."""
    loader = make(connection, settings, [file], careful=True)
    try:
        loader.take(tell)
    except _OF_THE_DATA as error:
        roll_back(connection)
        fault = f"DuckDB cannot take it ({type(error).__name__})"
        loader = make(connection, settings, [file], careful=True, fault=fault)
        loader.take(tell)
    return loader


def _teller(
    progress: Progress | None, files_done: int, files: int, bytes_done: int, size: int
) -> Tell:
    def tell(step: str, path: str | None, count: int, read: int) -> None:
        if progress is not None:
            progress(ProgressEvent(step, files_done + count, files, bytes_done + read, size, path))

    return tell


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End the transaction, if one is open."""
    try:
        connection.rollback()
    except duckdb.Error:
        # No transaction was open, or the failure has ended it already.
        return


def undo_unfinished(connection: duckdb.DuckDBPyConnection) -> None:
    """Take away the rows of a batch that a kill or a failure kept from being recorded."""
    rows = connection.execute("select batch_id from control.loading").fetchall()
    if not rows:
        return
    connection.begin()
    for (batch_id,) in rows:
        for contract in contracts().values():
            connection.execute(f"delete from raw.{contract.table} where _batch_id = {batch_id}")
        connection.execute(f"delete from quarantine.lines where batch_id = {batch_id}")
    connection.execute("delete from control.loading")
    connection.commit()


def _give_up(connection: duckdb.DuckDBPyConnection) -> None:
    roll_back(connection)
    # Where even that fails (the disk is full), the next run does it.
    with suppress(duckdb.Error):
        undo_unfinished(connection)


def say(error: duckdb.Error) -> str:
    """The error without what it may quote of the data."""
    if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException)):
        return first_line(error)
    return type(error).__name__


def add_to(report: IngestReport, batch: Batch) -> None:
    """Count a batch that was taken."""
    report.files += batch.reports
    for row in batch.reports:
        totals = report.totals.setdefault(row.log, LogTotals())
        totals.files += 1
        totals.lines_read += row.lines_read
        totals.accepted += row.accepted
        totals.rejected += row.rejected
        totals.duplicates += row.duplicates
    for (log, name, _), lines in batch.drift.items():
        report.drift[log, name] = report.drift.get((log, name), 0) + lines


def _batches(files: list[Landed]) -> Iterator[list[Landed]]:
    batch: list[Landed] = []
    size = 0
    for file in files:
        if batch and (size + file.bytes > BATCH_BYTES or len(batch) >= BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes
    if batch:
        yield batch


@dataclass(frozen=True)
class _Seen:
    """What the ledger knows: path to (bytes, mtime_ns, quarantine reason), and misplaced rows."""

    paths: Mapping[str, tuple[int, int, str | None]]
    misplaced: set[tuple[str, str]]


def _seen(connection: duckdb.DuckDBPyConnection) -> _Seen:
    if not connection.execute(
        "select 1 from information_schema.tables "
        "where table_schema = 'control' and table_name = 'paths'"
    ).fetchone():
        return _Seen({}, set())
    rows = connection.execute(
        """
        select paths.path, paths.bytes, paths.mtime_ns, files.reason
        from control.paths as paths
        left join control.files as files
            on paths.log = files.log and paths.sha256 = files.sha256
        """
    ).fetchall()
    misplaced = connection.execute(
        "select path, reason from quarantine.lines where file_id is null"
    ).fetchall()
    return _Seen({row[0]: (row[1], row[2], row[3]) for row in rows}, set(misplaced))


def _misplaced_keys(landing: Landing) -> set[tuple[str, str]]:
    return {(entry.path, str(entry.reason)) for entry in landing.misplaced}


def _changes(landing: Landing, seen: _Seen) -> list[PendingFile]:
    found = []
    for file in landing.files:
        known = seen.paths.get(file.path)
        if known is None:
            change = "new"
        elif known[:2] != (file.bytes, file.mtime_ns):
            change = "changed"
        elif known[2] == "control_mismatch" and file.control != _control_seen(file, seen):
            change = "control"
        else:
            continue
        found.append(PendingFile(file.path, file.log, file.bytes, change))
    found += [
        PendingFile(entry.path, entry.log, 0, entry.reason)
        for entry in landing.misplaced
        if (entry.path, entry.reason) not in seen.misplaced
    ]
    return found


def _control_seen(file: Landed, seen: _Seen) -> tuple[int, int] | None:
    known = seen.paths.get(file.path + CONTROL_SUFFIX)
    return known[:2] if known else None


def moment(settings: Settings) -> datetime:
    """The moment of loading, UTC without a zone."""
    return (settings.now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)


def _write_misplaced(
    connection: duckdb.DuckDBPyConnection, settings: Settings, misplaced: Iterable[Misplaced]
) -> None:
    """Make the file-less rows of quarantine say what lies in the wrong place now."""
    connection.begin()
    old = connection.execute(
        "select path, reason, rejected_at from quarantine.lines where file_id is null"
    ).fetchall()
    since = {(path, reason): at for path, reason, at in old}
    connection.execute("delete from quarantine.lines where file_id is null")
    for entry in misplaced:
        at = since.get((entry.path, entry.reason), moment(settings))
        connection.execute(
            "insert into quarantine.lines values (null, ?, ?, null, ?, ?, null, null, ?)",
            [entry.path, entry.log, entry.reason, entry.detail or None, at],
        )
    connection.commit()


@dataclass
class Taken:
    """One file on its way through a batch."""

    landed: Landed
    scan: Scan
    path: Path = Path()
    file_id: int = 0
    lines: int = 0
    inserted: int = 0
    rejected: int = 0
    reason: str | None = None
    detail: str | None = None
    header: list[str] | None = None
    columns: readers.Columns = ()
    sums: Mapping[str, int] = field(default_factory=dict)
    rejected_sums: Counter[str] = field(default_factory=Counter)


class Batch:
    """One batch of files, recorded in one transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        files: list[Landed],
        careful: bool = False,
        fault: str | None = None,
    ) -> None:
        """`careful` leaves nothing to DuckDB's readers of text; `fault` quarantines every file."""
        self.careful = careful
        self.fault = fault
        self.connection = connection
        self.settings = settings
        self.files = files
        self.moment = moment(settings)
        self.clock = Clock(self.moment)
        self.batch_id = 0
        self.reports: list[FileReport] = []
        self.drift: Counter[tuple[str, str, int]] = Counter()
        self._drift_fields: Counter[int] = Counter()
        self._taken_again: list[int] = []

    def take(self, tell: Tell) -> None:
        """Scan, load, settle, check the sums, commit."""
        taken = self.scan_files(tell)
        tell("load", None, 0, 0)
        undo_unfinished(self.connection)
        self.connection.begin()
        fresh = self.number(taken)
        logs = self.accept(fresh)
        if sum(entry.inserted for entry in fresh) >= _SETTLED_APART:
            self.connection.execute(f"insert into control.loading values ({self.batch_id})")
            self.connection.commit()
            self.connection.begin()
            self.connection.execute("delete from control.loading")
        self.write_ledger(fresh)
        tombstones.bury_batch(self.connection, self.settings, logs, self.batch_id)
        for log in logs:
            settle(self.connection, contracts()[log], self.batch_id)
        self.finish(fresh, taken, self._accepted(fresh))
        self.connection.commit()
        tell("done", None, len(self.files), sum(file.bytes for file in self.files))

    def number(self, taken: list[Taken]) -> list[Taken]:
        """The files that count, in order of their paths, with their numbers and the batch's."""
        row = self.connection.execute(
            "select coalesce(max(batch_id), 0) + 1, (select coalesce(max(file_id), 0) + 1 "
            "from control.files) from control.batches"
        ).fetchone()
        self.batch_id, next_id = row or (1, 1)
        fresh = self.choose(taken)
        for number, entry in enumerate(fresh, start=next_id):
            entry.file_id = number
        return fresh

    def accept(self, fresh: list[Taken]) -> list[str]:
        """Hold the files against their control files and the contract; the logs with rows.

        What passes goes to `raw`, the other lines to quarantine.
        """
        by_log: dict[str, list[Taken]] = {}
        for entry in fresh:
            self._check_control(entry)
            if entry.reason is None:
                by_log.setdefault(entry.landed.log, []).append(entry)
        for log, entries in by_log.items():
            self._load(contracts()[log], entries)
        return list(by_log)

    def scan_files(self, tell: Tell) -> list[Taken]:
        """Read every file to its end: whole or not, how many lines, which bytes; by path."""
        root = self.settings.landing_path
        settings = self.settings

        def one(file: Landed) -> Taken:
            path = root / file.path
            self._require_inside(path, file)
            try:
                found = scan(
                    path,
                    file.kind,
                    file.compression,
                    settings.max_line_bytes,
                    settings.max_expansion,
                )
            except OSError as error:
                raise TandemError(f"cannot read {file.path}: {error.strerror}") from error
            entry = Taken(file, found, path, lines=found.lines)
            fault = found.error or self.fault
            if fault is not None:
                entry.reason, entry.detail, entry.lines = "unreadable_file", fault, 0
            elif file.kind == "csv":
                self._read_header(entry)
            elif file.kind == "parquet":
                # One that changed since it was scanned: the probe says what is wrong with it.
                with suppress(ValueError):
                    entry.columns = readers.parquet_columns(path)
            return entry

        taken: list[Taken] = []
        size = 0

        def keep(scanned: Iterable[Taken]) -> None:
            nonlocal size
            for entry in scanned:
                taken.append(entry)
                size += entry.landed.bytes
                tell("scan", entry.landed.path, len(taken), size)

        with (
            ThreadPoolExecutor(settings.threads) as pool,
            # Where what DuckDB cannot read harms nothing.
            _aside(settings.threads) as aside,
            ThreadPoolExecutor(settings.threads) as probes,
        ):
            first = pool.map(one, [file for file in self.files if file.kind != "jsonl"])
            others = pool.map(one, [file for file in self.files if file.kind == "jsonl"])
            keep(first)
            whole = [
                entry
                for entry in taken
                if entry.reason is None
                and (entry.landed.kind == "parquet" or (entry.header and entry.scan.plain))
            ]
            # DuckDB tries these while Python goes through the lines of the others.
            tried = probes.map(partial(self._probe, aside), _alike(whole))
            keep(others)
            for _ in tried:
                pass
        return sorted(taken, key=lambda entry: entry.landed.path)

    def _require_inside(self, path: Path, file: Landed) -> None:
        """Raise TandemError when a link has come in the file's place since the landing was seen."""
        if not is_inside(path, str(self.settings.landing_path.resolve())):
            raise TandemError(
                f"{file.path} became a link out of the landing zone while it was read. Nothing "
                "of this batch was kept; run again"
            )

    def _read_header(self, entry: Taken) -> None:
        """A CSV file's header, without which nothing can be said of its records."""
        lines = csv_lines(
            content(entry.path, entry.landed.compression), self.settings.max_line_bytes
        )
        line, header = next(lines, (None, None))
        if line is None:
            entry.header = []
            entry.lines = 0
        elif header is None or len(set(header)) != len(header):
            entry.reason, entry.detail = "unreadable_file", "no header with distinct names"
            entry.lines = 0
        elif len(header) > MAX_COLUMNS:
            entry.reason, entry.detail = "unreadable_file", f"more than {MAX_COLUMNS} columns"
            entry.lines = 0
        else:
            entry.header = header
            entry.columns = readers.csv_columns(header, entry.landed.compression)
            if not entry.scan.plain or len(header) < 2:
                entry.scan = _not_plain(entry.scan)

    def _probe(self, aside: duckdb.DuckDBPyConnection, entries: list[Taken]) -> None:
        """Read CSV or Parquet files of equal columns with DuckDB.

        Where it fails of several, each alone; where of one, that is read otherwise or unreadable.
        """
        contract = contracts()[entries[0].landed.log]
        try:
            with aside.cursor() as probe:
                rows = probe.execute(
                    "select file_index, count(*), count(columns(*)) "
                    f"from {self._source(contract, entries)} group by file_index"
                ).fetchall()
            found = {row[0]: row[1] for row in rows}
            if all(found.get(place, 0) == entry.lines for place, entry in enumerate(entries)):
                return
            failure = "its readers disagree on the number of rows"
        except (duckdb.Error, ValueError) as error:
            failure = f"DuckDB cannot read it ({type(error).__name__})"
        if len(entries) > 1:
            for entry in entries:
                self._probe(aside, [entry])
        elif entries[0].landed.kind == "csv":
            entries[0].scan = _not_plain(entries[0].scan)
        else:
            entries[0].reason, entries[0].detail = "unreadable_file", failure
            entries[0].lines = 0

    def _source(
        self,
        contract: LogContract,
        entries: list[Taken],
        numbered: bool = False,
        native: Collection[str] = (),
    ) -> str:
        """CSV or Parquet files of equal columns."""
        paths = [entry.path for entry in entries]
        if entries[0].landed.kind == "parquet":
            return readers.parquet_source(paths, contract, native)
        longest = max(entry.scan.longest for entry in entries)
        return readers.csv_source(paths, entries[0].header or [], contract, longest, numbered)

    def choose(self, taken: list[Taken]) -> list[Taken]:
        """The files whose bytes the ledger does not know, or knows as quarantined and mended."""
        known = {
            (log, sha): (file_id, state, reason, file_format)
            for log, sha, file_id, state, reason, file_format in self.connection.execute(
                "select log, sha256, file_id, state, reason, format from control.files"
            ).fetchall()
        }
        fresh: list[Taken] = []
        here: set[tuple[str, str]] = set()
        # Of two names of the same bytes, one that tells the right format.
        for entry in sorted(taken, key=lambda one: one.reason is not None):
            key = (entry.landed.log, entry.scan.sha256)
            if key in here:
                continue
            if key in known:
                file_id, state, reason, file_format = known[key]
                again = state == "quarantined" and (
                    reason == "control_mismatch" or file_format != entry.landed.format
                )
                if not again:
                    continue
                self._taken_again.append(file_id)
            here.add(key)
            fresh.append(entry)
        return sorted(fresh, key=lambda entry: entry.landed.path)

    def _check_control(self, entry: Taken) -> None:
        if entry.reason is not None or entry.landed.control is None:
            return
        path = entry.path.with_name(entry.path.name + CONTROL_SUFFIX)
        try:
            totals = _read_control(path, str(self.settings.landing_path.resolve()))
            unknown = set(totals) - {"sha256", "lines", "sums"}
            sums = totals.get("sums") or {}
            names = {item.name for item in contracts()[entry.landed.log].all_fields}
            if unknown or not all(type(value) is int for value in sums.values()):
                raise ValueError
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            entry.reason, entry.detail = "control_mismatch", "control file unreadable"
        else:
            if "sha256" in totals and str(totals["sha256"]).lower() != entry.scan.sha256:
                entry.reason, entry.detail = "control_mismatch", "sha256"
            elif "lines" in totals and totals["lines"] != self._record_count(entry):
                entry.reason, entry.detail = "control_mismatch", "lines"
            elif set(sums) - names:
                entry.reason = "control_mismatch"
                entry.detail = f"sums.{min(set(sums) - names)}"
            else:
                entry.sums = sums
        if entry.reason is not None:
            entry.lines = 0

    def _record_count(self, entry: Taken) -> int:
        if entry.landed.kind == "csv" and not entry.scan.plain:
            return sum(1 for _ in self._records(entry, None))
        return entry.lines

    def _load(self, contract: LogContract, entries: list[Taken]) -> None:
        plain = [
            entry
            for entry in entries
            if entry.landed.kind == "jsonl" and entry.scan.plain and not self.careful
        ]
        whole = [
            entry
            for entry in entries
            if entry.landed.kind == "parquet" or self._is_plain_csv(entry)
        ]
        if plain:
            self._load_json(contract, plain)
        for files in _alike(whole):
            self._load_texts(contract, files)
        for entry in entries:
            if entry not in plain and entry not in whole and entry.header != []:
                self._load_carefully(contract, entry, None)
        for entry in entries:
            self._recheck(entry)
        self._check_sums(contract, [entry for entry in entries if entry.sums and not entry.reason])

    def _check_sums(self, contract: LogContract, entries: list[Taken]) -> None:
        """Hold files against their control sums, once their rows are in `raw` or rejected."""
        if not entries:
            return
        names = sorted({name for entry in entries for name in entry.sums})
        types = {item.name: item.type for item in contract.all_fields}
        sums = ", ".join(_sum_sql(name, types[name] == "integer") for name in names)
        ids = ", ".join(str(entry.file_id) for entry in entries)
        rows = self.connection.execute(
            f"select _file_id, {sums} from raw.{contract.table} where _file_id in ({ids}) "
            "group by _file_id"
        ).fetchall()
        accepted = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
        for entry in entries:
            found = accepted.get(entry.file_id, {})
            wrong = [
                name
                for name, total in sorted(entry.sums.items())
                if found.get(name, 0) + entry.rejected_sums[name] != total
            ]
            if wrong:
                self._take_back(contract, entry, "control_mismatch", f"sums.{wrong[0]}")

    def _is_plain_csv(self, entry: Taken) -> bool:
        is_plain = entry.landed.kind == "csv" and entry.scan.plain and bool(entry.header)
        return is_plain and not self.careful

    def _load_json(self, contract: LogContract, entries: list[Taken]) -> None:
        """Regular files by the cheapest read; what that cannot vouch for by the general one."""
        regular = [entry for entry in entries if entry.scan.shape.regular]
        general = [entry for entry in entries if not entry.scan.shape.regular]
        if regular:
            general += self._load_regular(contract, regular)
        if general:
            self._insert_fast(contract, general, regular=False)
            self._count_unknown(contract, general)
            for entry, wanted in self._odd_lines(contract, general, regular=False):
                self._load_carefully(contract, entry, wanted)

    def _load_regular(self, contract: LogContract, entries: list[Taken]) -> list[Taken]:
        """Load regular files; gives back those whose bytes hold more than the rows explain."""
        self._insert_fast(contract, entries, regular=True)
        first = min(entry.file_id for entry in entries)
        explained = {
            file_id: (names, quotes)
            for file_id, names, quotes in self.connection.execute(
                readers.shape_sql(contract, first)
            ).fetchall()
        }
        odd = {id(entry): wanted for entry, wanted in self._odd_lines(contract, entries, True)}
        unexplained = []
        for entry in entries:
            names, quotes = explained.get(entry.file_id, (0, 0))
            wanted = odd.get(id(entry))
            if wanted is not None:
                pieces = content(entry.path, entry.landed.compression)
                for line in pick(json_lines(pieces, self.settings.max_line_bytes), wanted):
                    names += line.data.count(b'":')
                    quotes += line.data.count(b'"')
            if (names, quotes) == (entry.scan.shape.names, entry.scan.shape.quotes):
                if wanted is not None:
                    self._load_carefully(contract, entry, wanted)
            else:
                unexplained.append(entry)
        if unexplained:
            ids = ", ".join(str(entry.file_id) for entry in unexplained)
            self.connection.execute(f"delete from raw.{contract.table} where _file_id in ({ids})")
        return unexplained

    def _insert_fast(self, contract: LogContract, entries: list[Taken], regular: bool) -> None:
        self._insert(
            contract,
            f"""
            select
                {self._columns(contract)},
                _extra,
                {_file_id_sql(entries)} as _file_id
            from ({self._fast(contract, entries, regular, numbered=False)})
            where is_fast
            """,
        )
        self._count_inserted(contract, entries)

    def _fast(
        self, contract: LogContract, entries: list[Taken], regular: bool, numbered: bool
    ) -> str:
        return readers.fast_json_sql(
            contract,
            self.clock,
            [entry.path for entry in entries],
            max(entry.scan.longest for entry in entries),
            self.settings.max_line_bytes,
            regular=regular,
            numbered=numbered,
            tidy=all(entry.scan.shape.tidy for entry in entries),
            known=[] if regular else self._layouts(contract, entries),
        )

    def _layouts(self, contract: LogContract, entries: list[Taken]) -> list[readers.Layout]:
        """How members follow one another in the first lines with nulls or unknown members."""
        known = {item.name for item in contract.all_fields}

        def members() -> Iterator[Sequence[str]]:
            for entry in entries:
                pieces = content(entry.path, entry.landed.compression)
                for line in islice(json_lines(pieces, _LAYOUT_BYTES), _LAYOUT_LINES):
                    with suppress(orjson.JSONDecodeError):
                        record = orjson.loads(line.data)
                        if isinstance(record, dict) and (
                            None in record.values() or not known >= record.keys()
                        ):
                            yield tuple(record)

        return readers.layouts(contract, members())

    def _odd_lines(
        self, contract: LogContract, entries: list[Taken], regular: bool
    ) -> Iterator[tuple[Taken, list[int] | None]]:
        """The files with lines that are not fast, and where these stand; None for all of them."""
        odd = [entry for entry in entries if entry.inserted != entry.lines]

        def find(entry: Taken) -> list[int] | None:
            if not entry.inserted:
                return None if not regular else list(range(1, entry.lines + 1))
            fast = self._fast(contract, [entry], regular, numbered=True)
            query = f"select line from ({fast}) where not is_fast order by line"
            if entry.scan.longest > _SIDE_LINE:
                with lock:
                    found = self.connection.execute(query).fetchall()
            else:
                # A connection of its own, since the warehouse's runs one query at a time.
                with _aside(1) as one:
                    one.execute("set timezone = 'UTC'")
                    found = one.execute(query).fetchall()
            return [int(line) for (line,) in found]

        lock = Lock()
        with ThreadPoolExecutor(self.settings.threads) as pool:
            yield from zip(odd, pool.map(find, odd), strict=True)

    def _load_texts(self, contract: LogContract, entries: list[Taken]) -> None:
        """CSV or Parquet files of equal columns by SQL alone; what fails is looked at again."""
        loose = readers.loose_sql(contract) if entries[0].landed.kind == "csv" else "false"
        self._insert(
            contract,
            f"""
            select {readers.fast_columns(contract)}, _extra, {_file_id_sql(entries)} as _file_id
            from ({self._flagged(contract, entries, loose)})
            where is_fast
            """,
        )
        self._count_inserted(contract, entries)
        odd = [entry for entry in entries if entry.inserted != entry.lines]
        if odd:
            self._insert(
                contract,
                f"""
                select {self._typed(contract)}, _extra, {_file_id_sql(odd)} as _file_id
                from ({self._flagged(contract, odd, loose)})
                where not is_fast and {verdict_sql(contract, self.clock)} is null and not ({loose})
                """,
            )
            self._count_inserted(contract, odd)
        names = {name for name, _ in entries[0].columns}
        if names - {item.name for item in contract.all_fields}:
            for name, file_id, lines in self._extra_counts(contract, entries):
                self._drifted(contract.log, name, file_id, lines)
        for entry in odd:
            if entry.inserted != entry.lines:
                self._reject_texts(contract, entry, loose)

    def _flagged(self, contract: LogContract, entries: list[Taken], loose: str) -> str:
        native = set()
        if entries[0].landed.kind == "parquet":
            native = readers.native_fields(entries[0].columns, contract)
        source = self._source(contract, entries, native=native)
        return readers.flagged_sql(contract, self.clock, source, loose, native)

    def _reject_texts(self, contract: LogContract, entry: Taken, loose: str) -> None:
        verdict = verdict_sql(contract, self.clock)
        if entry.landed.kind == "csv":
            numbered = self._source(contract, [entry], numbered=True)
            wanted = self._positions(
                f"select line from (select line, {verdict} as verdict, {loose} as loose "
                f"from {numbered}) where verdict is not null or loose"
            )
            self._load_carefully(contract, entry, wanted, drift=False)
            return
        source = self._source(contract, [entry])
        names = [item.name for item in contract.all_fields]
        packed = ", ".join(f"{quote(name)} := {quote(name)}" for name in names)
        entry.rejected += self._reject(
            f"""
            select {entry.file_id} as file_id, line, {verdict} as verdict,
                cast(to_json(struct_pack({packed})) as varchar) as raw
            from {source}
            where {verdict} is not null
            """,
            entry,
        )
        self._add_sums(entry, f"{source} where {verdict} is not null")

    def _count_unknown(self, contract: LogContract, entries: list[Taken]) -> None:
        """Drift of the rows that came by SQL."""
        ids = ", ".join(str(entry.file_id) for entry in entries)
        rows = self.connection.execute(
            f"""
            select name, _file_id, count(*)
            from (
                select unnest(json_keys(_extra)) as name, _file_id
                from raw.{contract.table}
                where _file_id in ({ids}) and _extra is not null
            )
            group by name, _file_id
            order by name, _file_id
            """
        )
        for name, file_id, lines in _rows(rows):
            self._drifted(contract.log, name, file_id, lines)

    def _drifted(self, log: str, name: str, file_id: int, lines: int) -> None:
        """Note an unknown field: producers choose how many there are, and how long they are."""
        key = (log, name[:_NAME_CHARACTERS], file_id)
        if key not in self.drift:
            if self._drift_fields[file_id] >= DRIFT_FIELDS:
                key = (log, OTHER_FIELDS, file_id)
            else:
                self._drift_fields[file_id] += 1
        self.drift[key] += lines

    def _extra_counts(
        self, contract: LogContract, entries: list[Taken]
    ) -> Iterator[tuple[str, int, int]]:
        rows = self.connection.execute(
            f"""
            select name, _file_id, count(*)
            from (
                select unnest(json_keys(_extra)) as name, {_file_id_sql(entries)} as _file_id
                from {self._source(contract, entries)}
                where _extra is not null
            )
            group by name, _file_id
            order by name, _file_id
            """
        )
        yield from _rows(rows)

    def _positions(self, query: str) -> Iterable[int]:
        lines: Any = self.connection.execute(f"{query} order by line").fetchnumpy()["line"]
        return (int(line) for line in lines)

    def _records(self, entry: Taken, wanted: Iterable[int] | None) -> Iterator[Record]:
        contract = contracts()[entry.landed.log]
        pieces = content(entry.path, entry.landed.compression)
        limit = self.settings.max_line_bytes
        if entry.landed.kind == "jsonl":
            for line in pick(json_lines(pieces, limit), wanted):
                yield json_record(line, contract)
            return
        rows = csv_lines(pieces, limit)
        next(rows, None)
        for line, fields in pick(rows, wanted):
            yield csv_record(line, fields, entry.header or [], contract)

    def _load_carefully(
        self,
        contract: LogContract,
        entry: Taken,
        wanted: Iterable[int] | None,
        drift: bool = True,
    ) -> None:
        count = 0
        try:
            for chunk in _chunks(self._records(entry, wanted)):
                count += len(chunk)
                self.load_records(contract, entry, chunk)
                if drift:
                    for record in chunk:
                        for name in record.unknown:
                            self._drifted(contract.log, name, entry.file_id, 1)
        except UnicodeDecodeError:
            self._take_back(contract, entry, "unreadable_file", "not UTF-8")
            return
        if entry.landed.kind == "csv" and wanted is None:
            # Only the careful reader can say what a record of such a file is.
            entry.lines = count
        self._count_inserted(contract, [entry])

    def load_records(self, contract: LogContract, entry: Taken, records: list[Record]) -> None:
        """Insert what the contract accepts of one file's records, and quarantine the rest."""
        kinds = {"line": "BIGINT", "raw": "VARCHAR", "is_malformed": "BOOLEAN", "_extra": "VARCHAR"}
        kinds |= {item.name: "VARCHAR" for item in contract.all_fields}
        rows = [
            {
                "line": record.line,
                "raw": record.raw,
                "is_malformed": record.malformed,
                "_extra": record.extra,
                **record.values,
            }
            for record in records
        ]
        texts = ", ".join(
            f"nullif({quote(item.name)}, '') as {quote(item.name)}" for item in contract.all_fields
        )
        verdict = verdict_sql(contract, self.clock, malformed="is_malformed")
        # JSON in a literal: DuckDB 1.5 imports pandas for a parameter or an Arrow table, which
        # takes longer than most loads.
        text = orjson.dumps(rows).decode()
        self.connection.execute(
            f"""
            create or replace temp table careful as
            select *, {verdict} as verdict
            from (
                select line, raw, is_malformed, _extra, {texts}
                from (
                    select unnest(
                        from_json({literal(text)}, {literal(json.dumps([kinds]))}),
                        recursive := true
                    )
                )
            )
            """
        )
        self._insert(
            contract,
            f"""
            select {self._typed(contract)}, _extra, {entry.file_id} as _file_id
            from careful
            where verdict is null
            """,
        )
        entry.rejected += self._reject(
            f"""
            select {entry.file_id} as file_id, line, verdict, raw
            from careful
            where verdict is not null
            """,
            entry,
        )
        self._add_sums(entry, "careful where verdict is not null")

    def _add_sums(self, entry: Taken, rejected: str) -> None:
        """Count rejected records in a file's control sums; `rejected` follows FROM, as texts."""
        if entry.sums:
            sums = ", ".join(_sum_sql(name) for name in entry.sums)
            row = self.connection.execute(f"select {sums} from {rejected}").fetchone()
            entry.rejected_sums.update(dict(zip(entry.sums, row or (), strict=True)))

    def _reject(self, query: str, entry: Taken) -> int:
        row = self.connection.execute(
            f"""
            insert into quarantine.lines
            select
                file_id, {literal(entry.landed.path)}, {literal(entry.landed.log)}, line,
                split_part(verdict, ' ', 1), nullif(split_part(verdict, ' ', 2), ''), raw,
                {self.batch_id}, cast({literal(self.moment.isoformat())} as timestamp)
            from ({query})
            """
        ).fetchone()
        return int(row[0]) if row else 0

    def _columns(self, contract: LogContract) -> str:
        return ", ".join(quote(item.name) for item in contract.all_fields)

    def _typed(self, contract: LogContract) -> str:
        return ", ".join(
            f"{typed_sql(item, quote(item.name))} as {quote(item.name)}"
            for item in contract.all_fields
        )

    def _insert(self, contract: LogContract, query: str) -> None:
        insert_raw(self.connection, contract, self.batch_id, query)

    def _count_inserted(self, contract: LogContract, entries: list[Taken]) -> None:
        counts = self._rows_by_file(contract, min(entry.file_id for entry in entries))
        for entry in entries:
            entry.inserted = counts.get(entry.file_id, 0)

    def _rows_by_file(self, contract: LogContract, first: int) -> dict[int, int]:
        rows = self.connection.execute(
            f"select _file_id, count(*) from raw.{contract.table} where _file_id >= {first} "
            "group by _file_id"
        ).fetchall()
        return dict(rows)

    def _take_back(self, contract: LogContract, entry: Taken, reason: str, detail: str) -> None:
        """Quarantine whole a file that showed its fault only once it was loaded."""
        self.connection.execute(
            f"delete from raw.{contract.table} where _file_id = ?", [entry.file_id]
        )
        self.connection.execute("delete from quarantine.lines where file_id = ?", [entry.file_id])
        for key in [key for key in self.drift if key[2] == entry.file_id]:
            del self.drift[key]
        del self._drift_fields[entry.file_id]
        entry.reason, entry.detail = reason, detail
        entry.lines = entry.inserted = entry.rejected = 0

    def _recheck(self, entry: Taken) -> None:
        self._require_inside(entry.path, entry.landed)
        try:
            status = entry.path.stat()
            same = (status.st_size, status.st_mtime_ns) == (entry.scan.bytes, entry.scan.mtime_ns)
        except OSError:
            same = False
        if not same:
            raise TandemError(
                f"{entry.landed.path} changed while it was read: producers must write under a "
                "temporary name and rename. Nothing of this batch was kept; run again"
            )
        if entry.inserted + entry.rejected != entry.lines:
            raise TandemError(
                f"{entry.landed.path}: {entry.lines} lines read, but {entry.inserted} loaded and "
                f"{entry.rejected} rejected. Nothing of this batch was kept"
            )

    def write_ledger(self, fresh: list[Taken]) -> None:
        """The files' rows but for what only settling tells, drift, and whole-file quarantines."""
        for file_id in self._taken_again:
            self.connection.execute(f"delete from control.files where file_id = {file_id}")
            self.connection.execute(f"delete from quarantine.lines where file_id = {file_id}")
        rows = [
            [
                entry.file_id,
                entry.landed.log,
                entry.landed.path,
                entry.scan.sha256,
                entry.scan.bytes,
                entry.scan.mtime_ns,
                entry.landed.format,
                "loaded" if entry.reason is None else "quarantined",
                entry.reason,
                entry.lines,
                0,
                entry.rejected,
                0,
                self.batch_id,
                self.moment,
            ]
            for entry in fresh
        ]
        insert_rows(self.connection, "control.files", rows)
        insert_rows(
            self.connection,
            "quarantine.lines",
            [
                [
                    entry.file_id,
                    entry.landed.path,
                    entry.landed.log,
                    None,
                    entry.reason,
                    entry.detail,
                    None,
                    self.batch_id,
                    self.moment,
                ]
                for entry in fresh
                if entry.reason is not None
            ],
        )
        insert_rows(
            self.connection,
            "control.schema_drift",
            [
                [log, name, file_id, lines, self.moment]
                for (log, name, file_id), lines in sorted(self.drift.items())
            ],
        )
        insert_rows(
            self.connection,
            "control.headers",
            [
                [entry.file_id, json.dumps(entry.header, ensure_ascii=False)]
                for entry in fresh
                if entry.header and entry.rejected
            ],
        )

    def _accepted(self, fresh: list[Taken]) -> dict[int, int]:
        """File to rows in `raw`."""
        accepted: dict[int, int] = {}
        loaded = [entry for entry in fresh if entry.reason is None]
        if loaded:
            first = min(entry.file_id for entry in loaded)
            for log in {entry.landed.log for entry in loaded}:
                accepted |= self._rows_by_file(contracts()[log], first)
        return accepted

    def finish(self, fresh: list[Taken], taken: list[Taken], accepted: Mapping[int, int]) -> None:
        """Final counts, the check of the sums, the batch's row and the paths.

        `accepted` is file to rows that stayed.
        """
        self.connection.execute(
            "create or replace temp table final_counts "
            "(file_id bigint, accepted bigint, duplicates bigint)"
        )
        for entry in fresh:
            rows = accepted.get(entry.file_id, 0)
            self.reports.append(
                FileReport(
                    file_id=entry.file_id,
                    log=entry.landed.log,
                    path=entry.landed.path,
                    state="loaded" if entry.reason is None else "quarantined",
                    reason=entry.reason,
                    lines_read=entry.lines,
                    accepted=rows,
                    rejected=entry.rejected,
                    duplicates=entry.inserted - rows,
                )
            )
        insert_rows(
            self.connection,
            "final_counts",
            [[report.file_id, report.accepted, report.duplicates] for report in self.reports],
        )
        self.connection.execute(
            """
            update control.files as files
            set accepted = final_counts.accepted, duplicates = final_counts.duplicates
            from final_counts
            where files.file_id = final_counts.file_id
            """
        )
        check_sums(self.connection)
        if fresh:
            write_batch(self.connection, self.batch_id, self.moment, self.reports)
        # What was wrong with a path's earlier content is over once it has been taken again.
        mended = {entry.landed.path for entry in taken if entry.reason is None or entry.file_id}
        self.connection.execute("create or replace temp table mended (path varchar)")
        insert_rows(self.connection, "mended", [[path] for path in sorted(mended)])
        self.connection.execute(
            f"""
            delete from quarantine.lines
            where line is null and file_id is not null and batch_id < {self.batch_id}
                and path in (select path from mended)
            """
        )
        self._write_paths(taken)

    def _write_paths(self, taken: list[Taken]) -> None:
        rows = []
        for entry in taken:
            file, found = entry.landed, entry.scan
            rows.append(
                [file.path, file.log, found.bytes, found.mtime_ns, found.sha256, self.moment]
            )
            if file.control is not None:
                control = hashlib.sha256(f"{file.control}".encode()).hexdigest()
                rows.append(
                    [file.path + CONTROL_SUFFIX, file.log, *file.control, control, self.moment]
                )
        self.connection.execute("create or replace temp table taken_paths (path varchar)")
        insert_rows(self.connection, "taken_paths", [[row[0]] for row in rows])
        self.connection.execute(
            "delete from control.paths where path in (select path from taken_paths)"
        )
        insert_rows(self.connection, "control.paths", rows)


def _aside(connections: int) -> duckdb.DuckDBPyConnection:
    """A database of its own in memory, with room for so many connections at work."""
    return duckdb.connect(config={"threads": "1", "memory_limit": f"{256 * connections}MB"})


def _alike(entries: list[Taken]) -> list[list[Taken]]:
    """CSV and Parquet files in groups of one log and equal columns, which one query can read."""
    found: dict[tuple[str, readers.Columns], list[Taken]] = {}
    for entry in entries:
        found.setdefault((entry.landed.log, entry.columns), []).append(entry)
    return list(found.values())


def _file_id_sql(entries: list[Taken]) -> str:
    """The number of the file that `file_index` counts among the entries."""
    ids = [entry.file_id for entry in entries]
    if ids == list(range(ids[0], ids[0] + len(ids))):
        return f"cast(file_index as bigint) + {ids[0]}"
    return f"list_extract({ids}, cast(file_index + 1 as bigint))"


def _sum_sql(name: str, is_integer: bool = False) -> str:
    """The sum of a field over the records in which it is an integer of 64 bits."""
    value = quote(name)
    if not is_integer:
        text = f"cast({value} as varchar)"
        value = (
            f"case when regexp_full_match({text}, '-?[0-9]+') then try_cast({text} as bigint) end"
        )
    return f"coalesce(sum({value}), 0)"


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(10_000):
        yield from rows


def _read_control(path: Path, root: str) -> Any:
    """What a control file says. Raises OSError or ValueError for what it cannot be."""
    if not is_inside(path, root):
        raise ValueError
    with open_regular(path) as handle:
        text = handle.read(_CONTROL_BYTES + 1)
    if len(text) > _CONTROL_BYTES:
        raise ValueError
    return json.loads(text)


def insert_raw(
    connection: duckdb.DuckDBPyConnection, contract: LogContract, batch_id: int, query: str
) -> None:
    """Insert a query's contract columns, `_extra` and `_file_id` as rows of a batch."""
    names = [name for name in raw_columns(contract) if name not in ("_batch_id", "_state_sha256")]
    columns = ", ".join(quote(name) for name in names)
    target = columns + ", _batch_id"
    values = f"{columns}, {batch_id}"
    if contract.kind == "entity":
        target += ", _state_sha256"
        values += f", sha256({canonical_sql(contract)})"
    connection.execute(
        f"insert into raw.{contract.table} ({target}) select {values} from ({query})"
    )


def insert_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: list[list[Any]]) -> None:
    """Insert ledger rows: few, never records."""
    # Literals: a parameter makes DuckDB 1.5 import pandas, a second on a clean small load.
    for start in range(0, len(rows), 500):
        values = ", ".join(
            "(" + ", ".join(_literal(value) for value in row) + ")"
            for row in rows[start : start + 500]
        )
        connection.execute(f"insert into {table} values {values}")


def _literal(value: str | int | datetime | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ')}'"
    return literal(value)


def write_batch(
    connection: duckdb.DuckDBPyConnection,
    batch_id: int,
    started_at: datetime,
    reports: list[FileReport],
) -> None:
    """The batch's row in `control.batches`."""
    sums = [
        sum(getattr(report, name) for report in reports)
        for name in ("lines_read", "accepted", "rejected", "duplicates")
    ]
    finished_at = datetime.now(UTC).replace(tzinfo=None)
    row = [batch_id, started_at, finished_at, len(reports), *sums]
    insert_rows(connection, "control.batches", [row])


def check_sums(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise TandemError unless every file's lines are accepted, rejected or duplicate."""
    row = connection.execute(
        """
        select path
        from control.files
        where lines_read <> accepted + rejected + duplicates
            or least(lines_read, accepted, rejected, duplicates) < 0
        limit 1
        """
    ).fetchone()
    if row:
        raise TandemError(f"{row[0]}: its lines do not add up. Nothing of this batch was kept")


def _not_plain(found: Scan) -> Scan:
    return Scan(found.sha256, found.bytes, found.mtime_ns, found.lines, found.longest, plain=False)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record.raw)
        if len(chunk) >= _CHUNK_RECORDS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
