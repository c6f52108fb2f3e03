"""A build's mechanics on a small project: what is rebuilt, what is kept, what is refused."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import date
from pathlib import Path

import duckdb
import pytest

from orchestration import build as build_module
from orchestration.build import nothing_new, open_build, run_build
from orchestration.errors import GateError, LockedError, TandemError
from orchestration.lock import build_lock, lock_holder
from orchestration.plan import make_plan
from orchestration.publish import published, snapshot
from orchestration.warehouse import open_warehouse
from tests.integration.stub import World, event, make_world, read, stages

FIRST = [event(1, "2026-01-01"), event(2, "2026-01-02"), event(3, "2026-01-02", "b")]
SERVED_FIRST = [(date(2026, 1, 1), "s", 1), (date(2026, 1, 2), "s", 2)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch, lock_wait_seconds=0.2)
    world.land(FIRST)
    return world


def states(world: World) -> list[str]:
    rows = read(
        world.settings.warehouse_path, "select state from control.builds order by started_at"
    )
    return [row[0] for row in rows]


def damage(world: World, statement: str) -> None:
    with open_warehouse(world.settings) as connection:
        connection.execute(statement)


def test_builds_publishes_and_then_has_nothing_to_do(world: World) -> None:
    assert nothing_new(world.settings) is None
    build = run_build(world.settings)
    assert all(stages(build).values())
    assert list(stages(build)) == list(build_module.STAGES)
    assert world.served() == SERVED_FIRST
    assert build.report is not None
    assert published(world.settings) == nothing_new(world.settings)

    world.land([event(4, "2026-01-03")])
    assert nothing_new(world.settings) is None
    again = run_build(world.settings)
    assert again.plan is not None
    assert (again.plan.full_refresh, again.plan.watermark_batch_id) == (False, 1)
    assert world.served() == [*SERVED_FIRST, (date(2026, 1, 3), "s", 1)]
    assert states(world) == ["published", "published"]

    other = world.settings.model_copy(update={"as_of_date": date(2026, 1, 2)})
    assert nothing_new(other) is None
    run_build(other)
    assert world.served() == SERVED_FIRST
    assert nothing_new(world.settings) is None


def test_a_failed_gate_leaves_what_was_published(world: World) -> None:
    run_build(world.settings)
    before = published(world.settings)
    world.land([event(4, "2026-01-03")])
    for stage in ("raw", "intermediate", "export"):
        world.failing = {stage}
        with pytest.raises(GateError):
            run_build(world.settings)
        assert published(world.settings) == before
        assert world.served() == SERVED_FIRST
        assert not list(world.settings.serving_path.parent.glob(".marts*"))
    world.failing = set()
    build = run_build(world.settings)
    # None of the blocked builds moved the watermark past what was not published.
    assert build.plan is not None
    assert build.plan.watermark_batch_id == 1
    assert world.served()[-1] == (date(2026, 1, 3), "s", 1)
    assert states(world) == ["published", *["blocked"] * 3, "published"]


def test_ctrl_c_while_dbt_works_is_no_error_of_dbt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.cli.main import dbtRunner, dbtRunnerResult

    def interrupted(*_: object) -> dbtRunnerResult:
        return dbtRunnerResult(success=False, exception=KeyboardInterrupt())

    monkeypatch.setattr(dbtRunner, "invoke", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_build(world.settings)


def test_a_failed_model_is_named_and_stops_the_build(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = world.own_project(monkeypatch) / "models" / "marts" / "users" / "daily_active.sql"
    good = model.read_text(encoding="utf-8")
    model.write_text(good.replace("days.source,", "error('broken') as source,"), encoding="utf-8")
    with pytest.raises(TandemError, match="daily_active"):
        run_build(world.settings)
    assert states(world) == ["failed"]
    model.write_text(good, encoding="utf-8")
    build = run_build(world.settings)
    assert build.plan is not None
    assert build.plan.full_refresh
    assert world.served() == SERVED_FIRST


def test_a_window_rebuilds_its_dates_and_no_others(world: World) -> None:
    world.land([event(4, "2026-01-03")])
    run_build(world.settings)
    damage(world, "update intermediate.int_days set account_id = 'x', source = 'damaged'")
    run_build(world.settings, window_dates=[date(2026, 1, 2), date(2026, 1, 3)])
    assert world.served() == [
        (date(2026, 1, 1), "damaged", 1),
        (date(2026, 1, 2), "s", 2),
        (date(2026, 1, 3), "s", 1),
    ]


def test_full_refresh_starts_from_the_landing_zone(world: World) -> None:
    run_build(world.settings)
    damage(world, "delete from raw.community__events")
    damage(world, "update intermediate.int_days set source = 'damaged'")
    world.land([event(4, "2026-01-03")])
    build = run_build(world.settings, full_refresh=True)
    assert build.state == "published"
    assert world.served() == [*SERVED_FIRST, (date(2026, 1, 3), "s", 1)]
    assert states(world) == ["published", "published"]
    assert not (world.settings.home / "rebuild").exists()
    run_build(world.settings)


def test_a_failed_full_refresh_keeps_the_old_warehouse(world: World) -> None:
    run_build(world.settings)
    world.land([event(4, "2026-01-03")])
    world.failing = {"marts"}
    with pytest.raises(GateError):
        run_build(world.settings, full_refresh=True)
    assert read(world.settings.warehouse_path, "select count(*) from raw.community__events") == [
        (3,)
    ]
    assert world.served() == SERVED_FIRST


def test_full_refresh_refuses_to_lose_files(world: World) -> None:
    run_build(world.settings)
    damage(
        world,
        """
        insert into control.files (file_id, log, path, sha256, state, accepted)
        values (9, 'community/events', 'community/events/gone.jsonl', 'ab', 'loaded', 5)
        """,
    )
    with pytest.raises(TandemError, match=r"1 loaded files .* community/events/gone\.jsonl"):
        run_build(world.settings, full_refresh=True)
    assert world.served() == SERVED_FIRST


def test_a_locked_home_names_its_holder(world: World) -> None:
    assert lock_holder(world.settings) is None
    with build_lock(world.settings):
        assert lock_holder(world.settings) == f"process {os.getpid()}"
        with pytest.raises(LockedError, match=rf"held by process {os.getpid()}; waited 0.2 s"):
            run_build(world.settings)
    assert lock_holder(world.settings) is None


def _killed(world: World, stage: str, *, full_refresh: bool) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def die_at(judged: str) -> None:
        if judged == stage:
            die()

    world.before_judging = die_at
    if stage == "swap":
        snapshot._retain = die  # type: ignore[assignment]
    run_build(world.settings, full_refresh=full_refresh)


@pytest.mark.parametrize(
    ("stage", "full_refresh"), [("intermediate", False), ("marts", True), ("swap", False)]
)
def test_a_killed_build_is_taken_up_by_the_next(
    world: World, stage: str, full_refresh: bool
) -> None:
    run_build(world.settings)
    world.land([event(4, "2026-01-03")])
    child = multiprocessing.get_context("fork").Process(
        target=_killed, args=(world, stage), kwargs={"full_refresh": full_refresh}
    )
    child.start()
    child.join(timeout=120)
    assert child.exitcode == -signal.SIGKILL
    third = (date(2026, 1, 3), "s", 1)
    assert world.served() == [*SERVED_FIRST, *([third] if stage == "swap" else [])]
    assert states(world)[-1] == ("transformed" if stage == "swap" else "failed")
    if not full_refresh:
        # The killed process had taken them in.
        world.waiting.clear()
    build = run_build(world.settings)
    assert build.plan is not None
    assert not build.plan.full_refresh
    assert world.served() == [*SERVED_FIRST, third]
    serving = world.settings.serving_path.parent
    assert not [*serving.glob(".*"), *(serving / "parquet").glob(".*")]
    assert (serving / "parquet" / "current" / "users" / "daily_active.parquet").exists()
    assert not (world.settings.home / "rebuild").exists()


def test_attempts_with_other_settings_make_everything_stale(world: World) -> None:
    run_build(world.settings)
    other = world.settings.model_copy(update={"timezone": "UTC"})
    world.failing = {"intermediate"}
    with pytest.raises(GateError):
        run_build(other)
    with open_warehouse(world.settings) as connection:
        assert make_plan(connection, world.settings).full_refresh


def test_what_stopped_a_build_is_told_where_its_end_cannot_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: object) -> None:
        raise duckdb.IOException("no space left")

    monkeypatch.setattr(build_module, "_finish", full_disk)
    with pytest.raises(TandemError, match="the first"), open_build(world.settings):
        raise TandemError("the first")
    with (
        pytest.raises(TandemError, match="how the build ended could not be kept: no space left"),
        open_build(world.settings),
    ):
        pass
    assert states(world) == ["failed", "failed"]
