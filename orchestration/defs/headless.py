"""Runs a Dagster job in this process, without a daemon: what `tandem build` is remembered by."""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from orchestration.defs import build_defs
from orchestration.defs.resources import FULL_REFRESH_TAG, instance_path
from orchestration.settings import Settings
from orchestration.steps import Steps

RUNS_KEPT = 20
"""Runs that the instance remembers; each takes some megabytes, for its thousands of checks."""

_UNHEARD: Mapping[str, Any] = {
    # Steps print nothing, and Dagster would start two processes a step to hear it.
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def record(
    settings: Settings, build_id: str, steps: Steps, *, full_refresh: bool = False
) -> str | None:
    """Run the job `build` or `full_refresh` over these steps, and return why it failed if it did.

    The run stands in the Dagster instance of the home like any other, under the build's id.
    """
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    job = build_defs({"build": steps}, settings).resolve_job_def(
        "full_refresh" if full_refresh else "build"
    )
    folder = instance_path(settings)
    _drop_damaged(folder)
    quiet = InstanceRef.from_dir(str(folder), overrides=_UNHEARD)
    with dg.DagsterInstance.from_ref(quiet) as instance:
        result = job.execute_in_process(
            instance=instance,
            run_id=build_id,
            run_config=_QUIET,
            tags={FULL_REFRESH_TAG: "true"} if full_refresh else None,
            raise_on_error=False,
        )
        for old in instance.get_run_ids()[RUNS_KEPT:]:
            instance.delete_run(old)
    return None if result.success else _reason(result)


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
