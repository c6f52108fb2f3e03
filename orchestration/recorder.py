"""A build that Dagster remembers: its run is written by a process that follows the build.

Dagster's import, its definitions and the thousand events of a run take some eight seconds. They
wait for the build, and the build does not wait for them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestration.build import Build, Observer, open_build
from orchestration.errors import TandemError, first_line
from orchestration.machine import rare_collections
from orchestration.settings import Settings
from orchestration.steps import Steps
from orchestration.transform import ensure_manifest

if TYPE_CHECKING:
    from orchestration.gates import GateWorker

_T = TypeVar("_T")
_POLITE = 10
"""What the follower leaves to others: it is not what a build waits for, until the end."""
_LONGEST, _INTERRUPTED = 120.0, 2.0
"""Seconds after the last step in which a run must be written; after Ctrl-C somebody waits."""


def run_job(
    settings: Settings,
    *,
    full_refresh: bool = False,
    window_dates: Iterable[date] = (),
    observer: Observer | None = None,
    gates: GateWorker | None = None,
) -> Build:
    """Do a build's steps, have Dagster remember them as a run, and return how the build ended.

    `window_dates` are business dates to rebuild beyond those of what is new: a backfill. `gates`
    is a worker that runs already. The run stands in the Dagster instance of the home like any
    other, as `build` or `full_refresh` and under the build's id.

    Raises what stopped the build: GateError, LockedError or another TandemError; and TandemError
    when all went well but Dagster's run of it.
    """
    build_id = str(uuid.uuid4())
    with (
        rare_collections(),
        open_build(
            settings,
            build_id=build_id,
            full_refresh=full_refresh,
            observer=observer,
            gates=gates,
        ) as build,
    ):
        build.window_dates = tuple(sorted(set(window_dates)))
        # Parsed once if it changed, not by two processes at a time.
        ensure_manifest(settings)
        with recording(settings, build_id, full_refresh=full_refresh) as recorder:
            _Told(build, recorder).run()
            missing = recorder.end()
    if missing is not None:
        version = build.report.version if build.report is not None else "nothing"
        raise TandemError(
            f"version {version} is published, but Dagster has no whole run {build_id} of this "
            f"build: {missing}"
        )
    return build


class Recorder:
    """A process in which Dagster runs the job of a build whose steps are told to it.

    What it cannot do stops no step: `end` says it.
    """

    def __init__(self, settings: Settings, build_id: str, *, full_refresh: bool) -> None:
        self._ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self._end_follower = _start(theirs, settings, build_id, full_refresh)

    def tell(self, step: str, told: object) -> None:
        """Pass on what a step told, or the TandemError that it raised."""
        # It has died: `end` says so.
        with suppress(OSError):
            self._ours.send((step, told))

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ours.closed

    def end(self, patience: float = _LONGEST) -> str | None:
        """Wait for the run to be written, and say why it is not, or not as one that succeeded."""
        reason: str | None = "the process that writes it did not end"
        try:
            self._ours.send((None, None))
            if self._ours.poll(patience):
                reason = self._ours.recv()
        except (OSError, EOFError):
            reason = "the process that writes it died; is memory short?"
        self._ours.close()
        self._end_follower()
        return reason


@contextmanager
def recording(settings: Settings, build_id: str, *, full_refresh: bool) -> Iterator[Recorder]:
    """A recorder; left without `end`, as by an error, it writes a run that failed."""
    recorder = Recorder(settings, build_id, full_refresh=full_refresh)
    try:
        yield recorder
    except KeyboardInterrupt:
        recorder.end(_INTERRUPTED)
        raise
    finally:
        if not recorder.ended:
            recorder.end()


class _Told(Steps):
    """Steps that are told to a recorder when they are done."""

    def __init__(self, build: Build, recorder: Recorder) -> None:
        super().__init__(build)
        self._recorder = recorder

    def _take(self, name: str, work: Callable[[], _T]) -> _T:
        try:
            told = super()._take(name, work)
        except TandemError as error:
            self._recorder.tell(name, TandemError(str(error)))
            raise
        self._recorder.tell(name, told)
        return told


class _Followed(Steps):
    """Steps that another process does: each gives what that one tells of it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._told: dict[str, Any] = {}
        self._over = False
        self._change = threading.Condition()
        # Always listening: who tells must not wait until there is room in the pipe.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self) -> None:
        """Return when the build has no more to tell."""
        self._listener.join()

    def _listen(self) -> None:
        step: str | None = ""
        while step is not None:
            try:
                step, told = self._pipe.recv()
            except (OSError, EOFError):
                step, told = None, None
            with self._change:
                if step is None:
                    self._over = True
                else:
                    self._told[step] = told
                self._change.notify()

    def _take(self, name: str, work: Callable[[], _T]) -> _T:  # noqa: ARG002
        with self._change:
            self._change.wait_for(lambda: name in self._told or self._over)
            if name not in self._told:
                raise TandemError("the build ended before this step")
            told = self._told[name]
        if isinstance(told, TandemError):
            raise told
        return cast("_T", told)


def _start(
    pipe: Connection, settings: Settings, build_id: str, full_refresh: bool
) -> Callable[[], None]:
    """Have a process follow at this end of the pipe, and return what ends it."""
    process = multiprocessing.get_context("spawn").Process(
        target=_in_own_process, args=(pipe, settings, build_id, full_refresh), daemon=True
    )
    process.start()
    pipe.close()

    def end() -> None:
        process.join(0.5)
        process.kill()

    return end


def _in_own_process(
    pipe: Connection, settings: Settings, build_id: str, full_refresh: bool
) -> None:
    # Ctrl-C reaches all processes of a terminal: the build ends, and is followed to its end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_POLITE)
    with rare_collections():
        _follow(pipe, settings, build_id, full_refresh)
    # Taking all modules apart is a second of waiting.
    os._exit(0)


def _follow(pipe: Connection, settings: Settings, build_id: str, full_refresh: bool) -> None:
    steps = _Followed(pipe)
    reason: str | None
    try:
        from orchestration.defs.headless import record

        reason = record(settings, build_id, steps, full_refresh=full_refresh)
    except Exception as error:  # noqa: BLE001
        # Whatever it is, the build goes on without its run and says so.
        reason = f"{type(error).__name__}: {first_line(error)}"
    # The build may have been killed.
    with suppress(OSError):
        pipe.send(reason)
    steps.wait()
