"""The landing zones that are measured: simulated platforms by the number of events.

Groups, orders and everything else grow with the persons. A landing zone is made once and kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import LogContract, contracts
from orchestration.warehouse import literal

DAYS = 90
END_DATE = date(2026, 6, 30)
# Lines that a person writes in a day, over all logs, measured at 5 M lines.
_LINES_A_PERSON_DAY = 2.1
# What is dropped of the days before a shorter history: the logs that grow with the days.
FLOWS = (
    "community/events",
    "group/messages",
    "group/deliveries",
    "group/consults",
    "group/attendance",
    "operations/exposures",
    "operations/campaign_events",
    "operations/assistant_requests",
)
_UNITS = {"k": 1_000, "M": 1_000_000}


@dataclass(frozen=True)
class Platform:
    """A landing zone, its lines in all files and their bytes on disk."""

    landing: Path
    lines: int
    bytes: int


def events_of(size: str) -> int:
    """How many events `1M`, `300k` or `5000` are. Raises ValueError for anything else."""
    unit = _UNITS.get(size[-1:], 1)
    return int(float(size[:-1] if unit > 1 else size) * unit)


def persons_for(events: int, days: int) -> int:
    """The persons that write about so many lines in so many days."""
    return max(100, round(events / days / _LINES_A_PERSON_DAY))


def simulation_command(landing: Path, persons: int, days: int) -> list[str]:
    """The arguments of `python` that simulate a landing zone."""
    return [
        *("-m", "benchmarks.workers", "simulate"),
        *("--landing", str(landing), "--persons", str(persons), "--days", str(days)),
    ]


def existing(landing: Path) -> Platform | None:
    """The simulated platform in this folder; None where none was finished."""
    marker = landing / "_simulated.json"
    if not marker.exists():
        return None
    report: dict[str, Any] | None = json.loads(marker.read_text(encoding="utf-8"))["report"]
    return Platform(landing, report["lines"], report["bytes"]) if report else None


def split(landing: Path, target: Path, bounds: Sequence[date]) -> None:
    """Cut every file at local dates of arrival, into `target/<piece>/<log>/…`.

    Piece 0 holds what arrived before the first of `bounds`, which are in order; the last piece
    what arrived on its last date or later. A record arrives at `received_at`, or when it says
    that it happened. A file that lies within one piece is linked, not copied. Leaves a
    `target` that is there as it is.
    """
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("set timezone = 'Asia/Shanghai'")
        for log, contract in contracts().items():
            for path in sorted((landing / log).rglob("*")):
                if path.is_file() and not path.name.endswith(".control.json"):
                    place = path.relative_to(landing)
                    _split_file(connection, contract, path, unfinished, place, bounds)
    unfinished.mkdir(parents=True, exist_ok=True)
    unfinished.rename(target)


def link(pieces: Sequence[Path], landing: Path, logs: Sequence[str] | None = None) -> int:
    """Let pieces arrive in a landing zone, or only some logs of them; how many files came."""
    files = 0
    for piece in pieces:
        for path in sorted(piece.rglob("*")):
            log = "/".join(path.relative_to(piece).parts[:2])
            if not path.is_file() or (logs is not None and log not in logs):
                continue
            goal = landing / path.relative_to(piece)
            goal = goal.with_name(f"{piece.name}-{goal.name}")
            goal.parent.mkdir(parents=True, exist_ok=True)
            if not goal.exists():
                os.link(path, goal)
                files += 1
    return files


def last_days(days: int, end_date: date = END_DATE) -> list[date]:
    """The dates from the second of the last `days` dates on: bounds of one piece a date."""
    return [end_date - timedelta(days=days - 1 - number) for number in range(1, days)]


def _split_file(
    connection: duckdb.DuckDBPyConnection,
    contract: LogContract,
    path: Path,
    target: Path,
    place: Path,
    bounds: Sequence[date],
) -> None:
    kind, _, packing = path.name.split(".", 1)[1].partition(".")
    compression = {"gz": "gzip", "zst": "zstd", "": "none"}[packing]
    source, options = _as_rows(path, kind, compression)
    cuts = "[" + ", ".join(f"date '{bound}'" for bound in bounds) + "]"
    connection.execute(f"create or replace temp table chunk as select * from {source}")
    columns = [row[0] for row in connection.execute("describe chunk").fetchall()]

    def value(name: str) -> str:
        if kind == "jsonl":
            return f"json_extract_string(line, '$.{name}')"
        return f"cast({name} as varchar)" if name in columns else "cast(null as varchar)"

    moment = f"coalesce({value('received_at')}, {value(contract.time)})"
    day = f"cast(cast({moment} as timestamptz) as date)"
    connection.execute(
        f"create or replace temp table pieces as select *, "
        f"len(list_filter({cuts}, lambda cut: cut <= {day})) as piece from chunk"
    )
    found = connection.execute("select distinct piece from pieces order by piece").fetchall()
    for (piece,) in found:
        goal = target / f"{piece:04}" / place
        goal.parent.mkdir(parents=True, exist_ok=True)
        if len(found) == 1:
            os.link(path, goal)
            return
        connection.execute(
            f"copy (select * exclude (piece) from pieces where piece = {piece}) "
            f"to {literal(goal)} ({options})"
        )


def _as_rows(path: Path, kind: str, compression: str) -> tuple[str, str]:
    """What reads a file's records without changing them, and what writes them again."""
    name = literal(path)
    if kind == "parquet":
        return f"read_parquet({name})", "format parquet, compression zstd"
    if kind == "csv":
        return (
            f"read_csv({name}, header = true, all_varchar = true, delim = ',', quote = '\"')",
            f"format csv, header true, compression {compression}",
        )
    # One column that no delimiter splits: lines stay byte for byte what they were.
    lines = "delim = '\\x01', quote = '', escape = '', auto_detect = false"
    return (
        f"read_csv({name}, header = false, columns = {{'line': 'varchar'}}, {lines}, "
        f"compression = '{compression}', max_line_size = 16777216)",
        "format csv, header false, quote '', escape '', delimiter E'\\x01', "
        f"compression {compression}",
    )
