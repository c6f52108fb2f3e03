"""The newest landing files of a log: taken apart into records, spoilt, and ingested again."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.faults.fault import Delivery, Finding, Landed, Record, Written
from orchestration.contracts import contracts
from orchestration.ingest.load import ingest
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

FILE_OFFSET, BATCH_OFFSET = 100_000, 1_000
LARGE = 60_000
CONTROL, DRIFT = ".control.json", "ingest: drift"


@dataclass(frozen=True)
class Arrived:
    """A warehouse with one log and its delivery; `content` is equal where the same arrived."""

    path: Path
    reports: dict[str, int]
    content: object


class Deliveries:
    """Each log's history is ingested once; a delivery is ingested on top of a copy of it."""

    def __init__(self, folder: Path, landing: Path, key: str) -> None:
        self._folder, self._landing, self._key = folder, landing, key
        self._clean: dict[str, Arrived] = {}
        self._files: dict[str, dict[str, list[Record]]] = {}

    def arrive(
        self, injection: Landed | Written | None, log: str, rate: float, seed: str
    ) -> Arrived:
        """Ingest the log's delivery as the injection leaves it; None leaves it as it is."""
        if injection is not None:
            self.clean(log)
        history = self._history(log)
        work = self._folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        settings = self._settings(work)
        folder = settings.landing_path / log
        folder.mkdir(parents=True)
        shutil.copyfile(history, settings.warehouse_path)
        files = {
            name: [dict(record) for record in records]
            for name, records in self._delivered(log).items()
        }
        delivery = Delivery(files, rate, random.Random(seed), folder)
        if isinstance(injection, Landed):
            injection.change(delivery)
        for name, records in delivery.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
                encoding="utf-8",
            )
        if isinstance(injection, Written):
            injection.change(delivery)
        drift = ingest(settings).drift
        with open_warehouse(settings, read_only=True) as connection:
            reports = _reports(connection)
            content = _content(connection, f"raw.{contracts()[log].table}")
        reports |= {f"{DRIFT} {field}": lines for (_, field), lines in drift.items()}
        return Arrived(settings.warehouse_path, reports, content)

    def clean(self, log: str) -> Arrived:
        """The delivery as it is."""
        if log not in self._clean:
            self._clean[log] = self.arrive(None, log, 0.0, "clean")
        return self._clean[log]

    def findings(self, arrived: Arrived, log: str) -> list[Finding]:
        """What ingestion reports beyond what it reports of the delivery as it is."""
        clean = self.clean(log).reports
        return [
            Finding("raw", name, "reported")
            for name, count in arrived.reports.items()
            if count > clean.get(name, 0) and not (name in clean and name.startswith(DRIFT))
        ]

    def _settings(self, home: Path) -> Settings:
        return Settings.model_validate({"home": home, "key": self._key, "threads": 2})

    def _split(self, log: str) -> tuple[list[Path], list[Path]]:
        """The files that came before, and the delivery: the last one or two of each source."""
        old: list[Path] = []
        new: list[Path] = []
        for source in sorted((self._landing / log).iterdir()):
            files = sorted(path for path in source.iterdir() if not path.name.endswith(CONTROL))
            cut = _cut(files)
            old, new = old + files[:cut], new + files[cut:]
        return old, new

    def _history(self, log: str) -> Path:
        home = self._folder / "history" / log.replace("/", "__")
        settings = self._settings(home)
        if not settings.warehouse_path.exists():
            for path in self._split(log)[0]:
                target = settings.landing_path / path.relative_to(self._landing)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
            (settings.landing_path / log).mkdir(parents=True, exist_ok=True)
            ingest(settings)
        return settings.warehouse_path

    def _delivered(self, log: str) -> dict[str, list[Record]]:
        if log not in self._files:
            nested = {field.name for field in contracts()[log].all_fields if field.type in _NESTED}
            self._files[log] = {
                f"{path.parent.name}/{path.name.split('.')[0]}.jsonl": _read(path, nested)
                for path in self._split(log)[1]
            }
        return self._files[log]


_NESTED = ("list", "object")


def move_in(connection: duckdb.DuckDBPyConnection, log: str) -> None:
    """Put what the attached database `arrived` holds of a log in the place of what is there."""
    table = f"raw.{contracts()[log].table}"
    files, batches = f"_file_id + {FILE_OFFSET}", f"_batch_id + {BATCH_OFFSET}"
    connection.execute(f"delete from {table}")
    connection.execute(
        f"insert into {table} select * replace ({files} as _file_id, {batches} as _batch_id)"
        f" from arrived.{table}"
    )
    file_id = f"file_id + {FILE_OFFSET} as file_id"
    batch_id = f"batch_id + {BATCH_OFFSET} as batch_id"
    for name, columns in {
        "control.files": f"{file_id}, {batch_id}",
        "control.schema_drift": file_id,
        "control.paths": "path as path",
        "control.replaced": batch_id,
        "quarantine.lines": f"{file_id}, {batch_id}",
    }.items():
        connection.execute(f"delete from {name} where log = '{log}'")
        connection.execute(f"insert into {name} select * replace ({columns}) from arrived.{name}")
    connection.execute(
        "insert into control.batches"
        f" select * replace (batch_id + {BATCH_OFFSET} as batch_id) from arrived.control.batches"
    )


def _content(connection: duckdb.DuckDBPyConnection, table: str) -> object:
    rows = connection.execute(
        f"""
        select count(*), sum(cast(hash(found_) as hugeint))
        from (select * exclude (_file_id, _batch_id) from {table}) as found_
        """
    ).fetchone()
    paths = "select path, sha256 from control.paths order by all"
    return rows, connection.execute(paths).fetchall()


def _reports(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """What the ledger and the quarantine name, with its number of lines or files."""
    return {
        name: int(count)
        for name, count in connection.execute(
            """
            select 'ingest: ' || reason || coalesce(' ' || field, '') as name, count(*) as n
            from quarantine.lines group by name
            union all
            select 'ingest: file quarantined' as name, count(*) as n
            from control.files where state = 'quarantined'
            """
        ).fetchall()
    }


def _read(path: Path, nested: set[str]) -> list[Record]:
    """The records of one file of the simulator, in any of its formats."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [_plain(row, nested) for row in rows]
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            text = stream.read().decode()
    elif path.suffix == ".gz":
        text = gzip.decompress(path.read_bytes()).decode()
    else:
        text = path.read_bytes().decode()
    if ".csv" in path.name:
        return [
            _plain(row, nested) for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
        ]
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _cut(files: list[Path]) -> int:
    """How many files came before: a large last file is a delivery, of small ones it takes two."""
    if len(files) <= 2:
        # A log with one file a source has no history: all of it is the delivery.
        return 0
    return len(files) - (1 if files[-1].stat().st_size > LARGE else 2)


def _plain(row: Record, nested: set[str]) -> Record:
    """A record as JSON has it: no nulls, times as text, lists and objects unpacked."""
    record: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        if isinstance(value, (datetime.datetime, datetime.date)):
            value = value.isoformat()
        elif name in nested and isinstance(value, str):
            value = json.loads(value)
        record[name] = value
    return record
