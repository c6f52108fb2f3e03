"""Runs the gates in a process of their own.

Great Expectations takes seconds of CPU to import and keeps its engines alive; in a worker that
starts with the build it costs no waiting, and no open file in the process that writes.
"""

from __future__ import annotations

import atexit
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestration.errors import TandemError
from orchestration.settings import Settings

if TYPE_CHECKING:
    from data_quality.fingerprint import TableKey
    from data_quality.runner import Outcome


_SETTLED: dict[str, dict[TableKey, str]] = {}
"""Over there: run to the fingerprints of the layers that it has judged."""


class GateWorker:
    """A process that judges stages, started on first use and ended with the context."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> GateWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def warm_up(self) -> None:
        """Start the process, so that it is ready when the first gate is reached."""
        self._submit(_import)

    def run(
        self,
        settings: Settings,
        stage: str,
        *,
        run_id: str,
        database: Path | None = None,
        tables: Sequence[str] | None = None,
    ) -> list[Outcome]:
        """`data_quality.runner.run_suites` over there. Raises what it raises."""
        future = self._submit(_run, settings, stage, run_id, database, tables)
        try:
            return list(future.result())
        except BrokenProcessPool as error:
            self._pool = None
            raise TandemError(f"the gate of {stage} died; is memory short?") from error

    def settled(self, run_id: str) -> dict[TableKey, str]:
        """The fingerprints of the layers that this run has judged, as far as they are at hand."""
        if self._pool is None:
            return {}
        try:
            return dict(self._submit(_settled, run_id).result())
        except BrokenProcessPool:
            self._pool = None
            return {}

    def _submit(self, function: Any, *arguments: Any) -> Future[Any]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_end_well,
            )
        return self._pool.submit(function, *arguments)


def rules_fingerprint() -> str:
    """SHA-256 over every rule of every stage: equal means judged alike."""
    from data_quality.catalogue import STAGES, suites

    digests = [suite.digest for stage in STAGES for suite in suites(stage)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _import() -> None:
    from data_quality import engine

    engine.load()


def _run(
    settings: Settings,
    stage: Any,
    run_id: str,
    database: Path | None,
    tables: Sequence[str] | None,
) -> list[Outcome]:
    from data_quality.runner import run_suites

    if run_id not in _SETTLED:
        _SETTLED.clear()
    settled = _SETTLED.setdefault(run_id, {})
    return list(
        run_suites(
            settings, stage, run_id=run_id, database=database, tables=tables, settled=settled
        )
    )


def _settled(run_id: str) -> dict[TableKey, str]:
    return _SETTLED.get(run_id, {})


def _end_well() -> None:
    """End with the parent, and without taking all modules apart, which is a second of waiting."""
    atexit.register(os._exit, 0)
    # Ctrl-C reaches all processes of a terminal: the build says so, this one ends in silence.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    # A killed parent closes no queue that its child holds open as well.
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
