"""A read-only SQLAlchemy dialect for DuckDB, as small as Great Expectations lets it be.

`duckdb+readonly:///path` reads one file in UTC. It exists because Great Expectations reads a
result after it gave the connection back: duckdb-engine's cursor is the connection, so the
rollback wipes the result and every metric fails, or compares nothing with nothing and passes.
Here a cursor fetches its rows when it executes. Delete this when Great Expectations ships DuckDB.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import pool, types
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Connection, default

_SQL_TYPES: dict[str, type[types.TypeEngine[Any]]] = {
    "BIGINT": types.BIGINT,
    "BOOLEAN": types.BOOLEAN,
    "DATE": types.DATE,
    "DOUBLE": types.DOUBLE,
    "INTEGER": types.INTEGER,
    "TIMESTAMP": types.TIMESTAMP,
    "VARCHAR": types.VARCHAR,
}
# Errors about names and syntax quote our SQL; any other may quote a value of the data.
_HARMLESS = (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException)


class Error(Exception):
    """Base of what this driver raises; its text never quotes a value of the data."""


class DatabaseError(Error):
    """The statement failed."""


class ProgrammingError(DatabaseError):
    """The statement names something that is not there, or is no SQL."""


class OperationalError(DatabaseError):
    """The statement failed while it ran."""


class Cursor:
    """A DB-API cursor that holds its whole result; rules return counts, so results are small."""

    arraysize = 1

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement and fetch its rows. Raises ProgrammingError or OperationalError."""
        self._rows, self.description = self._session.fetch(statement, parameters)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = arraysize) -> list[tuple[Any, ...]]:
        """The next `size` rows."""
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        taken, self._rows = self._rows, []
        return taken

    def close(self) -> None:
        """Forget the rows; the description stays, for Great Expectations reads it late."""
        self._rows = []


class DbapiConnection:
    """A DB-API connection: a view of the session, which outlives it."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self._session)

    def commit(self) -> None:
        """Nothing to do: nothing is written."""

    def rollback(self) -> None:
        """Nothing to do: nothing is written."""

    def close(self) -> None:
        """Nothing to do: the session closes the file."""


def read(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: Sequence[Any] = ()
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]] | None]:
    """A statement's rows and their description. Raises ProgrammingError or OperationalError."""
    try:
        result = connection.execute(statement, list(parameters) or None)
        return result.fetchall(), result.description
    except _HARMLESS as error:
        raise ProgrammingError(str(error).splitlines()[0]) from None
    except duckdb.Error as error:
        raise OperationalError(type(error).__name__) from None


class _Session:
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def fetch(
        self, statement: str, parameters: Sequence[Any]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]] | None]:
        with self._lock:
            return read(self.connection, statement, parameters)


_SESSIONS: dict[str, _Session] = {}


@contextmanager
def reading(path: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Engines for this path read through `connection` while the context lasts.

    Yields the URL to give to SQLAlchemy. The caller opens `connection` as it needs (key, memory
    limit, attached files) and closes it afterwards: DuckDB refuses a writer in the same process
    while a reader with another configuration is open.
    """
    key = str(path.absolute())
    if key in _SESSIONS:
        raise RuntimeError(f"{path} is being read by another run in this process")
    _SESSIONS[key] = _Session(connection)
    try:
        yield f"duckdb+readonly:///{key}"
    finally:
        del _SESSIONS[key]


class Dbapi:
    """What SQLAlchemy needs of a driver's module."""

    paramstyle = "qmark"
    apilevel = "2.0"
    threadsafety = 1
    Error = Error
    DatabaseError = DatabaseError
    ProgrammingError = ProgrammingError
    OperationalError = OperationalError

    @staticmethod
    def connect(path: str) -> DbapiConnection:
        """A view of the session that `reading` opened for this path; OperationalError if none."""
        session = _SESSIONS.get(path)
        if session is None:
            raise OperationalError(f"{path} is not open for reading")
        return DbapiConnection(session)


class ReadOnlyDialect(default.DefaultDialect):
    """Enough of DuckDB for SELECT and for the reflection that Great Expectations does."""

    name = "duckdb"
    driver = "readonly"
    supports_statement_cache = True
    supports_native_boolean = True
    default_paramstyle = "qmark"
    default_schema_name = "main"

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver."""
        return Dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:  # noqa: ARG003
        """One connection, used by all."""
        return pool.StaticPool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """The path of the URL is the file's."""
        return [url.database], {}

    def initialize(self, connection: Connection) -> None:
        """DuckDB needs no questions asked on the first connect."""

    def has_table(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ARG002
    ) -> bool:
        """Whether a table or view of that name is there."""
        return bool(self.get_columns(connection, table_name, schema))

    def get_columns(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ARG002
    ) -> list[Any]:
        """The columns of a table or view in order; empty if there is none."""
        rows = connection.exec_driver_sql(
            """
            select column_name, data_type, is_nullable
            from duckdb_columns()
            where database_name = current_database() and schema_name = ? and table_name = ?
            order by column_index
            """,
            (schema or "main", str(table_name)),
        )
        return [
            {
                "name": name,
                "type": _SQL_TYPES.get(str(kind), types.NullType)(),
                "nullable": nullable,
                "default": None,
            }
            for name, kind, nullable in rows
        ]

    def get_pk_constraint(self, *args: Any, **kw: Any) -> Any:  # noqa: ARG002
        """None: the warehouse tests uniqueness and declares no keys."""
        return {"constrained_columns": [], "name": None}

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:  # noqa: ARG002
        """Schemas of the file that is read."""
        rows = connection.exec_driver_sql(
            "select schema_name from duckdb_schemas() where database_name = current_database()"
        )
        return [str(name) for (name,) in rows]

    def get_table_names(
        self,
        connection: Connection,
        schema: str | None = None,
        **kw: Any,  # noqa: ARG002
    ) -> list[str]:
        """Tables and views of a schema."""
        rows = connection.exec_driver_sql(
            """
            select table_name from information_schema.tables
            where table_catalog = current_database() and table_schema = ?
            """,
            (schema or "main",),
        )
        return [str(name) for (name,) in rows]

    def get_view_names(self, *args: Any, **kw: Any) -> list[str]:  # noqa: ARG002
        """Empty: `get_table_names` has the views."""
        return []


registry.register("duckdb.readonly", __name__, "ReadOnlyDialect")
