"""Running a piece of work in a forked process, and killing it.

The parent has imported everything and holds no connection and no thread, so that a fork costs
milliseconds where a fresh `tandem` takes seconds to start.
"""

from __future__ import annotations

import mmap
import os
import pickle
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = ("replace", "rename", "link", "symlink", "unlink", "fsync", "mkdir", "rmdir", "chmod")
"""Calls of `os` before and after which a process can be told to die."""
_PLACE = 400


@dataclass(frozen=True)
class Kill:
    """When to kill: `after` seconds of work, or at the `step`-th call of one of STEPS.

    Steps count from 0; `before` says whether the call is still made.
    """

    after: float | None = None
    step: int | None = None
    before: bool = True

    @classmethod
    def draw(cls, rng: random.Random, seconds: float, steps: int) -> Kill:
        """A moment uniform over the work's measured length, or every other time at a step."""
        if steps and rng.random() < 0.5:
            return cls(step=rng.randrange(steps), before=rng.random() < 0.5)
        return cls(after=rng.uniform(0, seconds))


@dataclass(frozen=True)
class Ended:
    """How a piece of work ended: `result` if it came to its end, `error` if it raised.

    `place` is where it was last seen, `steps` how many calls of STEPS it had made.
    """

    killed: bool
    place: str
    steps: int
    seconds: float
    result: Any = None
    error: str = ""


class Place:
    """Where a process is, in memory that its parent sees after it is dead."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _PLACE)

    def note(self, stage: str | None = None, step: str | None = None, count: int = 0) -> None:
        """Set the stage, or the last step and how many there were."""
        if stage is not None:
            self._put(0, 100, stage)
        if step is not None:
            self._put(100, 390, step)
            self._memory[390:398] = count.to_bytes(8, "little")

    def begin(self) -> None:
        """The work proper starts now."""
        self._memory[399] = 1

    @property
    def begun(self) -> bool:
        """Whether it started."""
        return self._memory[399] == 1

    @property
    def count(self) -> int:
        """Steps so far."""
        return int.from_bytes(self._memory[390:398], "little")

    def text(self) -> str:
        """Stage and last step."""
        parts = (self._get(0, 100), self._get(100, 390))
        return ", ".join(part for part in parts if part) or "at the start"

    def _put(self, start: int, end: int, text: str) -> None:
        self._memory[start:end] = text.encode()[: end - start].ljust(end - start, b"\0")

    def _get(self, start: int, end: int) -> str:
        return self._memory[start:end].rstrip(b"\0").decode(errors="replace")


def run(
    work: Callable[[Place], Any],
    kill: Kill | None = None,
    *,
    prepare: Callable[[], None] | None = None,
    home: Path | None = None,
) -> Ended:
    """Run `work` in a fork, and kill it if `kill` says so before it has ended.

    `prepare` runs in the fork before the clock starts; steps below `home` count, or all.
    """
    place = Place()
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    result = Path(name)
    started = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(work, kill, prepare, home, place, result)
    try:
        if kill is not None and kill.after is not None:
            _kill_after(pid, place, kill.after)
        _, status = os.waitpid(pid, 0)
        seconds = time.monotonic() - started
        if os.WIFSIGNALED(status):
            return Ended(True, place.text(), place.count, seconds)
        value, error = pickle.loads(result.read_bytes())
        return Ended(False, place.text(), place.count, seconds, value, error)
    finally:
        result.unlink()


def _kill_after(pid: int, place: Place, seconds: float) -> None:
    while not place.begun and not _is_over(pid):
        time.sleep(0.002)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if _is_over(pid):
            return
        time.sleep(min(left, 0.02))
    os.kill(pid, signal.SIGKILL)


def _is_over(pid: int) -> bool:
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _child(
    work: Callable[[Place], Any],
    kill: Kill | None,
    prepare: Callable[[], None] | None,
    home: Path | None,
    place: Place,
    result: Path,
) -> None:
    value, error = None, ""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        if prepare is not None:
            prepare()
        watch_steps(place, kill, home)
        place.begin()
        value = work(place)
    except BaseException as problem:  # noqa: BLE001 (it must reach the parent)
        last = traceback.extract_tb(problem.__traceback__)[-1]
        error = f"{type(problem).__name__}: {problem} ({Path(last.filename).name}:{last.lineno})"
    try:
        result.write_bytes(pickle.dumps((value, error)))
    finally:
        os._exit(0)


def watch_steps(place: Place, kill: Kill | None, home: Path | None) -> None:
    """Count this process's calls of STEPS, and die at the one that `kill` names."""
    wanted = kill.step if kill is not None else None
    before = kill is not None and kill.before
    root = str(home) if home is not None else ""

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*values: Any, **named: Any) -> Any:
            target = next((str(v) for v in reversed(values) if not isinstance(v, int)), "")
            if name != "fsync" and not target.startswith(root) and "dir_fd" not in named:
                return call(*values, **named)
            number = place.count
            short = Path(target).name if target else ""
            place.note(step=f"{'before' if before else 'after'} {name} {short}", count=number + 1)
            if number == wanted and before:
                os.kill(os.getpid(), signal.SIGKILL)
            done = call(*values, **named)
            if number == wanted:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return stand_in

    for name in STEPS:
        setattr(os, name, watched(name, getattr(os, name)))
