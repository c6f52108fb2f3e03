"""A live build's mechanics on a small project: what it changes, what it leaves, what it refuses."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration import gates
from orchestration.build import nothing_new, run_build
from orchestration.defs.jobs import live_job
from orchestration.errors import GateError, LockedError, TandemError
from orchestration.live import STAGES, board_sql, run_live
from orchestration.lock import build_lock
from orchestration.publish import published, snapshot
from orchestration.status import read_status
from orchestration.transform import DbtSession
from tests.integration.stub import World, event, make_world, read, stages
from tests.support import KEY

FIRST = [event(1, "2026-01-01"), event(2, "2026-01-02")]
DAYS = [(date(2026, 1, 1), "s", 1), (date(2026, 1, 2), "s", 1)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was built, and in which a live build has compiled the board."""
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(tmp_path_factory.mktemp("built"), patch)
        world.land(FIRST)
        run_build(world.settings)
        board_sql(DbtSession(world.settings))
        return world.settings.home


@pytest.fixture
def world(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch, lock_wait_seconds=0.2)
    shutil.copytree(built, world.settings.home, symlinks=True)
    world.landed += FIRST
    return world


def noon(day: int) -> tuple[Any, ...]:
    return (at(f"2026-01-{day:02d} 04:00:00"), "s", 1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def board(world: World) -> list[tuple[Any, ...]]:
    return read(world.settings.serving_path, "select * from engagement.live_board order by all")


def control(world: World, table: str) -> list[tuple[Any, ...]]:
    return read(world.settings.warehouse_path, f"select * from control.{table} order by all")


def served(world: World) -> dict[str, Any]:
    found = published(world.settings)
    assert found is not None
    return found


def test_only_the_board_changes_and_the_next_build_misses_nothing(world: World) -> None:
    before, parameters = served(world), control(world, "parameters")
    assert run_live(world.settings) is None
    world.land([event(3, "2026-01-03")])
    build = run_live(world.settings)
    assert build is not None
    assert stages(build) == dict.fromkeys(STAGES, True)
    assert board(world) == [noon(1), noon(2), noon(3)]
    assert world.served() == DAYS
    assert read(world.settings.warehouse_path, "select * from users.daily_active order by all") == (
        DAYS
    )
    after = served(world)
    assert after == before | {
        "version": 2,
        "kind": "live",
        "live_build_id": build.build_id,
        "live_as_of": at("2026-01-03 04:05:00"),
        "published_at": after["published_at"],
    }
    assert control(world, "parameters") == parameters
    assert len(control(world, "builds")) == 1

    serving = world.settings.serving_path.parent
    files = {path.name for path in (serving / "snapshots").iterdir()}
    assert files == {"marts-v001.duckdb"}
    assert str((serving / "parquet" / "current").readlink()) == "v002"
    for name, same in (("users/daily_active", True), ("engagement/live_board", False)):
        one, other = (serving / "parquet" / v / f"{name}.parquet" for v in ("v001", "v002"))
        assert one.samefile(other) is same
    listed = f"select * from '{serving}/parquet/current/engagement/live_board.parquet' order by all"
    assert read(world.settings.serving_path, listed) == board(world)

    assert run_live(world.settings) is None
    assert nothing_new(world.settings) is None
    full = run_build(world.settings)
    assert full.plan is not None
    assert (full.plan.full_refresh, full.plan.watermark_batch_id) == (False, 1)
    assert world.served() == [*DAYS, (date(2026, 1, 3), "s", 1)]
    assert board(world) == [noon(1), noon(2), noon(3)]
    assert (served(world)["kind"], served(world)["live_build_id"]) == ("full", None)
    assert published(world.settings) == nothing_new(world.settings)


def test_live_versions_do_not_push_out_builds_nor_their_verdicts(world: World) -> None:
    verdicts = control(world, "validations")
    settings = world.settings.model_copy(update={"snapshots_kept": 1})
    for number in (3, 4):
        world.land([event(number, f"2026-01-0{number}")])
        run_live(settings)
    serving = world.settings.serving_path.parent
    folders = sorted(path.name for path in (serving / "parquet").iterdir())
    assert folders == ["current", "v001", "v003"]
    assert [path.name for path in (serving / "snapshots").iterdir()] == ["marts-v001.duckdb"]
    kept = control(world, "validations")
    assert set(verdicts) < set(kept)
    # One of each judged stage: raw, marts, export.
    assert len(kept) == len(verdicts) + 3
    status = read_status(world.settings)
    assert status.build is not None
    assert status.live is not None
    assert (status.build.state, status.live.state) == ("published", "published")
    assert status.live.live_as_of == at("2026-01-04 04:05:00")


def _killed(world: World, stage: str) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    world.before_judging = lambda judged: die() if judged == stage else None
    if stage == "swap":
        snapshot._retain = die  # type: ignore[assignment]
    run_live(world.settings)


def test_a_killed_live_build_is_taken_up_by_either_kind(world: World) -> None:
    for number, (stage, go_on) in enumerate(
        [("raw", run_live), ("export", run_build), ("swap", run_live)],
        start=3,
    ):
        world.land([event(number, f"2026-01-0{number}")])
        child = multiprocessing.get_context("fork").Process(target=_killed, args=(world, stage))
        child.start()
        child.join(timeout=120)
        assert child.exitcode == -signal.SIGKILL
        # The killed process had taken them in.
        world.waiting.clear()
        seen = number if stage == "swap" else number - 1
        assert board(world) == [noon(day) for day in range(1, seen + 1)]
        go_on(world.settings)
        assert board(world) == [noon(day) for day in range(1, number + 1)]
    assert world.served() == [(date(2026, 1, day), "s", 1) for day in range(1, 5)]
    serving = world.settings.serving_path.parent
    assert not [*serving.glob(".*"), *(serving / "parquet").glob(".*")]


@pytest.mark.parametrize("stage", ["raw", "export"])
def test_a_failed_gate_leaves_what_was_published(world: World, stage: str) -> None:
    before = served(world)
    world.land([event(3, "2026-01-03")])
    world.failing = {stage}
    with pytest.raises(GateError):
        run_live(world.settings)
    assert served(world) == before
    assert board(world) == [noon(1), noon(2)]
    status = read_status(world.settings)
    assert status.live is not None
    assert (status.live.state, status.gates.critical) == ("blocked", 1)
    world.failing = set()
    assert run_live(world.settings) is not None
    assert board(world)[-1] == noon(3)


def test_what_a_live_build_cannot_stand_on_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land([event(3, "2026-01-03")])
    for values in ({"timezone": "UTC"}, {"as_of_date": date(2026, 1, 1)}):
        with pytest.raises(TandemError, match="settings, key or the dbt project changed"):
            run_live(world.settings.model_copy(update=values))
    model = world.own_project(monkeypatch) / "models" / "intermediate" / "int_days.sql"
    good = model.read_text(encoding="utf-8")
    model.write_text(f"{good}-- \n", encoding="utf-8")
    with pytest.raises(TandemError, match="dbt project changed since the last build: run `tandem"):
        run_live(world.settings)
    model.write_text(good, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(gates, "rules_fingerprint", lambda: "other")
        with pytest.raises(TandemError, match="rules changed"):
            run_live(world.settings)
    with build_lock(world.settings), pytest.raises(LockedError, match="held by process"):
        run_live(world.settings)
    empty = world.settings.model_copy(update={"home": tmp_path / "empty"})
    with pytest.raises(TandemError, match="nothing was published yet"):
        run_live(empty)

    world.failing = {"intermediate"}
    with pytest.raises(GateError):
        run_build(world.settings)
    world.failing = set()
    with pytest.raises(TandemError, match="the last build did not publish"):
        run_live(world.settings)
    assert board(world) == [noon(1), noon(2)]


def test_a_served_table_that_was_altered_is_not_published_on(world: World) -> None:
    import duckdb

    world.settings.serving_path.chmod(0o600)
    with duckdb.connect(str(world.settings.serving_path)) as connection:
        connection.execute("update users.daily_active set dau = 9")
    before = served(world)
    world.land([event(3, "2026-01-03")])
    with pytest.raises(GateError, match=r"users\.daily_active is not what was published"):
        run_live(world.settings)
    assert served(world) == before
    assert not list(world.settings.serving_path.parent.glob(".marts*"))


def test_the_dagster_job_does_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(world.settings.home))
    monkeypatch.setenv("TANDEM_KEY", KEY)
    world.land([event(3, "2026-01-03")])
    result = live_job().execute_in_process()
    assert result.success
    assert board(world)[-1] == noon(3)
    assert served(world)["live_build_id"] == result.run_id
    assert live_job().execute_in_process().success
    world.land([event(4, "2026-01-04")])
    world.failing = {"raw"}
    assert not live_job().execute_in_process(raise_on_error=False).success
