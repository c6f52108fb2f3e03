"""One input, judged: ended in time, in memory, with a declared error or none, leaving nothing."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.fuzz.strategies import CANARY, Files
from orchestration.errors import TandemError

SECONDS = 20.0
"""No input of a fuzz run may take more of the processor; they are smaller than a megabyte."""
WALL_SECONDS = 300.0
"""And none may sit waiting for longer, on however busy a machine."""
MEGABYTES = 600
"""No input may make the process grow by more, DuckDB's own buffers included."""
ERROR_CHARACTERS = 4000


class FindingError(AssertionError):
    """What a reader must not do; its text says what it did."""


class _TooLongError(BaseException):
    pass


@dataclass(frozen=True)
class Outcome:
    """How one input ended: `accepted` is False when a declared error refused it.

    `seconds` are of CPU.
    """

    accepted: bool
    seconds: float
    megabytes: float
    error: str = ""


Run = Callable[[Path], None]
"""Reads what stands in the folder's `in`; may write below its `out`. Raises FindingError itself for
what is wrong with a result."""


def judge(files: Files, run: Run, scratch: Path | None = None) -> Outcome:
    """Write the files, run the reader over them; FindingError for what it must not do."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        write(folder / "in", files)
        (folder / "out").mkdir()
        (folder / "tmp").mkdir()
        with _temporary(folder / "tmp"):
            outcome = _judged(folder, run)
        left = sorted(path.name for path in (folder / "tmp").rglob("*"))
        if left:
            raise FindingError(f"temporary files left behind: {left[:3]}")
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(root: Path, files: Files) -> None:
    """The files below `root`, which is made."""
    root.mkdir()
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _judged(folder: Path, run: Run) -> Outcome:
    said = io.StringIO()
    before = _reset_peak()
    started = time.process_time()
    error = ""
    accepted = True
    try:
        with _overheard(said), _deadline():
            run(folder)
    except FindingError:
        raise
    except TandemError as problem:
        accepted, error = False, str(problem)
    except _TooLongError:
        raise FindingError(f"still running after {SECONDS:g} s of CPU") from None
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            raise
        raise FindingError(f"{type(problem).__name__}: {str(problem)[:300]}") from problem
    seconds = time.process_time() - started
    megabytes = max(_peak() - before, 0) / 1024
    if megabytes > MEGABYTES:
        raise FindingError(f"grew by {megabytes:.0f} MB")
    judge_text(error, "the error")
    judge_text(said.getvalue(), "a log line or the output", limit=100_000)
    if not accepted and not error.strip():
        raise FindingError("an error without a text")
    return Outcome(accepted, seconds, megabytes, error)


def judge_text(text: str, what: str, limit: int = ERROR_CHARACTERS) -> None:
    """Raise FindingError when a text repeats the data, or goes on for ever."""
    if CANARY in text:
        at = text.index(CANARY)
        raise FindingError(f"{what} repeats the data: {text[max(0, at - 150) : at + 20]!r}")
    if len(text) > limit:
        raise FindingError(f"{what} has {len(text)} characters: {text[:200]!r}")


@contextlib.contextmanager
def _overheard(said: io.StringIO) -> Iterator[None]:
    handler = logging.StreamHandler(said)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TooLongError

    alarms = (
        (signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, WALL_SECONDS),
    )
    before: list[Any] = []
    for timer, number, seconds in alarms:
        before.append(signal.signal(number, ring))
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(alarms, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _reset_peak() -> float:
    """Forget the highest memory so far, where the kernel lets one; the present one in KiB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(f"{name}:"):
                    return float(line.split()[1])
    except OSError:
        pass
    scale = 1 if os.uname().sysname == "Linux" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
