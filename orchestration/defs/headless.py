"""Runs a Dagster job in this process, without a daemon: what `tandem build` does."""

import logging
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg

from orchestration.build import Build, Observer, open_build
from orchestration.defs import build_defs
from orchestration.defs.resources import FULL_REFRESH_TAG, instance_path
from orchestration.errors import TandemError
from orchestration.gates import GateWorker
from orchestration.machine import rare_collections
from orchestration.settings import Settings

RUNS_KEPT = 20
"""Runs that the instance remembers; each takes some megabytes, for its thousands of checks."""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_job(
    settings: Settings,
    *,
    full_refresh: bool = False,
    window_dates: Iterable[date] = (),
    observer: Observer | None = None,
    gates: GateWorker | None = None,
) -> Build:
    """Run `build` or `full_refresh` inside one open build, and return how it ended.

    `window_dates` are business dates to rebuild beyond those of what is new: a backfill. `gates`
    is a worker that runs already: what loads this module should have started it before.
    The run stands in the Dagster instance of the home like any other, under the build's id.
    Raises what stopped the build: GateError, LockedError or another TandemError.
    """
    build_id = str(uuid.uuid4())
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
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
        job = build_defs({"build": build}, settings).resolve_job_def(
            "full_refresh" if full_refresh else "build"
        )
        folder = instance_path(settings)
        _drop_damaged(folder)
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            result = job.execute_in_process(
                instance=instance,
                run_id=build_id,
                run_config=_QUIET,
                tags={FULL_REFRESH_TAG: "true"} if full_refresh else None,
                raise_on_error=False,
            )
            for old in instance.get_run_ids()[RUNS_KEPT:]:
                instance.delete_run(old)
        if build.error is not None:
            raise build.error
        if not result.success:
            raise TandemError(f"the run {build_id} failed: {_reason(result)}")
    return build


def _drop_damaged(folder: Path) -> None:
    """Remove the databases of past runs that a lost power has spoilt; nothing depends on them."""
    for path in folder.rglob("*.db"):
        try:
            with closing(sqlite3.connect(path)) as connection:
                sound = connection.execute("pragma quick_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            for suffix in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The first failed step and the innermost error's first line."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            text = error.message.strip().splitlines()[0] if error is not None else "no reason given"
            return f"{event.step_key}: {text}"
    return "Dagster gave no reason"
