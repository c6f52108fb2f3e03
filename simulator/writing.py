"""Landing files: formats, arrival, dirt, control totals, and the ledger of what was written.

Rows are queued with the time they arrive and written once no earlier one can come, so that
memory holds some weeks of a log and never all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.contracts import LogContract, contracts
from simulator.columns import Ints, earlier_first
from simulator.config import REJECT_REASONS, SimulatorConfig
from simulator.rhythm import DAY, HOUR, SECOND, Calendar

# Days of a log that one file holds, and its format; logs not named here get one file a source.
_CHUNK_DAYS: Final = {
    "community/events": 7,
    "community/contents": 28,
    "community/accounts": 28,
    "group/messages": 14,
    "group/deliveries": 28,
    "group/memberships": 28,
    "group/consults": 28,
    "group/attendance": 28,
    "operations/exposures": 28,
    "operations/campaign_events": 28,
    "operations/assistant_requests": 28,
    "commerce/orders": 28,
}
_FORMATS: Final = {
    "community/accounts": "jsonl.gz",
    "community/nodes": "jsonl",
    "group/groups": "jsonl.gz",
    "group/members": "parquet",
    "group/memberships": "csv.gz",
    "group/deliveries": "parquet",
    "group/attendance": "csv.zst",
    "group/scenes": "csv.zst",
    "operations/experiments": "jsonl",
    "operations/exposures": "parquet",
    "operations/campaigns": "csv",
    "operations/spend": "csv",
    "operations/assistant_requests": "parquet",
    "commerce/orders": "csv.gz",
    "commerce/refunds": "csv.gz",
    "commerce/subscriptions": "parquet",
    "commerce/share_policies": "jsonl",
    "commerce/fx_rates": "csv",
    "commerce/identity_links": "csv.zst",
}
_DEFAULT_FORMAT: Final = "jsonl.zst"
_OTHER_FORMATS: Final = {("group/messages", "telegram"): "csv.zst"}
# Two sources write local times with their offset, the others UTC.
_LOCAL_TIME_SOURCES: Final = {"agora", "telegram"}
_RECEIVED_LOGS: Final = {
    "community/events",
    "community/accounts",
    "group/messages",
    "group/deliveries",
    "operations/exposures",
    "commerce/orders",
}
_COMPRESSION: Final = {"gz": "gzip", "zst": "zstd"}
_PENDING_WRITES: Final = 3
_MAX_EXAMPLE_TRIES: Final = 8


@dataclass
class FileTruth:
    """One file: lines = records + duplicates + Σ rejected. `path` is relative to the landing."""

    path: str
    log: str
    lines: int
    records: int
    duplicates: int
    rejected: Counter[str] = field(default_factory=Counter)
    bytes: int = 0


class Landing:
    """Writes every log's files. Use as a context manager; files are complete after it."""

    def __init__(self, root: Path, config: SimulatorConfig, calendar: Calendar) -> None:
        self.files: list[FileTruth] = []
        self._root = root
        self._config = config
        self._calendar = calendar
        self._pending: dict[tuple[str, str], list[pa.Table]] = defaultdict(list)
        self._additions: Counter[tuple[str, str]] = Counter()
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute("set timezone = 'UTC'")
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._writes: list[Future[FileTruth]] = []

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._connection.close()

    def add(self, log: str, source: str, **columns: Any) -> None:
        """Queue rows of a log; a column is an arrow array or one text for all rows."""
        arrays = {name: value for name, value in columns.items() if not isinstance(value, str)}
        rows = len(next(iter(arrays.values())))
        if rows == 0:
            return
        contract = contracts()[log]
        table = pa.table(
            {"source": pa.repeat(source, rows)}
            | {
                name: pa.repeat(value, rows) if isinstance(value, str) else value
                for name, value in columns.items()
            }
        )
        happened = table[contract.time].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
        self._additions[log, source] += 1
        rng = self._config.rng("arrival", log, source, self._additions[log, source])
        arrived = happened + rng.integers(200, 5000, rows) * 1000
        if contract.kind == "event":
            late = rng.random(rows) < self._config.dirt.late
            arrived += np.where(late, rng.integers(6 * HOUR, 4 * DAY, rows) // 1000 * 1000, 0)
        table = table.append_column("received_at", pa.array(arrived, pa.timestamp("us")))
        self._pending[log, source].append(table)

    def day_done(self, day: int) -> None:
        """Write the chunks that end with this day; call after each day, in order."""
        daily = self._config.daily_files
        chunks = dict.fromkeys(contracts(), 1) if daily else _CHUNK_DAYS
        for log, days in chunks.items():
            if (day + 1) % days == 0 and day + 1 < self._calendar.days:
                for key in [key for key in self._pending if key[0] == log]:
                    self._write(key, self._calendar.midnight(day + 1), self._calendar.dates[day])

    def finish(self) -> None:
        """Write all that is left and wait for the files."""
        for key in sorted(self._pending):
            self._write(key, None, self._calendar.dates[-1])
        self._wait(0)

    def _write(self, key: tuple[str, str], until: int | None, label: object) -> None:
        table = pa.concat_tables(self._pending.pop(key), promote_options="default")
        arrived = table["received_at"].cast(pa.int64()).to_numpy()
        order = earlier_first(arrived)
        if until is not None:
            count = int(np.searchsorted(arrived[order], until))
            if count < len(order):
                self._pending[key].append(table.take(order[count:]))
            order = order[:count]
        if not len(order):
            return
        log, source = key
        extension = _OTHER_FORMATS.get(key, _FORMATS.get(log, _DEFAULT_FORMAT))
        path = f"{log}/{source}/{label}.{extension}"
        self._wait(_PENDING_WRITES)
        self._writes.append(self._pool.submit(self._write_file, log, source, path, table, order))

    def _wait(self, left: int) -> None:
        while len(self._writes) > left:
            self.files.append(self._writes.pop(0).result())

    def _write_file(
        self, log: str, source: str, path: str, table: pa.Table, order: Ints
    ) -> FileTruth:
        contract = contracts()[log]
        rng = self._config.rng("dirt", path)
        table = _ordered(table.take(order), contract)
        records = len(table)
        table, duplicates = _with_duplicates(table, contract, self._config.dirt.duplicates, rng)
        truth = FileTruth(path, log, len(table), records, duplicates)
        kind, _, compression = path.split("/")[-1].split(".", 1)[1].partition(".")
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        self._connection.register("chunk", table)
        columns = _projection(table.schema, contract, kind, source)
        if kind == "jsonl" and any(getattr(self._config.dirt, why) for why in REJECT_REASONS):
            lines = self._dirty_lines(columns, contract, truth, rng)
            self._connection.register("chunk", lines)
            columns = ["line"]
        self._connection.execute(
            f"copy (select {', '.join(columns)} from chunk) to '{_quoted(temporary)}' "
            f"({_copy_options(kind, compression, columns)})"
        )
        self._connection.unregister("chunk")
        truth.bytes = temporary.stat().st_size
        temporary.replace(target)
        if rng.random() < 0.25:
            _write_control(target, truth, table, contract)
        return truth

    def _dirty_lines(
        self, columns: list[str], contract: LogContract, truth: FileTruth, rng: np.random.Generator
    ) -> pa.Table:
        """The chunk as JSON text, broken copies of some lines inserted behind them."""
        rows = self._connection.execute(
            f"select cast(to_json(r) as varchar) as line from (select {', '.join(columns)} "
            "from chunk) as r"
        ).to_arrow_table()["line"]
        lines: list[str] = rows.to_pylist()
        broken: dict[int, list[str]] = defaultdict(list)
        for reason in REJECT_REASONS:
            share = getattr(self._config.dirt, reason)
            for _ in range(int(rng.binomial(len(lines), share))):
                for _ in range(_MAX_EXAMPLE_TRIES):
                    position = int(rng.integers(len(lines)))
                    text = BREAKERS[reason](lines[position], contract)
                    if text is not None:
                        broken[position].append(text)
                        truth.rejected[reason] += 1
                        truth.lines += 1
                        break
        result: list[str] = []
        for position, line in enumerate(lines):
            result.append(line)
            result.extend(broken.get(position, ()))
        return pa.table({"line": result})


def _ordered(table: pa.Table, contract: LogContract) -> pa.Table:
    """Columns in the contract's order, columns of nulls left out."""
    names = [item.name for item in contract.all_fields if item.name in table.column_names]
    extras = [name for name in table.column_names if name not in names]
    if contract.log not in _RECEIVED_LOGS:
        names.remove("received_at")
    return table.select(
        [name for name in names + extras if table[name].null_count < table.num_rows]
    )


def _with_duplicates(
    table: pa.Table, contract: LogContract, share: float, rng: np.random.Generator
) -> tuple[pa.Table, int]:
    """Some rows again at the end, every other one as received later where that is written."""
    count = int(rng.binomial(len(table), share)) if share else 0
    if count == 0:
        return table, 0
    again = table.take(np.sort(rng.integers(0, len(table), count)))
    if "received_at" in table.column_names and contract.kind == "event":
        received = again["received_at"].cast(pa.int64()).to_numpy()
        received = received + np.where(np.arange(count) % 2, 30 * SECOND, 0)
        place = again.column_names.index("received_at")
        again = again.set_column(place, "received_at", pa.array(received, pa.timestamp("us")))
    return pa.concat_tables([table, again]), count


def _projection(schema: pa.Schema, contract: LogContract, kind: str, source: str) -> list[str]:
    """SQL expressions that turn typed columns into what the format holds."""
    types = {item.name: item.type for item in contract.all_fields}
    expressions = []
    for column in schema:
        name, text = f'"{column.name}"', None
        if pa.types.is_timestamp(column.type):
            if kind == "parquet":
                text = f"{name} at time zone 'UTC'"
            elif source in _LOCAL_TIME_SOURCES:
                text = f"strftime({name} + interval 8 hour, '%Y-%m-%dT%H:%M:%S.%g+08:00')"
            else:
                text = f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%gZ')"
        elif kind == "jsonl" and types.get(column.name) == "object":
            text = f"cast({name} as json)"
        elif kind == "csv" and pa.types.is_list(column.type):
            text = f"cast(to_json({name}) as varchar)"
        expressions.append(f"{text} as {name}" if text else name)
    return expressions


def _copy_options(kind: str, compression: str, columns: list[str]) -> str:
    if kind == "parquet":
        return "format parquet, compression zstd"
    packed = f", compression {_COMPRESSION.get(compression, 'none')}"
    if columns == ["line"]:
        # Lines are complete JSON text: a delimiter that cannot occur keeps them as they are.
        return "format csv, header false, quote '', escape '', delimiter E'\\x01'" + packed
    return ("format csv, header true" if kind == "csv" else "format json") + packed


def _write_control(target: Path, truth: FileTruth, table: pa.Table, contract: LogContract) -> None:
    control: dict[str, Any] = {
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "lines": truth.lines,
    }
    integers = {item.name for item in contract.fields if item.type == "integer"}
    sums = {
        name: pc.sum(table[name]).as_py()
        for name in table.column_names
        if name in integers and not truth.rejected
    }
    if sums:
        control["sums"] = sums
    path = target.with_name(f"{target.name}.control.json")
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(control), encoding="utf-8")
    temporary.replace(path)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _changed(line: str, **values: Any) -> str:
    return json.dumps(json.loads(line) | values, ensure_ascii=False, separators=(",", ":"))


def _malformed(line: str, _: LogContract) -> str | None:
    return line[: len(line) * 2 // 3]


def _missing_required(line: str, contract: LogContract) -> str | None:
    return _changed(line, **{contract.key: None})


def _bad_type(line: str, contract: LogContract) -> str | None:
    record = json.loads(line)
    for item in contract.fields:
        if item.type == "integer" and record.get(item.name) is not None:
            return _changed(line, **{item.name: "12.5"})
        if item.type == "boolean" and record.get(item.name) is not None:
            return _changed(line, **{item.name: "yes"})
    if contract.field(contract.time).type == "date":
        return _changed(line, **{contract.time: "2026-02-30"})
    return _changed(line, **{contract.time: "2026-02-03T04:05:06.1234567Z"})


def _bad_enum(line: str, contract: LogContract) -> str | None:
    for item in contract.fields:
        if item.type == "enum" and item.required:
            return _changed(line, **{item.name: "banana"})
    return None


def _naive_timestamp(line: str, contract: LogContract) -> str | None:
    if contract.field(contract.time).type == "date":
        return None
    return _changed(line, **{contract.time: "2026-02-03T04:05:06"})


def _out_of_range(line: str, contract: LogContract) -> str | None:
    if contract.field(contract.time).type == "date":
        return None
    moment = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC).isoformat()
    return _changed(line, **{contract.time: moment})


BREAKERS: Final[dict[str, Callable[[str, LogContract], str | None]]] = {
    "malformed": _malformed,
    "missing_required": _missing_required,
    "bad_type": _bad_type,
    "bad_enum": _bad_enum,
    "naive_timestamp": _naive_timestamp,
    "out_of_range": _out_of_range,
}
"""Reason → what makes a line fail for it alone; None where the log offers no way."""
