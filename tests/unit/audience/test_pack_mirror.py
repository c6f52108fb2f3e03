"""A warehouse that was made anew takes its packs back from what readers were shown."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.audience.interface import AttackContext, AttackResult
from orchestration.audience.ledger import LedgerError, read
from orchestration.audience.mirror import keep_packs
from orchestration.audience.release import build_pack, list_packs, read_balance
from orchestration.errors import TandemError
from orchestration.ingest.tables import create_tables
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.audience.pack_world import COUNTS_PACK, make_world

SERVED = {
    "release_ledger": "select * from warehouse.control.release_ledger",
    "packs": "select * exclude (entry) from warehouse.control.audience_packs",
    "pack_rows": "select * from warehouse.control.audience_rows",
    "pack_counts": "select * from warehouse.control.audience_counts",
    "attacks": "select * from warehouse.control.audience_attacks",
}


def _passing(_: AttackContext) -> list[AttackResult]:
    return [AttackResult("stub", 0.0, 1.0, passed=True)]


def _publish(settings: Settings) -> Path:
    path = settings.serving_path
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"attach '{settings.warehouse_path}' as warehouse (read_only)")
        connection.execute("create schema audience")
        for name, query in SERVED.items():
            connection.execute(f"create table audience.{name} as {query}")
    return path


@pytest.fixture
def released(tmp_path: Path) -> Settings:
    settings = make_world(tmp_path, 300, {"demand": COUNTS_PACK})
    build_pack(settings, "demand", attacks=_passing)
    return settings


def test_ledger_and_packs_come_back_whole(released: Settings) -> None:
    served = _publish(released)
    with open_warehouse(released) as connection:
        rows = read(connection)
        assert keep_packs(connection, served) == 0
        entries = connection.execute("select * from control.audience_packs").fetchall()
    packs, balance = list_packs(released), read_balance(released)
    released.warehouse_path.unlink()
    with open_warehouse(released) as connection:
        create_tables(connection)
        assert keep_packs(connection, served) == 3 + 1
        assert keep_packs(connection, served) == 0
        assert read(connection) == rows
        assert connection.execute("select * from control.audience_packs").fetchall() == entries
        counts = "select count(*) from control.audience_counts"
        assert connection.execute(counts).fetchall()[0][0] > 0
    assert list_packs(released) == packs
    assert read_balance(released) == balance


def test_a_ledger_without_what_was_served_is_refused(released: Settings) -> None:
    served = _publish(released)
    with open_warehouse(released) as connection:
        connection.execute("delete from control.release_ledger where seq = 4")
        with pytest.raises(TandemError, match="shows step 4 of the release ledger"):
            keep_packs(connection, served)


def test_a_served_ledger_that_was_altered_is_not_taken(released: Settings) -> None:
    served = _publish(released)
    with duckdb.connect(str(served)) as connection:
        connection.execute("update audience.release_ledger set epsilon = 0 where seq = 2")
    released.warehouse_path.unlink()
    with open_warehouse(released) as connection:
        create_tables(connection)
        with pytest.raises(TandemError, match="tampered with at row 2") as caught:
            keep_packs(connection, served)
        assert not isinstance(caught.value, LedgerError)
        assert read(connection) == []


def test_without_anything_served_there_is_nothing_to_take(released: Settings) -> None:
    with open_warehouse(released) as connection:
        assert keep_packs(connection, released.home / "serving" / "marts.duckdb") == 0
