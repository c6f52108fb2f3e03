"""Measuring one process, and keeping what was measured as JSON lines.

Every measured thing is a process of its own: its wall time, the CPU time of it and all its
children, the peak resident memory of the whole tree, and what came of it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS = 0.05
_OUTPUT_TAIL = 3000


class BenchmarkError(Exception):
    """A measured process failed, or a rival's result is not the right one."""


@dataclass(frozen=True)
class Measurement:
    """One process: seconds of wall and CPU time (user and system, children too), peak bytes.

    `foreign_share` is the part of the machine's cores that others used meanwhile: above some
    percent, the wall time says little.
    """

    wall: float
    cpu: float
    peak_bytes: int
    foreign_share: float
    output: str


@dataclass(frozen=True)
class Record:
    """One measurement as it is kept; `part`, `subject`, `size` and `round` are its key.

    `events` are the lines in the landing zone, `values` further figures by name.
    """

    part: str
    subject: str
    size: str
    round: int
    events: int
    wall: float
    cpu: float
    peak_bytes: int
    disk_bytes: int = 0
    foreign_share: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is measured once in a folder of results."""
        return self.part, self.subject, self.size, self.round


class Results:
    """A folder of results: `records.jsonl`, one record a line, and what runs leave behind.

    A record that is there is not measured again, so a run that was stopped goes on where it was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._path = self.folder / "records.jsonl"

    def all(self) -> list[Record]:
        """Every record, in the order of measurement."""
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [Record(**json.loads(line)) for line in lines if line.endswith("}")]

    def has(self, part: str, subject: str, size: str, number: int) -> bool:
        """Whether this was measured."""
        return any(record.key == (part, subject, size, number) for record in self.all())

    def add(self, record: Record) -> None:
        """Append a record, with the machine's facts and the time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        body = asdict(record) | {"machine": machine(), "at": now}
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(body) + "\n")
        print(
            f"{record.part:<12} {record.subject:<26} {record.size:<12} round {record.round}  "
            f"{record.wall:8.2f} s wall  {record.cpu:8.2f} s cpu  "
            f"{record.peak_bytes / 1e6:7.0f} MB",
            flush=True,
        )

    def scratch(self, name: str) -> Path:
        """A folder for what a run needs; it may be there already."""
        path = self.folder / "scratch" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def measure(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Measurement:
    """Run a command and measure it. Raises BenchmarkError with its last words when it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # Byte code is kept as it is for a user: a first start writes it, the others read it.
        given = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        busy, started = _busy_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**given, **(environment or {})},
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        watcher = _MemoryWatcher(process.pid)
        watcher.start()
        # wait4 gives what this one child used, with its own children that it waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        watcher.stop()
        cpu = usage.ru_utime + usage.ru_stime
        others = _busy_seconds() - busy - cpu
        out.seek(0)
        err.seek(0)
        output = out.read().decode("utf-8", "replace")
        if process.returncode:
            words = err.read().decode("utf-8", "replace")[-_OUTPUT_TAIL:]
            name = " ".join(str(part) for part in command)
            raise BenchmarkError(f"{name} ended with {process.returncode}: {words}{output[-500:]}")
    return Measurement(
        wall=wall,
        cpu=cpu,
        peak_bytes=max(watcher.peak, usage.ru_maxrss * 1024),
        foreign_share=max(0.0, others / wall / (os.cpu_count() or 1)),
        output=output,
    )


class _MemoryWatcher(threading.Thread):
    """Samples the resident memory of a process and its descendants; shared pages count twice."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(self._resident()))

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _resident(self) -> Iterator[int]:
        try:
            root = psutil.Process(self._pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in tree:
            try:
                yield process.memory_info().rss
            except psutil.Error:
                continue


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)


@cache
def machine() -> dict[str, Any]:
    """What the figures depend on, without a name of the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "duckdb": metadata.version("duckdb"),
        "dbt": metadata.version("dbt-core"),
        "dagster": metadata.version("dagster"),
        "commit": _commit(),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip()


def disk_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder that are reached by one name only once."""
    if path.is_file():
        return path.stat().st_size
    seen: dict[tuple[int, int], int] = {}
    for item in path.rglob("*"):
        if item.is_file() and not item.is_symlink():
            stat = item.stat()
            seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())


@dataclass(frozen=True)
class Subject:
    """One of the things compared: its part and name, and what measures it once, by round."""

    part: str
    name: str
    run: Callable[[int], Record]


def interleave(results: Results, size: str, rounds: int, subjects: Sequence[Subject]) -> None:
    """Measure the subjects in turn, round by round, so that drift hits all of them alike."""
    for number in range(1, rounds + 1):
        for subject in subjects:
            if not results.has(subject.part, subject.name, size, number):
                results.add(subject.run(number))
