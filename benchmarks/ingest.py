"""Ingest against a bare typed read of the same files, and dirty files against clean ones.

    python -m benchmarks.ingest --events 5000000

The promise: clean `.jsonl.zst` takes at most 1.5 times the wall time of a bare `create table as
select * from read_json(...)`, and a dirty line makes its batch at most 2 times as slow. Each is
run `--rounds` times in turn, in a process of its own; the medians count.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import orjson
import zstandard

from orchestration.contracts import contracts
from orchestration.ingest import ingest
from orchestration.settings import Settings
from orchestration.warehouse import duckdb_config

LOG = "community/events"
_LINES = 1 << 14


def make(folder: Path, events: int, files: int, seed: int = 1) -> None:
    """Write `events` clean records as `files` files of `.jsonl.zst`, most with ten fields."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number in range(files):
        count = events // files + (number < events % files)
        with (
            (folder / f"events-{number:03}.jsonl.zst").open("wb") as handle,
            zstandard.ZstdCompressor().stream_writer(handle) as writer,
        ):
            for chunk in _lines(rng, count, number):
                writer.write(chunk)


def _lines(rng: random.Random, count: int, number: int) -> Iterator[bytes]:
    contract = contracts()[LOG]
    types = contract.field("event_type").enum or ()
    platforms = contract.field("platform").enum or ()
    start = datetime(2025, 1, 1, tzinfo=UTC)
    held: list[bytes] = []
    for index in range(count):
        moment = start + timedelta(seconds=rng.randrange(30_000_000), milliseconds=index % 1000)
        kind = types[int(rng.random() ** 2 * len(types))]
        record: dict[str, object] = {
            "source": "app" if index % 3 else "zhihu",
            "event_id": f"{number:03}-{index:08}",
            "account_id": f"u{int(rng.paretovariate(1.1)) % 500_000}",
            "event_type": kind,
            "occurred_at": moment.isoformat(timespec="milliseconds"),
            "content_id": f"c{rng.randrange(50_000)}",
            "node_id": f"n{rng.randrange(300)}",
            "platform": platforms[index % len(platforms)],
            "received_at": (moment + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if kind in ("read", "click"):
            record |= {"dwell_ms": rng.randrange(90_000), "impression_id": f"i{index}"}
        if kind == "search":
            record["query"] = f"怎么学 Python {rng.randrange(5000)}"
        if index % 5 == 0:
            record |= {
                "properties": {"ab": "x", "slot": index % 10},
                "device_id": f"d{index % 9973:x}",
            }
        held.append(orjson.dumps(record))
        if len(held) == _LINES:
            yield b"\n".join(held) + b"\n"
            held.clear()
    if held:
        yield b"\n".join(held) + b"\n"


def soil(folder: Path, every_file: bool) -> None:
    """Spoil one line of the first file, or of each."""
    for path in sorted(folder.iterdir()):
        data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).readall()
        middle = data.index(b"\n", len(data) // 2) + 1
        end = data.index(b"\n", middle)
        spoilt = data[middle:end].replace(b'"event_type":"', b'"event_type":"x')
        path.write_bytes(zstandard.compress(data[:middle] + spoilt + data[end:]))
        if not every_file:
            return


def bare(home: Path, landing: Path) -> float:
    """Seconds of the plain typed read into a new database file."""
    columns = ", ".join(
        f"'{field.name}': '{field.duckdb_type}'" for field in contracts()[LOG].all_fields
    )
    settings = Settings(home=home)
    home.mkdir(parents=True)
    with duckdb.connect(str(home / "bare.duckdb"), config=dict(duckdb_config(settings))) as one:
        start = time.perf_counter()
        one.execute(
            f"create table events as select * from read_json('{landing / LOG}/*.jsonl.zst', "
            f"format = 'newline_delimited', columns = {{{columns}}})"
        )
        return time.perf_counter() - start


def load(home: Path, landing: Path) -> float:
    """Seconds of an ingest into a new warehouse."""
    settings = Settings(home=home, landing=landing)
    start = time.perf_counter()
    report = ingest(settings)
    seconds = time.perf_counter() - start
    if not report.totals[LOG].accepted:
        raise AssertionError("nothing was accepted")
    return seconds


def _apart(kind: str, landing: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.ingest", "--one", kind, "--landing", str(landing)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output)


def main() -> None:
    """Make the files, run each kind in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=["bare", "load"], help=argparse.SUPPRESS)
    parser.add_argument("--landing", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.one:
            run = bare if arguments.one == "bare" else load
            print(run(folder / "home", arguments.landing))
            return
        make(folder / "clean" / LOG, arguments.events, arguments.files)
        for kind in ("one", "each"):
            shutil.copytree(folder / "clean", folder / kind)
            soil(folder / kind / LOG, every_file=kind == "each")
        runs = {
            "bare": ("bare", "clean"),
            "clean": ("load", "clean"),
            "one dirty line": ("load", "one"),
            "a dirty line a file": ("load", "each"),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in runs}
        for _ in range(arguments.rounds):
            for label, (kind, landing) in runs.items():
                seconds[label].append(_apart(kind, folder / landing))
    medians = {label: statistics.median(found) for label, found in seconds.items()}
    for label, median in medians.items():
        print(f"{label:20} {median:7.2f} s   {' '.join(f'{one:.2f}' for one in seconds[label])}")
    print(f"clean / bare                {medians['clean'] / medians['bare']:.2f}  (bar: 1.5)")
    for label in ("one dirty line", "a dirty line a file"):
        print(f"{label + ' / clean':27} {medians[label] / medians['clean']:.2f}  (bar: 2)")


if __name__ == "__main__":
    main()
