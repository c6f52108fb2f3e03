"""Dagster's event log in one SQLite file that is opened once.

Dagster's own opens, commits with a sync and closes a database several times an event: a build has
thousands (three a check), which cost a minute. Losing the last events of a run when the machine
loses power costs nothing: what decides is in the warehouse.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool


class EventLog(ConsolidatedSqliteEventLogStorage):
    """Named by the dagster.yaml that `defs.resources.instance_path` writes."""

    @cached_property
    def _engine(self) -> Engine:
        # A pool of one connection a thread would close those of the sixth thread's elders, and
        # the webserver has dozens.
        engine = create_engine(
            self._conn_string,
            poolclass=QueuePool,
            max_overflow=-1,
            connect_args={"timeout": 30, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _fast(connection: Any, _: object) -> None:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = off")

        return engine

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def delete_events_for_run(self, conn: Connection, run_id: str) -> None:
        """Forget a run's events, and what its checks found unless it is the last that is known.

        Dagster keeps what every check ever found: a megabyte a build.
        """
        super().delete_events_for_run(conn, run_id)
        conn.execute(
            text(
                """
                delete from asset_check_executions
                where run_id = :run_id and exists (
                    select 1 from asset_check_executions as later
                    where
                        later.asset_key = asset_check_executions.asset_key
                        and later.check_name = asset_check_executions.check_name
                        and later.id > asset_check_executions.id
                )
                """
            ),
            {"run_id": run_id},
        )

    def has_table(self, table_name: str) -> bool:
        """Whether the table is there; asked before every event, so it is remembered."""
        if table_name not in self._tables:
            with self._engine.connect() as connection:
                if not self._engine.dialect.has_table(connection, table_name):
                    return False
            self._tables.add(table_name)
        return True

    @cached_property
    def _tables(self) -> set[str]:
        return set()

    def dispose(self) -> None:
        """Close the file."""
        super().dispose()  # type: ignore[no-untyped-call]
        self._engine.dispose()
