"""What a landing refuses, and in which words."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import pytest

from orchestration import durable
from orchestration.erasure.run import erase
from orchestration.errors import LockedError, SettingsError, TandemError
from orchestration.ingest import ingest, replay_quarantine
from orchestration.land import join, land, store, worker
from orchestration.land.board import Plan, take_claim
from orchestration.land.run import landing_board
from orchestration.land.store import move_in, rebuild_root, version_folder, versions
from orchestration.land.worker import help_until_over
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import EVENTS, as_jsonl, event, put, query, settings_at


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    made = settings_at(tmp_path, raw_storage="parquet", lock_wait_seconds=0)
    put(made, EVENTS, "a.jsonl", as_jsonl([event(1), event(2)]))
    return made


def folder_of(config: Settings) -> Path:
    with open_warehouse(config, read_only=True) as connection:
        return version_folder(config, versions(connection)[EVENTS])


def test_it_needs_the_setting_that_builds_go_by(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="raw_storage"):
        land(settings_at(tmp_path))


def test_rows_in_tables_are_neither_hidden_nor_mixed(config: Settings) -> None:
    native = config.model_copy(update={"raw_storage": "warehouse"})
    ingest(native)
    with pytest.raises(TandemError, match="holds raw records itself"):
        land(config)
    assert query(config, "select count(*) from raw.community__events") == [(2,)]


def test_tables_do_not_take_what_views_would_hide(config: Settings) -> None:
    land(config)
    native = config.model_copy(update={"raw_storage": "warehouse"})
    put(native, EVENTS, "b.jsonl", as_jsonl([event(3)]))
    with pytest.raises(TandemError, match="lie as Parquet"):
        ingest(native)
    with pytest.raises(TandemError, match="erasing a person is not possible"):
        erase(config, "app", "a1")
    native.warehouse_path.unlink()
    ingest(native)
    with pytest.raises(TandemError, match="while landed Parquet lies in"):
        erase(native, "app", "a1")
    store.tidy(native, {})
    with pytest.raises(TandemError, match="run `tandem build` first"):
        erase(native, "app", "a1")


def test_what_a_full_refresh_landed_takes_the_old_one_s_place(config: Settings) -> None:
    land(config)
    old = folder_of(config)
    rebuilt = config.model_copy(
        update={
            "home": config.home / "rebuild",
            "landing": config.landing_path,
            "landed": rebuild_root(config),
        }
    )
    land(rebuilt)
    with open_warehouse(rebuilt) as connection:
        move_in(connection, rebuilt, config)
    assert query(config, "select count(*) from raw.community__events") == [(2,)]
    durable.replace(rebuilt.warehouse_path, config.warehouse_path)
    put(config, EVENTS, "b.jsonl", as_jsonl([event(3)]))
    land(config)
    assert query(config, "select count(*) from raw.community__events") == [(3,)]
    assert len(list(old.parent.glob("v*"))) == 2


def test_a_folder_that_is_not_as_it_was_left_is_named(config: Settings) -> None:
    land(config)
    put(config, EVENTS, "b.jsonl", as_jsonl([event(3)]))
    file = next(folder_of(config).rglob("*.parquet"))
    data = file.read_bytes()
    foreign = file.with_name("mine.parquet")
    foreign.write_bytes(data)
    with pytest.raises(TandemError, match=r"mine\.parquet is no file of this landing: move"):
        land(config)
    foreign.unlink()
    file.unlink()
    with pytest.raises(TandemError, match=r"b000001-0\.parquet is missing: put it back"):
        land(config)
    file.write_bytes(data[:-3])
    with pytest.raises(TandemError, match=r"b000001-0\.parquet has \d+ bytes, not \d+"):
        land(config)
    assert query(config, "select count(*) from control.files") == [(1,)]


def test_a_second_leader_is_told_who_leads(config: Settings) -> None:
    board = landing_board(config)
    board.prepare()
    assert take_claim(board.root / "coordinator", "x") is not None
    with pytest.raises(LockedError, match=r"is led by process \d+ on .*--join"):
        land(config)


def test_nobody_to_help_is_no_error(config: Settings) -> None:
    assert join(config) is None


def test_who_joins_does_its_part(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    land(config)
    first = event(2, received_at="2026-05-02T00:00:00Z")
    put(config, EVENTS, "b.jsonl", as_jsonl([first, event(3)]))
    # Another machine may see the shared folders elsewhere.
    elsewhere = config.home / "elsewhere"
    elsewhere.symlink_to(config.home)
    helping = config.model_copy(update={"home": elsewhere, "lock_wait_seconds": 30.0})
    leader, step = get_ident(), worker.Worker.step

    def leave_all(self: worker.Worker, plan: Plan) -> bool:
        if get_ident() == leader:
            time.sleep(0.01)
            return False
        return step(self, plan)

    monkeypatch.setattr(worker.Worker, "step", leave_all)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(join, helping)
        report = land(config)
        assert done.result()
    assert (report.totals[EVENTS].accepted, report.totals[EVENTS].duplicates) == (2, 0)
    assert query(config, "select accepted, duplicates from control.files order by path") == [
        (1, 1),
        (2, 0),
    ]


def test_a_worker_of_another_version_takes_nothing(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = landing_board(config)
    seen = []

    def other(*_: object) -> bool:
        monkeypatch.setattr(worker, "tools", lambda _: "other tools")
        with pytest.raises(TandemError, match="this machine other tools"):
            help_until_over(config, board)
        monkeypatch.undo()
        seen.append(True)
        raise TandemError("enough")

    monkeypatch.setattr(worker.Worker, "step", other)
    with pytest.raises(TandemError, match="enough"):
        land(config)
    assert seen
    assert land(config).totals[EVENTS].accepted == 2
    assert not board.root.exists()


def test_quarantine_is_not_replayed_into_views(config: Settings) -> None:
    land(config)
    with pytest.raises(TandemError, match="replaying quarantine is not possible"):
        replay_quarantine(config)
