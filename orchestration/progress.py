"""Progress for people: bars on stderr, and only where somebody looks at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from orchestration.build import Observer, StageResult
from orchestration.terminal import shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total); it draws nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None  # noqa: ARG005
        return
    with _bars() as bars:
        task = bars.add_task(title, total=None, unit=unit)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class BuildProgress(Observer):
    """Shows a build: a bar for the stage that runs, and a line on stdout for each that ended.

    `results` holds what ended, in order. `quiet` leaves out the lines.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.results: list[StageResult] = []
        self._quiet = quiet
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> BuildProgress:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def started(self, stage: str) -> None:
        """Draw a bar for the stage."""
        if self._bars is not None:
            self._task = self._bars.add_task(stage, total=None, unit="")

    def progressed(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Move the bar."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, description=stage, completed=done, total=total, unit=unit)

    def finished(self, result: StageResult) -> None:
        """Replace the bar by a line."""
        self.results.append(result)
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        if not self._quiet:
            mark = "ok    " if result.passed else "FAILED"
            line = f"{mark} {result.stage:18} {result.seconds:7.1f} s  {result.summary}"
            sys.stdout.write(f"{shown(line)}\n")
            sys.stdout.flush()


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} {task.fields[unit]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
