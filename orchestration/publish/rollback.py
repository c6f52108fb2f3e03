"""Publish an earlier version again, as a new one: numbers never go back, and readers see no gap."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from orchestration.errors import GateError, TandemError, first_line
from orchestration.lock import build_lock
from orchestration.publish.snapshot import (
    PublishedTable,
    PublishReport,
    _cleaned_up,
    _retain,
    _swap,
    _write_parquet,
    published,
    sweep,
)
from orchestration.settings import Settings
from orchestration.warehouse import literal

ROLLBACK: Final = "rollback"
"""The kind of a version that holds an earlier one's tables."""
_SNAPSHOT: Final = re.compile(r"^marts-v(\d+)\.duckdb$")
_STAYS: Final = "audience"
"""Packs that were revoked or expired since must not come back: this schema stays as it is."""


@dataclass(frozen=True)
class Version:
    """A version that is kept as a file and can be published again."""

    number: int
    published_at: datetime
    as_of_date: date | None
    build_id: str
    path: Path
    is_served: bool


def kept_versions(settings: Settings) -> list[Version]:
    """The builds' versions that are kept, newest first.

    `is_served` marks the one whose tables readers see, after a rollback too.
    """
    served = published(settings)
    shown = (served.get("restored_version") or served["version"]) if served else None
    found = []
    for path in (settings.serving_path.parent / "snapshots").glob("marts-v*.duckdb"):
        name = _SNAPSHOT.match(path.name)
        if name is None:
            continue
        row = _about(path)
        found.append(
            Version(
                number=int(name[1]),
                published_at=row["published_at"],
                as_of_date=row["as_of_date"],
                build_id=row["build_id"],
                path=path,
                is_served=int(name[1]) == shown,
            )
        )
    return sorted(found, key=lambda version: version.number, reverse=True)


def roll_back(settings: Settings, to: int | None = None) -> PublishReport:
    """Publish the tables of an earlier version under a new number; by default of the one before.

    The schema `audience` stays as it is served now. The warehouse, its ledgers and its watermark
    are not touched, so that the next build publishes forward again. Raises TandemError when
    there is no such version, GateError when its file is not what was published; then nothing
    changes. Waits for the build lock, and raises LockedError as a build does.
    """
    from orchestration.erasure import journal

    with build_lock(settings):
        journal.require_none(settings)
        sweep(settings)
        served = published(settings)
        if served is None:
            raise TandemError("nothing is published yet: run `tandem build`")
        return _publish_again(settings, served, _target(settings, served, to))


def _target(settings: Settings, served: dict[str, Any], to: int | None) -> Version:
    versions = kept_versions(settings)
    shown = served.get("restored_version") or served["version"]
    if to is None:
        for version in versions:
            if version.number < shown and version.build_id != served["build_id"]:
                return version
        raise TandemError(f"no version before {shown} is kept: {_listed(versions)}")
    for version in versions:
        if version.number == to and served.get("restored_version") == to:
            raise TandemError(f"version {to} is what readers see already")
        if version.number == to and served["version"] == to:
            raise TandemError(f"version {to} is what readers see already")
        if version.number == to:
            return version
    raise TandemError(f"version {to} is not kept: {_listed(versions)}")


def _publish_again(settings: Settings, served: dict[str, Any], target: Version) -> PublishReport:
    started = time.monotonic()
    serving = settings.serving_path.parent
    number = int(served["version"]) + 1
    token = f"{number}-{uuid.uuid4().hex[:8]}"
    new_file = serving / f".marts-{token}.tmp"
    new_folder = serving / "parquet" / f".v{token}.tmp"
    published_at = datetime.now(UTC).replace(microsecond=0)
    with _cleaned_up(new_file, new_folder):
        shutil.copyfile(target.path, new_file)
        new_file.chmod(0o600)
        with duckdb.connect(config={"threads": settings.threads}) as connection:
            connection.execute("set preserve_insertion_order = true")
            connection.execute(f"attach {literal(new_file)} as snapshot")
            connection.execute(f"attach {literal(settings.serving_path)} as served (read_only)")
            connection.begin()
            _check(connection, target)
            _keep_what_stays(connection)
            connection.execute(
                f"""
                alter table snapshot.main._publish
                add column if not exists restored_version bigint;
                update snapshot.main._publish
                set version = {number}, kind = {literal(ROLLBACK)},
                    published_at = timestamp {literal(published_at.replace(tzinfo=None))},
                    restored_version = {target.number}
                """
            )
            connection.commit()
            tables = [
                PublishedTable(*row)
                for row in connection.execute(
                    "select table_name, row_count, fingerprint from snapshot.main._publish_tables"
                    " order by table_name"
                ).fetchall()
            ]
            written = _write_parquet(connection, new_folder, tables, _files(settings, target))
            connection.execute("checkpoint snapshot")
            connection.execute("detach snapshot")
        new_file.chmod(0o444)
        _swap(settings, number, new_file, new_folder, keep=False)
    _retain(settings)
    return PublishReport(
        version=number,
        build_id=target.build_id,
        as_of_date=target.as_of_date,
        published_at=published_at,
        path=settings.serving_path,
        parquet_path=serving / "parquet" / f"v{number:03d}",
        tables=tuple(written),
        seconds=time.monotonic() - started,
    )


def _check(connection: duckdb.DuckDBPyConnection, target: Version) -> None:
    """GateError unless every table of the copy has the fingerprint it was published with."""
    from data_quality.fingerprint import Fingerprints

    fingerprints = Fingerprints(connection)
    for name, mark in connection.execute(
        "select table_name, fingerprint from snapshot.main._publish_tables order by table_name"
    ).fetchall():
        if fingerprints.of_table(f"snapshot.{name}") != mark:
            raise GateError(
                f"{target.path}: {name} is not what was published as version {target.number}"
            )


def _keep_what_stays(connection: duckdb.DuckDBPyConnection) -> None:
    """Take the audience tables of the served file in the place of the copy's."""
    old = f"table_name like '{_STAYS}.%'"
    for (name,) in connection.execute(
        f"select table_name from snapshot.main._publish_tables where {old}"
    ).fetchall():
        connection.execute(f"drop table snapshot.{name}")
    connection.execute(f"delete from snapshot.main._publish_tables where {old}")
    connection.execute(f"create schema if not exists snapshot.{_STAYS}")
    for name, rows, mark in connection.execute(
        "select table_name, row_count, fingerprint from served.main._publish_tables"
        f" where {old} order by table_name"
    ).fetchall():
        connection.execute(f"create table snapshot.{name} as select * from served.{name}")
        connection.execute(
            "insert into snapshot.main._publish_tables values (?, ?, ?)", [name, rows, mark]
        )
        _copy_words(connection, name)


def _copy_words(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    schema, table = name.split(".")
    where = (
        f"database_name = 'served' and schema_name = {literal(schema)}"
        f" and table_name = {literal(table)} and comment is not null"
    )
    for (words,) in connection.execute(
        f"select comment from duckdb_tables() where {where}"
    ).fetchall():
        connection.execute(f"comment on table snapshot.{name} is {literal(words)}")
    for column, words in connection.execute(
        f"select column_name, comment from duckdb_columns() where {where}"
    ).fetchall():
        quoted = '"' + column.replace('"', '""') + '"'
        connection.execute(f"comment on column snapshot.{name}.{quoted} is {literal(words)}")


def _files(settings: Settings, target: Version) -> dict[str, tuple[str, Path]]:
    """Table to fingerprint and Parquet file of the version, where its folder is kept too."""
    folder = settings.serving_path.parent / "parquet" / f"v{target.number:03d}"
    listing = folder / "_publish_tables.parquet"
    if not listing.exists():
        return {}
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select table_name, fingerprint from read_parquet({literal(listing)})"
        ).fetchall()
    return {name: (mark, folder / f"{name.replace('.', '/')}.parquet") for name, mark in rows}


def _about(path: Path) -> dict[str, Any]:
    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(path)} as snapshot (read_only)")
            cursor = connection.execute("select * from snapshot.main._publish")
            row = cursor.fetchone()
            names = [column[0] for column in cursor.description or []]
    except duckdb.Error as error:
        raise TandemError(f"cannot read {path}: {first_line(error)}") from error
    if row is None:
        raise TandemError(f"{path} says nothing about itself")
    return dict(zip(names, row, strict=True))


def _listed(versions: list[Version]) -> str:
    kept = ", ".join(str(version.number) for version in versions)
    return f"kept are {kept}" if kept else "none is kept"
