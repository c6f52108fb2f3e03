"""Clients of a published version, each as a program of its own: run with a mode and arguments.

`figures FILE` reads queries from stdin and answers them; `loop KIND PLACE STOP` reads the world
over and over until STOP exists, and says what it saw. It imports nothing of Tandem, so that any
DuckDB may run it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCKED = {"enable_external_access": "false", "lock_configuration": "true"}
"""What keeps a reader's SQL inside the file; docs/bi.md says to give it."""
WHOLE = {
    "version": "select max(version) from main._publish",
    "active": "select min(dau), max(dau), count(*) from users.daily_active",
    "money": "select min(gmv_minor), max(gmv_minor), count(*) from revenue.daily",
    "again": "select max(version) from main._publish",
}
Ask = Callable[[str], tuple[Any, ...]]


def figures(path: str) -> dict[str, Any]:
    """Answers to the queries on stdin, what a locked reader was refused, and the words."""
    import duckdb

    connection = duckdb.connect(path, read_only=True, config=LOCKED)
    answers = [
        (type(value).__name__, str(value), repr(value))
        for (value,) in (connection.execute(query).fetchone() for query in json.load(sys.stdin))
    ]
    refused = []
    for query in (
        f"copy dim.groups to '{path}.csv'",
        "select * from read_text('/etc/hostname')",
        f"attach '{Path(path).parents[1] / 'warehouse.duckdb'}' as other (read_only)",
        "set enable_external_access = true",
        "create table main.mine (a integer)",
        "delete from dim.groups",
    ):
        try:
            connection.execute(query).fetchall()
        except duckdb.Error:
            refused.append(query.split()[0])
    words = connection.execute(
        "select comment from duckdb_columns() "
        "where schema_name = 'dim' and table_name = 'groups' and column_name = 'name'"
    ).fetchone()
    connection.close()
    return {
        "engine": duckdb.__version__,
        "answers": answers,
        "refused": refused,
        "words": words and words[0],
    }


@contextmanager
def _duckdb(path: str) -> Iterator[Ask]:
    import duckdb

    with duckdb.connect(path, read_only=True, config=LOCKED) as connection:
        yield lambda query: connection.execute(query).fetchone() or ()


@contextmanager
def _parquet(folder: str) -> Iterator[Ask]:
    """Queries on the files of one version: `current` is followed once, not once a file."""
    import duckdb

    version = Path(folder).resolve()

    def ask(query: str) -> tuple[Any, ...]:
        for table in ("main._publish", "users.daily_active", "revenue.daily"):
            file = version / f"{table.removeprefix('main.').replace('.', '/')}.parquet"
            query = query.replace(table, f"read_parquet('{file}')")
        return connection.execute(query).fetchone() or ()

    with duckdb.connect() as connection:
        yield ask


@contextmanager
def _psycopg(dsn: str) -> Iterator[Ask]:
    import psycopg

    with psycopg.connect(dsn) as connection:
        yield lambda query: connection.execute(query.replace("main.", "")).fetchone() or ()


def _sqlalchemy(path: str) -> Callable[[str], Any]:
    import sqlalchemy as sa

    engine = sa.create_engine(
        f"duckdb:///{path}",
        connect_args={"read_only": True, "config": LOCKED},
        poolclass=sa.pool.NullPool,
    )

    @contextmanager
    def opened(_: str) -> Iterator[Ask]:
        with engine.connect() as connection:
            yield lambda query: tuple(connection.execute(sa.text(query)).one())

    return opened


def loop(kind: str, place: str, stop: str) -> dict[str, Any]:
    """Every distinct sight of the world in several statements of one connection, and errors."""
    opener: Callable[[str], Any] = (
        _sqlalchemy(place)
        if kind == "sqlalchemy"
        else {"duckdb": _duckdb, "parquet": _parquet, "psycopg": _psycopg}[kind]
    )
    seen: set[str] = set()
    errors: list[str] = []
    count = 0
    last = False
    while not last:
        last = os.path.exists(stop)  # noqa: PTH110
        began = time.monotonic()
        try:
            with opener(place) as ask:
                seen.add(json.dumps({name: list(ask(query)) for name, query in WHOLE.items()}))
            count += 1
        except Exception as error:  # noqa: BLE001
            errors.append(f"{type(error).__name__}: {error}")
        # Ten of these share a machine with the publishes that they watch.
        time.sleep(0.1 + 5 * (time.monotonic() - began))
    return {"errors": errors, "seen": [json.loads(one) for one in seen], "count": count}


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps({"figures": figures, "loop": loop}[mode](*arguments)))
