"""Where the tables that Spark made stand in a home, and which relations read them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb

from orchestration.settings import Settings

_SOURCE = re.compile(r"\bread_parquet\(.*/spark/builds/([^/']+)/", re.DOTALL)


def build_folder(settings: Settings, build_id: str) -> Path:
    """Where a build's tables on Spark go; private like the warehouse."""
    return _builds(settings) / build_id


def have_folders(settings: Settings) -> bool:
    """Whether builds on Spark have left tables in this home."""
    return _builds(settings).is_dir()


def read_from_spark(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """(schema, name) of every view over Spark's tables to the build whose folder it reads."""
    rows = connection.execute(
        """
        select schema_name, view_name, sql from duckdb_views()
        where not internal and database_name = current_database()
        """
    ).fetchall()
    return {
        (schema, name): found[1]
        for schema, name, text in rows
        if (found := _SOURCE.search(text)) is not None
    }


def drop_left_over(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    """Drop the views over other builds' tables: of models that the project no longer has."""
    for (schema, name), build in read_from_spark(connection).items():
        if build != build_id:
            connection.execute(f'drop view "{schema}"."{name}"')


def drop_unread(settings: Settings, connections: Sequence[duckdb.DuckDBPyConnection]) -> None:
    """Remove the folders of builds that no view of these warehouses reads.

    Call it only while holding the build lock, and after what no longer reads them is committed.
    """
    read = {build for one in connections for build in read_from_spark(one).values()}
    for folder in _builds(settings).iterdir():
        if folder.name not in read:
            # What a worker wrote as another user may be in the way; the next build tries again.
            shutil.rmtree(folder, ignore_errors=True)


def _builds(settings: Settings) -> Path:
    return settings.home.absolute() / "spark" / "builds"
