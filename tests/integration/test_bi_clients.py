"""The published file and its Parquet, read by the tools that analysts use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestration.settings import Settings
from tests.integration.bi_reader import LOCKED
from tests.integration.bi_world import (
    ANSWERS,
    CHINESE,
    FIGURES,
    ROOT,
    ROWS,
    Figure,
    assert_whole,
    column_types,
    fill,
    mart_tables,
    plain,
    publish_world,
    versioned,
)
from tests.support import test_settings

READER = Path(__file__).with_name("bi_reader.py")
CLIENTS = ROOT / ".clients"
EXPECTED = [plain(answer) for answer in ANSWERS]
TYPES = {
    "varchar": sa.String,
    "bigint": sa.BigInteger,
    "double": sa.Float,
    "boolean": sa.Boolean,
    "date": sa.Date,
    "timestamp": sa.DateTime,
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = test_settings(tmp_path_factory.mktemp("bi"))
    fill(settings, ROWS)
    publish_world(settings)
    return settings


@pytest.fixture(scope="module")
def parquet(settings: Settings) -> Path:
    return (settings.serving_path.parent / "parquet" / "current").resolve()


def engine_of(version: str) -> dict[str, str]:
    """The environment in which Python finds this DuckDB before the one that is built in."""
    if version == "built in":
        return dict(os.environ)
    folder = CLIENTS / f"duckdb-{version}"
    if not (folder / "duckdb").is_dir():
        pytest.skip(f"DuckDB {version} is not in {folder}: run `make clients`")
    return os.environ | {"PYTHONPATH": str(folder)}


def documented(name: str, settings: Settings) -> dict[str, Any]:
    """What a Python example of docs/bi.md leaves behind, run on this version."""
    text = (ROOT / "docs" / "bi.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- example: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    serving = str(settings.serving_path.parent)
    exec(compile(code.replace("/srv/tandem/serving", serving), name, "exec"), names)
    return names


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    engine = documented("sqlalchemy", settings)["engine"]
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def tables(engine: sa.Engine) -> dict[str, sa.Table]:
    """Every mart, reflected."""
    return {
        name: sa.Table(table, sa.MetaData(), schema=schema, autoload_with=engine)
        for name in ROWS
        for schema, table in [name.split(".")]
    }


@pytest.mark.parametrize("name", ["duckdb", "pandas", "polars", "pyarrow"])
def test_the_guide_s_examples_run(settings: Settings, name: str) -> None:
    assert documented(name, settings)["answer"] == 70


@pytest.mark.parametrize("version", ["built in", "1.4", "2.0"])
def test_duckdb_of_any_version_reads_the_same_figures(settings: Settings, version: str) -> None:
    ended = subprocess.run(
        [sys.executable, str(READER), "figures", str(settings.serving_path)],
        input=json.dumps([figure.sql for figure in FIGURES]),
        env=engine_of(version),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    if version != "built in":
        assert found["engine"].startswith(version)
    texts = [
        None if kind == "NoneType" else exact if kind == "float" else text.replace(" ", "T")
        for kind, text, exact in found["answers"]
    ]
    assert texts == [one and one.replace(" ", "T") for one in EXPECTED]
    assert found["refused"] == ["copy", "select", "attach", "set", "create", "delete"]
    assert "|" in found["words"]
    assert not settings.serving_path.with_name("marts.duckdb.csv").exists()


def test_sqlalchemy_reflects_schemas_columns_types_and_words(
    engine: sa.Engine, tables: dict[str, sa.Table]
) -> None:
    inspector = sa.inspect(engine)
    schemas = {name.split(".")[-1].strip('"') for name in inspector.get_schema_names()}
    assert {"dim", "users", "engagement", "revenue", "quality"} <= schemas
    for mart in mart_tables():
        assert mart.name in inspector.get_table_names(schema=mart.schema)
        table = tables[mart.full_name]
        declared = column_types(mart.full_name)
        assert [column.name for column in table.columns] == list(declared)
        for column in table.columns:
            kind = declared[column.name]
            assert isinstance(column.type, TYPES[kind]), (mart.full_name, column.name)
            assert column.comment == mart.columns[column.name], (mart.full_name, column.name)
        assert table.comment == mart.description


def test_sqlalchemy_s_own_queries_give_the_same_figures(
    engine: sa.Engine, tables: dict[str, sa.Table]
) -> None:
    with engine.connect() as connection:
        answers = [connection.scalar(_select(tables[figure.table], figure)) for figure in FIGURES]
    assert [plain(answer) for answer in answers] == EXPECTED


def _select(table: sa.Table, figure: Figure) -> sa.Select[Any]:
    column: Any = table.c[figure.column] if figure.column else None
    asked: dict[str, Any] = {"rows": sa.func.count()}
    if column is not None:
        asked |= {
            "sum": sa.cast(sa.func.sum(column), sa.BigInteger),
            "min": sa.func.min(column),
            "max": sa.func.max(column),
            "distinct": sa.func.count(sa.distinct(column)),
            "nulls": sa.func.count().filter(column.is_(None)),
            "major": sa.cast(sa.func.sum(column) * sa.literal_column("0.01"), sa.Numeric(20, 2)),
        }
    query = sa.select(asked[figure.how]).select_from(table)
    return query.where(*(table.c[name] == value for name, value in figure.where.items()))


def test_sqlalchemy_can_write_and_read_nothing_else(settings: Settings, engine: sa.Engine) -> None:
    warehouse = settings.warehouse_path
    for statement in (
        "create table main.mine (a integer)",
        "update dim.groups set name = ''",
        f"attach '{warehouse}' as warehouse (read_only)",
        f"select * from read_blob('{warehouse}')",
        "install httpfs",
        "set lock_configuration = false",
    ):
        with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
            connection.execute(sa.text(statement)).fetchall()


def test_a_pool_keeps_the_version_that_it_opened(tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    fill(settings, versioned(1, rows=1))

    def publish_again() -> None:
        publish_world(settings, names=versioned(1))

    publish_again()
    arguments: dict[str, Any] = {"connect_args": {"read_only": True, "config": LOCKED}}
    url = f"duckdb:///{settings.serving_path}"
    ask = sa.text("select version from main._publish")
    pooled = sa.create_engine(url, poolclass=sa.pool.QueuePool, **arguments)
    with pooled.connect() as connection:
        assert connection.scalar(ask) == 1
    publish_again()
    with pooled.connect() as connection:
        assert connection.scalar(ask) == 1
    pooled.dispose()
    fresh = sa.create_engine(url, poolclass=sa.pool.NullPool, **arguments)
    for version in (2, 3):
        with fresh.connect() as connection:
            assert connection.scalar(ask) == version
        publish_again()


def test_pandas_reads_the_parquet(parquet: Path) -> None:
    import pandas as pd

    def answer(figure: Figure) -> Any:
        frame = pd.read_parquet(_file(parquet, figure), dtype_backend="pyarrow")
        for name, value in figure.where.items():
            frame = frame[frame[name] == value]
        if figure.how == "rows":
            return len(frame)
        column = frame[figure.column]
        if figure.how == "nulls":
            return int(column.isna().sum())
        if figure.how == "distinct":
            return int(column.nunique())
        if figure.how in ("sum", "major"):
            return _total(figure, int(column.sum()))
        found = getattr(column, figure.how)()
        if found is None or pd.isna(found):
            return None
        return found.to_pydatetime() if isinstance(found, pd.Timestamp) else found

    assert [plain(answer(figure)) for figure in FIGURES] == EXPECTED


def test_polars_reads_the_parquet(parquet: Path) -> None:
    pl = pytest.importorskip("polars", reason="polars is in the extra `bench`")

    def answer(figure: Figure) -> Any:
        frame = pl.scan_parquet(_file(parquet, figure))
        for name, value in figure.where.items():
            frame = frame.filter(pl.col(name) == value)
        if figure.how == "rows":
            return frame.select(pl.len()).collect().item()
        column = pl.col(figure.column)
        asked = {
            "nulls": column.null_count(),
            "distinct": column.drop_nulls().n_unique(),
            "sum": column.sum(),
            "major": column.sum(),
            "min": column.min(),
            "max": column.max(),
        }
        found = frame.select(asked[figure.how]).collect().item()
        return _total(figure, found) if figure.how in ("sum", "major") else found

    assert [plain(answer(figure)) for figure in FIGURES] == EXPECTED


def test_pyarrow_reads_the_parquet(parquet: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def answer(figure: Figure) -> Any:
        table = pq.read_table(_file(parquet, figure))
        for name, value in figure.where.items():
            table = table.filter(pc.equal(table[name], value))
        if figure.how == "rows":
            return table.num_rows
        column = table[figure.column]
        if figure.how == "nulls":
            return column.null_count
        if figure.how == "distinct":
            return pc.count_distinct(column).as_py()
        if figure.how in ("sum", "major"):
            return _total(figure, pc.sum(column).as_py())
        return getattr(pc, figure.how)(column).as_py()

    assert [plain(answer(figure)) for figure in FIGURES] == EXPECTED


def test_a_text_is_the_same_in_every_file(parquet: Path) -> None:
    import pyarrow.parquet as pq

    names = pq.read_table(parquet / "dim" / "groups.parquet", columns=["name"]).to_pydict()
    assert CHINESE in names["name"]
    about = pq.read_table(parquet / "_publish.parquet").to_pylist()[0]
    assert (about["reporting_currency"], about["currency_exponent"]) == ("CNY", 2)
    assert (about["timezone"], about["as_of_date"]) == ("Asia/Shanghai", date(2026, 3, 29))


def _file(parquet: Path, figure: Figure) -> Path:
    schema, name = figure.table.split(".")
    return parquet / schema / f"{name}.parquet"


def _total(figure: Figure, total: int) -> int | Decimal:
    return total if figure.how == "sum" else Decimal(total) / Decimal(100)


def test_ten_readers_of_five_kinds_during_ten_publishes_see_whole_versions(
    tmp_path: Path,
) -> None:
    # A version's folder goes three versions later; ten come in seconds here.
    settings = test_settings(tmp_path, snapshots_kept=20)
    fill(settings, versioned(1))
    publish_world(settings, names=versioned(1))
    stop = tmp_path / "stop"
    file, folder = settings.serving_path, settings.serving_path.parent / "parquet" / "current"
    others = [name for name in ("1.4", "2.0") if (CLIENTS / f"duckdb-{name}" / "duckdb").is_dir()]
    kinds = [
        *[("duckdb", file, name) for name in others],
        *[("duckdb", file, "built in")] * (5 - len(others)),
        *[("sqlalchemy", file, "built in")] * 2,
        *[("parquet", folder, "built in")] * 2,
        ("parquet", folder, others[-1] if others else "built in"),
    ]
    readers = [
        subprocess.Popen(
            [sys.executable, str(READER), "loop", kind, str(place), str(stop)],
            env=engine_of(version),
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind, place, version in kinds
    ]
    try:
        for version in range(2, 12):
            fill(settings, versioned(version))
            assert publish_world(settings, names=versioned(1)).version == version
    finally:
        stop.touch()
        found = [json.loads(reader.communicate(timeout=120)[0]) for reader in readers]
    assert len(found) == 10
    assert [one["errors"] for one in found if one["errors"]] == []
    for one in found:
        assert_whole(one["seen"], last=11)
