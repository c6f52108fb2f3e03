"""Dagster's event log forgets what nobody reads any more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestration.defs.storage import EventLog


def test_a_forgotten_run_leaves_only_what_no_later_run_has_found(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    rows = [("first", "a"), ("first", "only here"), ("second", "a"), ("third", "a")]
    with closing(sqlite3.connect(tmp_path / "event_log.db")) as connection:
        connection.executemany(
            "insert into asset_check_executions (run_id, asset_key, check_name)"
            " values (?, ?, 'gate')",
            rows,
        )
        connection.commit()
        for run_id in ("first", "second", "nobody"):
            log.delete_events(run_id)
        left = connection.execute(
            "select run_id, asset_key from asset_check_executions order by id"
        ).fetchall()
    log.dispose()
    assert left == [("first", "only here"), ("third", "a")]
