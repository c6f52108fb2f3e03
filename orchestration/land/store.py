"""Where landed records lie, which version of a log counts, and DuckDB's view of it.

`<root>/<core>__<log>/<version>/dt=YYYY-MM-DD/*.parquet`; `control.landed` in the warehouse names
the version that counts. Versions share unchanged files by hard links and are never changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration import durable
from orchestration.contracts import LogContract, contracts
from orchestration.errors import TandemError
from orchestration.ingest.checks import literal, quote
from orchestration.ingest.tables import raw_columns
from orchestration.settings import Settings

CURRENT = "current"
"""The link in a log's folder to the version that counts, for readers other than Tandem."""
MANIFEST = "_files.json"
VERSIONS_KEPT = 2
_NAME = re.compile(r"v[0-9]{6,}-[0-9a-f]{8}")
_RECORDS = """
    create table if not exists control.landed (
        log varchar, version varchar, batch_id bigint, files bigint, rows bigint, bytes bigint
    )
"""
# One file a day and landing; so many of one day are merged into one.
PARTS_KEPT = 8


@dataclass(frozen=True)
class Version:
    """The version of a log that counts: its folder's name, and what the folder holds."""

    log: str
    name: str
    batch_id: int
    files: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Part:
    """One Parquet file of a version: bytes and rows."""

    bytes: int
    rows: int


def landed_root(settings: Settings) -> Path:
    """The folder of the landed records, as private as the warehouse."""
    return (settings.landed or settings.home / "landed").absolute()


def rebuild_root(settings: Settings) -> Path:
    """Where a full refresh lands anew, until its warehouse takes the old one's place."""
    return landed_root(settings) / "rebuild"


def log_folder(settings: Settings, log: str) -> Path:
    """The folder of one log's versions."""
    return landed_root(settings) / contracts()[log].table


def version_folder(settings: Settings, version: Version) -> Path:
    """The folder of the version's files."""
    return log_folder(settings, version.log) / version.name


def is_partitioned(contract: LogContract) -> bool:
    """Whether a log lies by day: what happens at a moment does, states and rates do not.

    Whoever reads states needs all of them, and a rate a day would be a file a day.
    """
    times = {field.name: field.type for field in contract.fields}
    return contract.kind == "event" and times[contract.time] == "timestamp"


def day_sql(contract: LogContract) -> str:
    """The day in UTC that a row lies under, as text; empty for a log that does not lie by day."""
    if not is_partitioned(contract):
        return "''"
    return f"strftime({quote(contract.time)}, '%Y-%m-%d')"


def day_folder(day: str) -> str:
    """The folder of a day below a version's."""
    return f"dt={day}" if day else ""


def files_sql(paths: Iterable[Path]) -> str:
    """A SQL list of these very files, whatever characters of a glob their names hold."""
    return "[" + ", ".join(literal(_unglobbed(str(path))) for path in paths) + "]"


def _unglobbed(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def versions(connection: duckdb.DuckDBPyConnection) -> dict[str, Version]:
    """Log to the version that counts; empty where nothing was landed."""
    try:
        rows = connection.execute(
            "select log, version, batch_id, files, rows, bytes from control.landed order by log"
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    return {row[0]: Version(*row) for row in rows}


def prepare(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Put views in the place of raw's empty tables, and make them point where the files are.

    Raises TandemError for a warehouse that holds raw rows itself, for one with erased ids, and
    for landed files that are not as they were left.
    """
    held = [
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
        if connection.execute(f"select 1 from raw.{quote(name)} limit 1").fetchone()
    ]
    if held:
        raise TandemError(
            f"{settings.warehouse_path} holds raw records itself (raw.{held[0]}): set raw_storage "
            'back to "warehouse", or take everything again into Parquet with '
            "`tandem build --full-refresh`"
        )
    if connection.execute("select 1 from control.tombstones limit 1").fetchone():
        raise TandemError(
            "persons were erased from this home, and landed Parquet does not know their "
            'tombstones: set raw_storage back to "warehouse"'
        )
    connection.execute(_RECORDS)
    live = versions(connection)
    for version in live.values():
        verify(settings, version)
    write_views(connection, settings, live)


def write_views(
    connection: duckdb.DuckDBPyConnection, settings: Settings, live: Mapping[str, Version]
) -> None:
    """Make `raw.<table>` a view over each log's version; of a log without one, an empty view."""
    tables = {
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
    }
    for log, contract in contracts().items():
        columns = raw_columns(contract)
        version = live.get(log)
        if version is not None and version.files:
            folder = version_folder(settings, version)
            depth = "*/*.parquet" if is_partitioned(contract) else "*.parquet"
            pattern = literal(_unglobbed(str(folder)) + "/" + depth)
            names = ", ".join(quote(name) for name in columns)
            query = f"select {names} from read_parquet({pattern}, hive_partitioning = false)"
        else:
            empty = ", ".join(f"cast(null as {kind}) as {quote(n)}" for n, kind in columns.items())
            query = f"select {empty} where false"
        if contract.table in tables:
            connection.execute(f"drop table raw.{contract.table}")
        connection.execute(f"create or replace view raw.{contract.table} as {query}")


def record(connection: duckdb.DuckDBPyConnection, changed: Iterable[Version]) -> None:
    """Make these the versions that count, inside the landing's transaction."""
    for version in changed:
        connection.execute(f"delete from control.landed where log = {literal(version.log)}")
        connection.execute(
            f"insert into control.landed values ({literal(version.log)}, "
            f"{literal(version.name)}, {version.batch_id}, {version.files}, {version.rows}, "
            f"{version.bytes})"
        )


def manifest(settings: Settings, version: Version | None) -> dict[str, Part]:
    """The version's files by their path below its folder.

    Raises TandemError when the list of them is lost or damaged.
    """
    if version is None:
        return {}
    path = version_folder(settings, version) / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: Part(*numbers) for name, numbers in found.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _broken(path, "cannot be read") from error


def verify(settings: Settings, version: Version) -> dict[str, Part]:
    """The version's files, each of them there and of its size, and nothing else.

    Raises TandemError which names the first that is missing, cut short or foreign.
    """
    parts = manifest(settings, version)
    folder = version_folder(settings, version)
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".parquet"):
                path = Path(place, name)
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    for name in sorted(set(parts) | set(found)):
        if name not in parts:
            raise TandemError(
                f"{folder / name} is no file of this landing: move it away. Records come in "
                "through the landing zone alone"
            )
        if name not in found:
            raise _broken(folder / name, "is missing")
        if found[name] != parts[name].bytes:
            raise _broken(folder / name, f"has {found[name]} bytes, not {parts[name].bytes}")
    if sum(part.rows for part in parts.values()) != version.rows:
        raise _broken(folder / MANIFEST, "does not say what the warehouse says")
    return parts


def _broken(path: Path, how: str) -> TandemError:
    return TandemError(
        f"{path} {how}: put it back from a backup, or take everything again with "
        "`tandem build --full-refresh`"
    )


def assemble(
    settings: Settings,
    log: str,
    name: str,
    batch_id: int,
    kept: Mapping[str, Path],
    added: Mapping[str, Path],
    rows: Mapping[str, int],
) -> Version:
    """Put a version together on the disk: path below its folder to the file that it links.

    Nothing refers to it before `record` does.
    """
    folder = log_folder(settings, log) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = {}
    for relative, source in {**kept, **added}.items():
        target = folder / relative
        target.parent.mkdir(exist_ok=True)
        link(source, target)
        parts[relative] = Part(target.stat().st_size, rows[relative])
    text = json.dumps({path: [part.bytes, part.rows] for path, part in sorted(parts.items())})
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    durable.sync(folder / MANIFEST)
    # The files themselves were synced when their task was done.
    for child in {(folder / path).parent for path in parts} | {folder, folder.parent}:
        durable.sync(child)
    return Version(
        log,
        name,
        batch_id,
        len(parts),
        sum(part.rows for part in parts.values()),
        sum(part.bytes for part in parts.values()),
    )


def link(source: Path, target: Path) -> None:
    """A second name of a file; a copy where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        durable.sync(target)


def tidy(settings: Settings, live: Mapping[str, Version]) -> None:
    """Point `current` at what counts, and drop what no longer does but for the latest version.

    Safe after a kill at any moment: it only follows what the warehouse says.
    """
    for log in contracts():
        folder = log_folder(settings, log)
        if not folder.is_dir():
            continue
        version = live.get(log)
        if version is not None:
            _point(folder, version.name)
        else:
            (folder / CURRENT).unlink(missing_ok=True)
        _prune(folder, version.name if version else None)


def require_nothing_landed(settings: Settings, doing: str) -> None:
    """Raise TandemError where versions of landed logs lie, which `doing` would not reach."""
    for log in contracts():
        folder = log_folder(settings, log)
        if folder.is_dir() and any(_NAME.fullmatch(entry.name) for entry in os.scandir(folder)):
            raise TandemError(
                f"{doing} is not possible while landed Parquet lies in {folder.parent} "
                '(docs/scaling.md, "Landing by many workers")'
            )


def _point(folder: Path, name: str) -> None:
    current = folder / CURRENT
    if current.is_symlink() and current.readlink() == Path(name):
        return
    temporary = folder / f".{CURRENT}-{uuid.uuid4().hex[:8]}"
    temporary.symlink_to(name)
    temporary.replace(current)
    durable.sync(folder)


def _prune(folder: Path, live: str | None) -> None:
    names = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir(follow_symlinks=False)
        and entry.name != live
        and _NAME.fullmatch(entry.name)
    )
    # A reader may still be at the version before; what is newer than the live one was never live.
    older = [name for name in names if live is not None and name < live]
    kept = set(older[1 - VERSIONS_KEPT :]) if VERSIONS_KEPT > 1 else set()
    for name in names:
        if name not in kept:
            shutil.rmtree(folder / name, ignore_errors=True)


def link_tree(settings: Settings, version: Version, target: Path) -> int:
    """Link every file of a version into one flat folder, for readers; the number of rows.

    The links hold the files while later landings replace them. Raises TandemError for a version
    that is not whole.
    """
    parts = verify(settings, version)
    folder = version_folder(settings, version)
    target.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(sorted(parts)):
        link(folder / name, target / f"part-{number}.parquet")
    return sum(part.rows for part in parts.values())


def move_in(
    connection: duckdb.DuckDBPyConnection, rebuilt: Settings, settings: Settings
) -> dict[str, Version]:
    """Move what a rebuild landed to where the home keeps it, and have the views say so.

    `connection` is the rebuilt warehouse's. Killed in between, the home's own warehouse and what
    it refers to are as they were. Returns what counts: nothing for a rebuild into tables.
    """
    live = versions(connection)
    if not live:
        return live
    for version in live.values():
        target = version_folder(settings, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        version_folder(rebuilt, version).rename(target)
        durable.sync(target.parent)
    connection.begin()
    write_views(connection, settings, live)
    connection.commit()
    return live
