from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from data_quality import duckdb_readonly


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema s")
        connection.execute(
            "create table s.t as select n, 'planted-' || n as word, now()::timestamp as at"
            " from range(5) as numbers (n)"
        )
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[sa.Engine]:
    with (
        duckdb.connect(str(path), read_only=True) as connection,
        duckdb_readonly.reading(path, connection) as url,
    ):
        yield sa.create_engine(url)


def test_a_result_outlives_its_connection(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        result = connection.execute(sa.text("select n from s.t order by n"))
        connection.rollback()
        assert connection.execute(sa.text("select 1")).scalar_one() == 1
    assert [row.n for row in result.fetchmany(2)] == [0, 1]
    assert result.fetchone() == (2,)


def test_reflection_has_duckdbs_own_types(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("t", "s")}
    assert columns == {"n": "BIGINT", "word": "VARCHAR", "at": "TIMESTAMP"}
    assert inspector.has_table("t", schema="s")
    assert not inspector.has_table("nothing", schema="s")
    assert "s" in inspector.get_schema_names()
    assert inspector.get_table_names(schema="s") == ["t"]


def test_expressions_and_parameters(engine: sa.Engine) -> None:
    table = sa.table("t", sa.column("n"), schema="s")
    query = sa.select(sa.func.count()).select_from(table).where(table.c.n >= 3)
    with engine.connect() as connection:
        assert connection.execute(query).scalar_one() == 2


def test_nothing_is_written(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.text("delete from s.t"))


def test_an_error_names_what_is_missing_but_quotes_no_value(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(sa.exc.ProgrammingError, match="nope"):
            connection.execute(sa.text("select nope from s.t"))
        with pytest.raises(sa.exc.OperationalError) as raised:
            connection.execute(sa.text("select cast(word as bigint) from s.t"))
    assert "planted" not in str(raised.value)
    assert "ConversionException" in str(raised.value)


def test_a_writer_may_open_the_file_afterwards(path: Path) -> None:
    connection = duckdb.connect(str(path), read_only=True)
    with duckdb_readonly.reading(path, connection) as url:
        engine = sa.create_engine(url)
        with engine.connect() as reader:
            reader.execute(sa.text("select 1"))
        with pytest.raises(RuntimeError, match="being read by another run"):
            duckdb_readonly.reading(path, connection).__enter__()
    connection.close()
    with duckdb.connect(str(path)) as writer:
        writer.execute("insert into s.t values (9, 'x', now())")
    with pytest.raises(sa.exc.OperationalError, match="not open for reading"):
        sa.create_engine(url).connect()
