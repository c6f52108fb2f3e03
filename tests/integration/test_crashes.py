"""Kills, lost power, a full disk and a wrong clock: the next build puts all of it right."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.crashes.reader import watching
from benchmarks.crashes.victim import Ended, Kill, Place, run
from data_quality.verdicts import record
from orchestration import build as builds
from orchestration.build import nothing_new, run_build
from orchestration.defs.headless import _drop_damaged
from orchestration.defs.resources import instance_path
from orchestration.errors import GateError, TandemError
from orchestration.ingest import ingest
from orchestration.plan import make_plan
from orchestration.publish import published
from orchestration.transform import _is_stamped, project_fingerprint
from orchestration.warehouse import open_warehouse
from tests.integration.stub import World, event, make_world, outcome, read
from tests.unit.ingest.landing_files import EVENTS, WRITERS, counts, put, rows, settings_at
from tests.unit.ingest.landing_files import event as landed_event

FIRST = [event(1, "2026-01-01"), event(2, "2026-01-02"), event(3, "2026-01-02", "b")]
SERVED = [(date(2026, 1, 1), "s", 1), (date(2026, 1, 2), "s", 2)]
THIRD = (date(2026, 1, 3), "s", 1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes")
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(folder, patch)
        world.land(FIRST)
        run_build(world.settings)
    return folder / "state"


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch, lock_wait_seconds=20)
    shutil.copytree(template, world.settings.home, symlinks=True)
    world.landed = list(FIRST)
    return world


def _built(world: World) -> Any:
    def work(place: Place) -> None:
        place.note("build")
        run_build(world.settings)

    return work


def _killed_builds(world: World) -> Iterator[Ended]:
    """Builds that die in the publish, at the calls that change files, and anywhere."""
    for step in (40, 63):
        yield run(_built(world), Kill(step=step, before=step % 2 == 0), home=world.settings.home)
    yield run(_built(world), Kill(after=random.Random(3).uniform(0.1, 1.0)))


def test_killed_anywhere_the_next_build_is_as_if_nothing_had_happened(world: World) -> None:
    world.land([event(4, "2026-01-03")])
    with watching(world.settings.home) as seen:
        for ended in _killed_builds(world):
            assert not ended.error
            with open_warehouse(world.settings) as connection:
                taken = connection.execute("select max(batch_id) from control.batches").fetchone()
            if taken == (2,):
                # What the killed process had taken in, this one must not bring again.
                world.landed += world.waiting
                world.waiting.clear()
        run_build(world.settings)
    assert seen.looks
    assert not seen.wrong
    assert world.served() == [*SERVED, THIRD]
    serving = world.settings.serving_path.parent
    assert not [*serving.glob(".*"), *(serving / "parquet").glob(".*")]


@contextmanager
def _beside(work: Callable[[], object], note: Path) -> Iterator[None]:
    """Another process that does `work` at the same time; it must end without an error."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            note.write_text("")
        except BaseException as error:  # noqa: BLE001 (it must reach the parent)
            note.write_text(repr(error))
        finally:
            os._exit(0)
    yield
    os.waitpid(pid, 0)
    assert note.read_text() == ""


def test_two_builds_at_once_wait_for_each_other(world: World, tmp_path: Path) -> None:
    with _beside(lambda: run_build(world.settings), tmp_path / "note"):
        world.land([event(4, "2026-01-03")])
        run_build(world.settings)
    assert world.served() == [*SERVED, THIRD]
    states = read(world.settings.warehouse_path, "select distinct state from control.builds")
    assert states == [("published",)]


def test_two_ingests_at_once_take_each_file_once(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    for number in range(4):
        records = [landed_event(10 * number + n) for n in range(10)]
        put(settings, EVENTS, f"f{number}.jsonl", WRITERS["jsonl"](records))
    with _beside(lambda: ingest(settings), tmp_path / "note"):
        ingest(settings)
    assert len(rows(settings, EVENTS)) == 40
    assert sum(1 for _ in counts(settings)) == 4


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "csv", "parquet"])
def test_a_landing_file_that_was_cut_short_is_taken_when_it_comes_whole(
    tmp_path: Path, kind: str
) -> None:
    calm, cut = settings_at(tmp_path / "calm"), settings_at(tmp_path / "cut")
    whole = WRITERS[kind]([landed_event(n, topic="t") for n in range(50)])
    put(calm, EVENTS, f"f.{kind}", whole)
    put(cut, EVENTS, f"f.{kind}", whole[: len(whole) // 2])
    put(cut, EVENTS, f"g.{kind}", bytes(len(whole)))
    ingest(cut)
    put(cut, EVENTS, f"f.{kind}", whole)
    (cut.landing_path / EVENTS / f"g.{kind}").unlink()
    for settings in (calm, cut):
        ingest(settings)
    assert rows(cut, EVENTS) == rows(calm, EVENTS)


def _spoil(path: Path, how: str) -> None:
    size = path.stat().st_size
    if how == "empty":
        os.truncate(path, 0)
    elif how == "half":
        os.truncate(path, size // 2)
    else:
        with path.open("r+b") as handle:
            handle.seek(size // 2)
            handle.write(bytes(size - size // 2))


def test_files_that_lost_their_end_are_made_again_or_named(world: World) -> None:
    home = world.settings.home
    for name, how in (
        ("data_tests.json", "half"),
        ("manifest.json", "zeros"),
        ("manifest.sha256", "empty"),
        ("partial_parse.msgpack", "half"),
    ):
        _spoil(home / "dbt" / name, how)
    serving = home / "serving"
    (serving / ".marts-2-abc.tmp").write_bytes(bytes(5000))
    (serving / "parquet" / ".v2-abc.tmp").mkdir()
    for path in (serving / "parquet" / "current").glob("_publish*.parquet"):
        path.chmod(0o600)
        _spoil(path, "zeros")
    served = world.settings.serving_path
    served.chmod(0o600)
    _spoil(served, "half")
    with pytest.raises(TandemError, match=r"cannot read .*marts\.duckdb.* move it away"):
        run_build(world.settings)
    served.rename(served.with_suffix(".damaged"))
    world.land([event(4, "2026-01-03")])
    run_build(world.settings)
    assert world.served() == [*SERVED, THIRD]
    current = serving / "parquet" / "current"
    assert len(duckdb.sql(f"select * from '{current / 'users' / 'daily_active.parquet'}'")) == 3
    found = published(world.settings)
    assert found is not None
    # The number of the version that was lost does not come again.
    assert found["version"] == 2
    assert (serving / "parquet" / "v001").is_dir()


def test_a_stamp_holds_for_the_very_bytes(world: World) -> None:
    folder = world.settings.home / "dbt"
    fingerprint = project_fingerprint()
    assert _is_stamped(folder, fingerprint)
    for name in ("manifest.json", "partial_parse.msgpack"):
        whole = (folder / name).read_bytes()
        _spoil(folder / name, "zeros")
        assert not _is_stamped(folder, fingerprint)
        (folder / name).write_bytes(whole)
    assert _is_stamped(folder, fingerprint)
    (folder / "manifest.json").unlink()
    assert not _is_stamped(folder, fingerprint)


def test_a_damaged_warehouse_is_named_with_the_way_out_which_works(world: World) -> None:
    path = world.settings.warehouse_path
    whole = path.read_bytes()
    for how in ("empty", "zeros", "half"):
        path.write_bytes(whole)
        _spoil(path, how)
        with pytest.raises(TandemError, match=r"warehouse\.duckdb is damaged .*--full-refresh"):
            run_build(world.settings)
    assert world.served() == SERVED
    path.rename(path.with_suffix(".damaged"))
    run_build(world.settings, full_refresh=True)
    assert world.served() == SERVED
    assert published(world.settings) == nothing_new(world.settings)


def test_a_new_warehouse_is_never_seen_half_made(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)

    def work(_: Place) -> None:
        with open_warehouse(settings):
            pass

    ended = run(work, home=tmp_path)
    settings.warehouse_path.unlink()
    for step in range(ended.steps):
        assert run(work, Kill(step=step), home=tmp_path).killed
        with open_warehouse(settings) as connection:
            assert connection.execute("select 1").fetchall() == [(1,)]
        settings.warehouse_path.unlink()


def test_damaged_run_history_is_dropped(world: World) -> None:
    folder = instance_path(world.settings)
    (folder / "history").mkdir()
    damaged, sound = folder / "history" / "runs.db", folder / "history" / "other.db"
    damaged.write_bytes(b"SQLite format 3\0" + bytes(4096))
    damaged.with_name("runs.db-wal").write_bytes(bytes(10))
    sound.touch()
    _drop_damaged(folder)
    assert sorted(path.name for path in (folder / "history").iterdir()) == ["other.db"]
    (folder / "dagster.yaml").write_bytes(bytes(200))
    assert "telemetry" in (instance_path(world.settings) / "dagster.yaml").read_text()


def test_with_the_clock_set_back_builds_keep_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr(builds, "datetime", Yesterday)
    world.land([event(4, "2026-01-03")])
    run_build(world.settings)
    assert world.served() == [*SERVED, THIRD]
    assert published(world.settings) == nothing_new(world.settings)
    other = world.settings.model_copy(update={"timezone": "UTC"})
    world.failing = {"intermediate"}
    with pytest.raises(GateError):
        run_build(other)
    world.failing = set()
    with open_warehouse(world.settings) as connection:
        assert make_plan(connection, world.settings).full_refresh
        order = "select state from control.builds order by started_at"
        states = [state for (state,) in connection.execute(order).fetchall()]
    assert states == ["published", "published", "blocked"]
    assert nothing_new(world.settings) is None


def test_verdicts_of_the_run_just_judged_stay_when_the_clock_went_back(world: World) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    with open_warehouse(world.settings) as connection:
        for number in range(3):
            verdict = outcome(f"run{number}", "raw", success=True)
            moment = now - timedelta(days=number)
            record(
                connection,
                [type(verdict)(**{**vars(verdict), "checked_at": moment})],
                runs_kept=2,
            )
        kept = connection.execute("select distinct run_id from control.validations").fetchall()
    assert ("run2",) in kept


def test_a_full_disk_is_one_error_and_room_is_all_that_is_needed(
    world: World, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs, to have a disk that is full")
    try:
        home = disk / "state"
        shutil.copytree(world.settings.home, home, symlinks=True)
        settings = world.settings.model_copy(update={"home": home})
        world.settings = settings
        world.land([event(4, "2026-01-03")])
        filler = disk / "filler"
        left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with filler.open("wb") as handle:
            handle.write(bytes(max(0, left - (300 << 10))))
        with pytest.raises((TandemError, OSError), match=r"(?i)space|memory|write|disk"):
            run_build(settings)
        assert world.served() == SERVED
        filler.unlink()
        run_build(settings)
        assert world.served()[:2] == SERVED
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
