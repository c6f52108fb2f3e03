"""The copy, the swap and the retention of what is published."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration import durable
from orchestration.errors import GateError, TandemError, first_line
from orchestration.publish.allowlist import MartTable, check_columns
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

STORAGE_VERSION = "v1.4.0"
"""The oldest format that carries our types: every client from DuckDB 1.4 on reads it."""
FULL, LIVE = "full", "live"
"""Kinds of versions: a build's, and one in which only some tables are newer than that."""

_VERSION_DIR = re.compile(r"^v(\d+)$")
_SNAPSHOT = re.compile(r"^marts-v(\d+)\.duckdb$")


@dataclass(frozen=True)
class PublishedTable:
    """One table of a snapshot. `reused` says that its Parquet file is the previous version's."""

    name: str
    rows: int
    fingerprint: str
    reused: bool = False


@dataclass(frozen=True)
class PublishReport:
    """What one publish put in place."""

    version: int
    build_id: str
    as_of_date: date | None
    published_at: datetime
    path: Path
    parquet_path: Path
    tables: tuple[PublishedTable, ...]
    seconds: float

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(table.rows for table in self.tables)


def publish(
    settings: Settings,
    run_id: str,
    *,
    tables: Sequence[MartTable],
    rules: str = "",
    judge: Callable[[duckdb.DuckDBPyConnection], object],
    audit: Callable[[Path], None] | None = None,
    on_table: Callable[[str], None] | None = None,
) -> PublishReport:
    """Copy `tables` to a new version of `serving/marts.duckdb` and its Parquet, and swap it in.

    `judge` reads the verdicts on the very connection that copies, and raises GateError unless
    they allow it; `audit` judges the finished file before anybody sees it. `rules` is the
    fingerprint of the rules that judged, kept in `_publish`. Raises GateError or TandemError,
    and then leaves what was published as it was. Call it only while holding the build lock.
    """
    # The rules import what reads and what judges; a look at the status needs neither.
    from data_quality.fingerprint import Fingerprints

    started = time.monotonic()
    serving = settings.serving_path.parent
    parquet = serving / "parquet"
    parquet.mkdir(parents=True, exist_ok=True)
    sweep(settings)
    version = _last_version(settings) + 1
    token = f"{version}-{uuid.uuid4().hex[:8]}"
    new_file = serving / f".marts-{token}.tmp"
    new_folder = parquet / f".v{token}.tmp"
    previous = _previous_tables(settings)
    published_at = datetime.now(UTC).replace(microsecond=0)
    with _cleaned_up(new_file, new_folder):
        with open_warehouse(settings) as connection:
            judge(connection)
            as_of_date = _as_of_date(connection)
            # A reader finds rows in the order that the mart was built in.
            connection.execute("set preserve_insertion_order = true")
            connection.execute(
                f"attach {literal(new_file)} as snapshot (storage_version '{STORAGE_VERSION}')"
            )
            warehouse = connection.execute("select current_database()").fetchone()
            rows = {}
            for table in tables:
                rows[table.full_name] = _copy(connection, str(warehouse and warehouse[0]), table)
                if on_table is not None:
                    on_table(table.full_name)
            fingerprints = Fingerprints(connection)
            copied = [
                PublishedTable(name, count, fingerprints.of_table(f"snapshot.{name}"))
                for name, count in rows.items()
            ]
            _describe(
                connection, settings, copied, version, published_at, run_id, as_of_date, rules
            )
            written = _write_parquet(connection, new_folder, copied, previous)
            connection.execute("checkpoint snapshot")
            connection.execute("detach snapshot")
        new_file.chmod(0o444)
        if audit is not None:
            audit(new_file)
        _swap(settings, version, new_file, new_folder)
    _retain(settings)
    return PublishReport(
        version=version,
        build_id=run_id,
        as_of_date=as_of_date,
        published_at=published_at,
        path=settings.serving_path,
        parquet_path=parquet / f"v{version:03d}",
        tables=tuple(written),
        seconds=time.monotonic() - started,
    )


def publish_live(
    settings: Settings,
    run_id: str,
    *,
    table: str,
    as_of: datetime | None,
    judge: Callable[[duckdb.DuckDBPyConnection], object],
    audit: Callable[[Path], None] | None = None,
) -> PublishReport:
    """Swap in a version that differs from what is served in one table, taken from the warehouse.

    `table` is `<schema>.<name>`, `as_of` the UTC time up to which it counts. `judge` and `audit`
    are those of `publish`; here every other table is compared with the fingerprint under which
    it was published as well. Such a version keeps the build_id and rules of the served one, and
    is not kept as a snapshot. Raises GateError or TandemError, and then changes nothing. Call it
    only while holding the build lock.
    """
    started = time.monotonic()
    serving = settings.serving_path.parent
    parquet = serving / "parquet"
    parquet.mkdir(parents=True, exist_ok=True)
    sweep(settings)
    served = published(settings)
    if served is None:
        raise TandemError("nothing is published yet: run `tandem build`")
    version = served["version"] + 1
    token = f"{version}-{uuid.uuid4().hex[:8]}"
    new_file = serving / f".marts-{token}.tmp"
    new_folder = parquet / f".v{token}.tmp"
    previous = _previous_tables(settings)
    published_at = datetime.now(UTC).replace(microsecond=0)
    with _cleaned_up(new_file, new_folder):
        shutil.copyfile(settings.serving_path, new_file)
        new_file.chmod(0o600)
        with open_warehouse(settings) as connection:
            judge(connection)
            connection.execute("set preserve_insertion_order = true")
            connection.execute(f"attach {literal(new_file)} as snapshot")
            connection.begin()
            connection.execute(f"delete from snapshot.{table}")
            connection.execute(f"insert into snapshot.{table} by name from {table}")
            connection.commit()
            copied = _refreshed(connection, table)
            connection.begin()
            fresh = next(one for one in copied if one.name == table)
            connection.execute(
                f"""
                update snapshot.main._publish_tables
                set row_count = {fresh.rows}, fingerprint = {literal(fresh.fingerprint)}
                where table_name = {literal(table)}
                """
            )
            connection.execute(
                f"""
                update snapshot.main._publish
                set version = {version}, published_at = {_timestamp(published_at)},
                    kind = {literal(LIVE)}, live_build_id = {literal(run_id)},
                    live_as_of = {_timestamp(as_of)}
                """
            )
            connection.commit()
            written = _write_parquet(connection, new_folder, copied, previous)
            connection.execute("checkpoint snapshot")
            connection.execute("detach snapshot")
        new_file.chmod(0o444)
        if audit is not None:
            audit(new_file)
        _swap(settings, version, new_file, new_folder, keep=False)
    _retain(settings)
    return PublishReport(
        version=version,
        build_id=run_id,
        as_of_date=served["as_of_date"],
        published_at=published_at,
        path=settings.serving_path,
        parquet_path=parquet / f"v{version:03d}",
        tables=tuple(written),
        seconds=time.monotonic() - started,
    )


def published(settings: Settings) -> dict[str, Any] | None:
    """The `_publish` row of what is served now; None when nothing was published yet.

    It has version, published_at, build_id, as_of_date, rules, kind (`full` or `live`), and of a
    live version live_build_id and live_as_of, the UTC time up to which the live board counts;
    reporting_currency and currency_exponent say what `…_minor` columns hold, timezone what a
    date is. Files of older versions lack the columns that came later.
    """
    if not settings.serving_path.exists():
        return None
    with _served(settings) as connection:
        cursor = connection.execute("select * from snapshot.main._publish")
        row = cursor.fetchone()
        names = [column[0] for column in cursor.description or []]
    return dict(zip(names, row, strict=True)) if row else None


def currency_exponent(currency: str) -> int:
    """Decimals of a currency's major unit, by ISO 4217: 2 of CNY, 0 of JPY.

    Raises TandemError for a code that is none.
    """
    # Not above: a look at the status needs no currencies.
    from iso4217 import Currency

    try:
        return int(Currency(currency).exponent or 0)
    except ValueError:
        raise TandemError(f"{currency!r} is no ISO 4217 currency") from None


def published_rows(settings: Settings, table: str) -> int:
    """How many rows of a table are served; 0 if it is not. Raises TandemError as `published`."""
    with _served(settings) as connection:
        row = connection.execute(
            "select max(row_count) from snapshot.main._publish_tables"
            f" where table_name = {literal(table)}"
        ).fetchone()
    return int(row[0] or 0) if row else 0


@contextmanager
def _served(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the served file attached as `snapshot`.

    Attached, not opened: a process that holds an older snapshot would be given that one.
    """
    path = settings.serving_path
    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(path)} as snapshot (read_only)")
            yield connection
    except duckdb.Error as error:
        raise TandemError(
            f"cannot read {path}: {first_line(error)}. If it is damaged, move it away and "
            'run `tandem build` (docs/operations.md, "A damaged file")'
        ) from error


def sweep(settings: Settings) -> None:
    """Remove what a killed publish left behind, and finish a swap that it had begun.

    Call it only while holding the build lock.
    """
    serving = settings.serving_path.parent
    parquet = serving / "parquet"
    for leftover in [*serving.glob(".marts-*.tmp*"), *serving.glob(".link-*")]:
        leftover.unlink(missing_ok=True)
    for leftover in parquet.glob(".v*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in parquet.glob(".current-*"):
        leftover.unlink(missing_ok=True)
    version = _last_version(settings)
    for folder in parquet.glob("v*"):
        found = _VERSION_DIR.match(folder.name)
        if found and int(found[1]) > version:
            shutil.rmtree(folder)
    for path in (serving / "snapshots").glob("marts-v*.duckdb"):
        found = _SNAPSHOT.match(path.name)
        if found and int(found[1]) > version:
            path.unlink()
    if (parquet / f"v{version:03d}").is_dir():
        _point_current(parquet, version)
    _drop_if_due(settings)


def _copy(connection: duckdb.DuckDBPyConnection, warehouse: str, table: MartTable) -> int:
    """Copy one table into the snapshot with its words, and return its rows."""
    source = f"{_quote(warehouse)}.{_quote(table.schema)}.{_quote(table.name)}"
    target = f"snapshot.{_quote(table.schema)}.{_quote(table.name)}"
    try:
        actual = [row[0] for row in connection.execute(f"describe {source}").fetchall()]
        check_columns(table, actual)
        # One commit for a table and its words: each is a sync of the disk.
        connection.begin()
        connection.execute(f"create schema if not exists snapshot.{_quote(table.schema)}")
        connection.execute(f"create table {target} as select * from {source}")
        connection.execute(f"comment on table {target} is {literal(table.description)}")
        for column, words in table.columns.items():
            connection.execute(f"comment on column {target}.{_quote(column)} is {literal(words)}")
        connection.commit()
        row = connection.execute(f"select count(*) from {target}").fetchone()
    except duckdb.Error as error:
        raise TandemError(f"cannot copy {table.full_name}: {first_line(error)}") from error
    return row[0] if row else 0


def _refreshed(connection: duckdb.DuckDBPyConnection, table: str) -> list[PublishedTable]:
    """The copy's tables as they are now; GateError if another than `table` has changed."""
    from data_quality.fingerprint import Fingerprints

    fingerprints = Fingerprints(connection)
    found = []
    for name, rows, mark in connection.execute(
        "select table_name, row_count, fingerprint from snapshot.main._publish_tables order by all"
    ).fetchall():
        now = fingerprints.of_table(f"snapshot.{name}")
        if name == table:
            row = connection.execute(f"select count(*) from snapshot.{name}").fetchone()
            rows = row[0] if row else 0
        elif now != mark:
            raise GateError(f"the served {name} is not what was published: run `tandem build`")
        found.append(PublishedTable(name, rows, now))
    return found


def _timestamp(moment: datetime | None) -> str:
    """A UTC time as a SQL literal."""
    if moment is None:
        return "null"
    return f"timestamp '{moment.replace(tzinfo=None).isoformat(sep=' ')}'"


def _describe(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    tables: Sequence[PublishedTable],
    version: int,
    published_at: datetime,
    build_id: str,
    as_of_date: date | None,
    rules: str,
) -> None:
    connection.begin()
    connection.execute(
        """
        create table snapshot.main._publish (
            version bigint, published_at timestamp, build_id varchar, as_of_date date,
            rules varchar, kind varchar, live_build_id varchar, live_as_of timestamp,
            reporting_currency varchar, currency_exponent bigint, timezone varchar
        )
        """
    )
    currency = settings.reporting_currency
    connection.execute(
        "insert into snapshot.main._publish values (?, ?, ?, ?, ?, ?, null, null, ?, ?, ?)",
        [
            version,
            published_at.replace(tzinfo=None),
            build_id,
            as_of_date,
            rules,
            FULL,
            currency,
            currency_exponent(currency),
            settings.timezone,
        ],
    )
    connection.execute(
        """
        create table snapshot.main._publish_tables (
            table_name varchar, row_count bigint, fingerprint varchar
        )
        """
    )
    if tables:
        connection.executemany(
            "insert into snapshot.main._publish_tables values (?, ?, ?)",
            [[table.name, table.rows, table.fingerprint] for table in tables],
        )
    connection.commit()


def _write_parquet(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: Sequence[PublishedTable],
    previous: Mapping[str, tuple[str, Path]],
) -> list[PublishedTable]:
    """Write one file a table; an unchanged table's file is linked, not written again."""
    folder.mkdir()
    written = []
    for table in tables:
        schema, name = table.name.split(".")
        path = folder / schema / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        before, old_path = previous.get(table.name, ("", path))
        reused = before == table.fingerprint and old_path.exists()
        if reused:
            _link(old_path, path)
        else:
            _write_file(connection, f"{_quote(schema)}.{_quote(name)}", path)
        written.append(PublishedTable(table.name, table.rows, table.fingerprint, reused))
    for name in ("_publish", "_publish_tables"):
        _write_file(connection, f"main.{name}", folder / f"{name}.parquet")
    return written


def _write_file(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    try:
        connection.execute(
            f"copy snapshot.{table} to {literal(path)} (format parquet, compression zstd)"
        )
    except duckdb.Error as error:
        raise TandemError(f"cannot write {path}: {first_line(error)}") from error
    path.chmod(0o444)


def _swap(
    settings: Settings, version: int, new_file: Path, new_folder: Path, *, keep: bool = True
) -> None:
    """Put a finished version in place. The rename of `marts.duckdb` is what publishes it."""
    serving = settings.serving_path.parent
    parquet = serving / "parquet"
    snapshots = serving / "snapshots"
    snapshots.mkdir(exist_ok=True)
    durable.replace(new_folder, parquet / f"v{version:03d}")
    if keep:
        # Under its own name as well, so that an older version can be looked at or put back.
        _link(new_file, snapshots / f"marts-v{version:03d}.duckdb")
        durable.sync(snapshots)
    durable.replace(new_file, settings.serving_path)
    _point_current(parquet, version)


def _point_current(parquet: Path, version: int) -> None:
    target = f"v{version:03d}"
    current = parquet / "current"
    if current.is_symlink() and current.readlink() == Path(target):
        return
    temporary = parquet / f".current-{uuid.uuid4().hex[:8]}"
    temporary.symlink_to(target, target_is_directory=True)
    temporary.replace(current)
    durable.sync(parquet)


def _retain(settings: Settings) -> None:
    """Drop all but the newest `snapshots_kept` versions; open readers keep what they hold.

    Live versions, which have a folder and no file, are counted apart: they come often, and must
    not push out the builds' own.
    """
    serving = settings.serving_path.parent
    folders = {
        int(found[1]): path
        for path in (serving / "parquet").glob("v*")
        if (found := _VERSION_DIR.match(path.name))
    }
    files = {
        int(found[1]): path
        for path in (serving / "snapshots").glob("marts-v*.duckdb")
        if (found := _SNAPSHOT.match(path.name))
    }
    live = folders.keys() - files.keys()
    for kind in (live, folders.keys() - live):
        for number in sorted(kind)[: -settings.snapshots_kept]:
            shutil.rmtree(folders[number])
    for number in sorted(files)[: -settings.snapshots_kept]:
        files[number].unlink()
    _drop_if_due(settings)


def drop_with_next(settings: Settings) -> None:
    """Have every version that is kept now removed as soon as another build's is served.

    Call it only while holding the build lock.
    """
    served = published(settings)
    if served is not None:
        durable.write(_to_drop(settings), served["build_id"])


def _to_drop(settings: Settings) -> Path:
    return settings.serving_path.parent / ".drop-versions-of"


def _drop_if_due(settings: Settings) -> None:
    mark = _to_drop(settings)
    if not mark.exists():
        return
    served = published(settings)
    if served is not None and served["build_id"] != mark.read_text(encoding="utf-8"):
        drop_older(settings)
        mark.unlink()


def drop_older(settings: Settings) -> int:
    """Remove every version but the one that is served; how many. For what must not be kept.

    Call it only while holding the build lock.
    """
    served = published(settings)
    version = served["version"] if served else 0
    serving = settings.serving_path.parent
    dropped = set()
    for folder in (serving / "parquet").glob("v*"):
        found = _VERSION_DIR.match(folder.name)
        if found and int(found[1]) != version:
            shutil.rmtree(folder)
            dropped.add(int(found[1]))
    for path in (serving / "snapshots").glob("marts-v*.duckdb"):
        found = _SNAPSHOT.match(path.name)
        if found and int(found[1]) != version:
            path.unlink()
            dropped.add(int(found[1]))
    return len(dropped)


def _last_version(settings: Settings) -> int:
    """The served version; where the served file was moved away, the one whose Parquet is current.

    So a version's number never comes again, and what is kept of earlier ones stays.
    """
    served = published(settings)
    if served is not None:
        return int(served["version"])
    current = settings.serving_path.parent / "parquet" / "current"
    found = _VERSION_DIR.match(current.readlink().name) if current.is_symlink() else None
    return int(found[1]) if found else 0


def _previous_tables(settings: Settings) -> dict[str, tuple[str, Path]]:
    """Table name to fingerprint and Parquet file of the version that is served now."""
    current = settings.serving_path.parent / "parquet" / "current"
    listing = current / "_publish_tables.parquet"
    if not listing.exists():
        return {}
    folder = current.resolve()
    try:
        with duckdb.connect() as connection:
            rows = connection.execute(
                f"select table_name, fingerprint from read_parquet({literal(listing)})"
            ).fetchall()
    except duckdb.Error:
        return {}
    return {name: (mark, folder / f"{name.replace('.', '/')}.parquet") for name, mark in rows}


def _as_of_date(connection: duckdb.DuckDBPyConnection) -> date | None:
    row = connection.execute("select as_of_date from control.parameters").fetchone()
    return row[0] if row else None


@contextmanager
def _cleaned_up(new_file: Path, new_folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for leftover in new_file.parent.glob(f"{new_file.name}*"):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(new_folder, ignore_errors=True)
        raise


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # A file system without hard links.
        shutil.copy2(source, target)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
