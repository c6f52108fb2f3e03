"""The inputs of dbt as Parquet: which tables and columns, and what is refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.contracts import contracts
from orchestration.engines.mirror import UNREAD_COLUMNS, mirror, mirror_root
from orchestration.errors import TandemError
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse
from tests.support import fill_raw, test_settings

NODE = {"source": "s", "node_id": "n", "updated_at": "2026-01-01T00:00:00Z", "level": "plaza"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = test_settings(tmp_path)
    with open_warehouse(settings) as connection:
        fill_raw(connection, {"community/nodes": [NODE]})
        connection.execute("create schema seeds")
        connection.execute("create table seeds.currencies as select 'CNY' as currency")
    return settings


def test_every_table_is_written_without_what_no_model_reads(settings: Settings) -> None:
    written = {f"{table.schema}.{table.name}": table.rows for table in mirror(settings)}
    assert written["raw.community__nodes"] == 1
    assert written["seeds.currencies"] == 1
    assert {f"raw.{contract.table}" for contract in contracts().values()} <= set(written)
    root = mirror_root(settings)
    assert root.parent.stat().st_mode & 0o077 == 0
    for table in written:
        path = root.joinpath(*table.split(".")) / "part-0.parquet"
        names = duckdb.sql(f"select name from parquet_schema({literal(path)})").fetchall()
        assert not UNREAD_COLUMNS & {name for (name,) in names}


def test_a_mirror_is_replaced_whole(settings: Settings) -> None:
    mirror(settings)
    left = mirror_root(settings) / "raw" / "gone" / "part-0.parquet"
    left.parent.mkdir()
    left.write_bytes(b"old")
    mirror(settings)
    assert not left.parent.exists()
    assert [path.name for path in mirror_root(settings).parent.iterdir()] == ["mirror"]


def test_a_type_that_engines_read_otherwise_is_refused_and_the_old_mirror_stays(
    settings: Settings,
) -> None:
    mirror(settings)
    with open_warehouse(settings) as connection:
        connection.execute("create table control.odd as select 1::hugeint as many")
    with pytest.raises(TandemError, match=r"control\.odd cannot be mirrored: many HUGEINT"):
        mirror(settings)
    assert (mirror_root(settings) / "seeds" / "currencies" / "part-0.parquet").exists()


def test_a_warehouse_without_seeds_says_what_to_do(tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    with open_warehouse(settings) as connection:
        fill_raw(connection, {})
    with pytest.raises(TandemError, match="no seeds yet: run `tandem build` first"):
        mirror(settings)
