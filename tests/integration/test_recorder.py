"""What Dagster remembers of a build that it follows: runs that failed, and followers that died."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import recorder, steps
from orchestration.defs.resources import instance_path
from orchestration.errors import GateError, TandemError
from orchestration.recorder import recording, run_job
from tests.integration.stub import World, event, follow_here, make_world, read
from tests.integration.test_build_dagster import few


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch)
    world.land([event(1, "2026-01-01")])
    few(monkeypatch)
    follow_here(monkeypatch)
    return world


def failures(world: World) -> dict[str, str]:
    """Step to its error in the newest run, which must have failed."""
    with dg.DagsterInstance.from_config(str(instance_path(world.settings))) as instance:
        run = instance.get_run_by_id(instance.get_run_ids()[0])
        assert run is not None
        assert run.is_failure
        records = instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
        ).records
    found = {}
    for record in records:
        happened = record.event_log_entry.dagster_event
        assert happened is not None
        error = happened.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        found[str(happened.step_key)] = error.message if error is not None else ""
    return found


def test_a_gate_that_stops_a_build_fails_the_step_that_it_stops(world: World) -> None:
    world.failing = {"export"}
    with pytest.raises(GateError):
        run_job(world.settings)
    found = failures(world)
    assert list(found) == ["publish"]
    assert "1 critical rules did not pass" in found["publish"]


def test_a_step_that_raises_fails_in_the_run_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan_build(_: Any) -> None:
        raise TandemError("no plan")

    monkeypatch.setattr(steps, "plan_build", plan_build)
    with pytest.raises(TandemError, match="no plan"):
        run_job(world.settings)
    assert "no plan" in failures(world)["control__parameters"]


def test_a_run_whose_build_was_killed_ends_as_failed(world: World) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    # Less than the pipe holds, so that nobody has to listen yet.
    ours.send(("plan", None))
    ours.close()
    recorder._follow(theirs, world.settings, str(uuid.uuid4()), False)
    theirs.close()
    found = failures(world)
    assert list(found) == ["ingest"]
    assert "the build ended before this step" in found["ingest"]


def dies(pipe: Any, *_: Any) -> Callable[[], None]:
    pipe.close()
    return lambda: None


def test_a_build_outlives_its_follower_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_start", dies)
    with pytest.raises(TandemError, match="version 1 is published, but Dagster has no whole run"):
        run_job(world.settings)
    assert len(world.served()) == 1
    states = read(world.settings.warehouse_path, "select state from control.builds")
    assert states == [("published",)]


def test_what_stopped_a_build_is_told_though_its_follower_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_start", dies)
    world.failing = {"raw"}
    with pytest.raises(GateError, match="1 critical rules did not pass"):
        run_job(world.settings)


def test_what_a_follower_cannot_do_is_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.defs import headless

    def record(*_: Any, **__: Any) -> None:
        raise ValueError("no room\nfor this")

    monkeypatch.setattr(headless, "record", record)
    with recording(world.settings, "build", full_refresh=False) as following:
        assert following.end() == "ValueError: no room"
