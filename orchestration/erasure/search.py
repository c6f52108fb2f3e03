"""The proof of an erasure: every table and file is searched for what pointed to the person."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from orchestration import durable
from orchestration.erasure.journal import Journal, journal_path
from orchestration.erasure.landing import WORD, Rewriter, other_files, pattern, ready_files
from orchestration.ingest.checks import quote
from orchestration.ingest.landing import FORMATS
from orchestration.ingest.scan import content
from orchestration.settings import Settings
from orchestration.warehouse import literal

MIN_PART = 6
"""Shorter values are looked for as whole cells alone: parts of other values are bound to equal
them."""
MIN_BYTES = 11
"""The same for the bytes of database files, where values stand without a gap between them."""
_BINARY = (".duckdb", ".wal", ".parquet", ".db", ".sqlite")
_OVERLAP = 1024


@dataclass
class Found:
    """What a search looked at, and the places where it found something; never what."""

    tables: int = 0
    files: int = 0
    values: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """The values to look for: as whole cells, standing alone, and anywhere."""

    exact: frozenset[str]
    bounded: frozenset[str]
    loose: frozenset[str]
    unique: frozenset[str] = frozenset()
    """Those that no longer value contains."""

    @classmethod
    def of(cls, journal: Journal) -> Wanted:
        """What an erasure is about, without what other people's records hold too."""
        common = set(journal.common)
        bounded = set(journal.bounded) - common
        loose = set(journal.loose) - common
        return cls(
            exact=frozenset(bounded | loose | (set(journal.exact) - common)),
            bounded=frozenset(text for text in bounded if len(text) >= MIN_PART),
            loose=frozenset(text for text in loose if len(text) >= MIN_PART),
            unique=frozenset((bounded | loose) - set(journal.parts)),
        )

    def sql(self, columns: Sequence[str], *, alone: bool = True) -> str:
        """A condition over text columns; without `alone`, parts of longer values count too."""
        parts = [f"{column} in (select value from temp.main.wanted)" for column in columns]
        alternatives = []
        if self.bounded:
            either = "|".join(sorted(map(escape, self.bounded)))
            alternatives.append(f"(?:^|[^{WORD}])(?:{either})(?:$|[^{WORD}])" if alone else either)
        alternatives += sorted(map(escape, self.loose))
        if alternatives:
            # One look at a whole row: the pattern costs more than the text.
            row = f"concat_ws(chr(10), {', '.join(columns)})"
            parts.append(f"regexp_matches({row}, {literal('|'.join(alternatives))})")
        return f"({' or '.join(parts)})"

    def fill(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the temporary table that `sql` reads."""
        connection.execute("create or replace temp table wanted (value varchar)")
        values = sorted(self.exact)
        for start in range(0, len(values), 500):
            rows = ", ".join(f"({literal(text)})" for text in values[start : start + 500])
            connection.execute(f"insert into temp.main.wanted values {rows}")


def find_common(connection: duckdb.DuckDBPyConnection, journal: Journal) -> None:
    """Note the values that raw still holds once the person is out of it: others have them too.

    A family's device, a name that two bear, the number of an account on another platform: it
    no longer tells who was erased, and must not be taken from those others.
    """
    wanted = Wanted.of(journal)
    wanted.fill(connection)
    texts = pattern(wanted.bounded, wanted.loose)
    parts = pattern((), wanted.bounded | wanted.loose)
    common, inside = set(journal.common), set(journal.parts)
    for (_, table), columns in _text_columns(connection, "raw").items():
        condition = wanted.sql(columns, alone=False)
        rows = connection.execute(
            f"select distinct unnest([{', '.join(columns)}]) from raw.{table} where {condition}"
        ).fetchall()
        for (cell,) in rows:
            if cell in wanted.exact:
                common.add(cell)
            if texts is not None:
                common.update(match[0] for match in texts.finditer(cell or ""))
            if parts is not None:
                inside.update(match[0] for match in parts.finditer(cell or ""))
    journal.common, journal.parts = sorted(common), sorted(inside)


def search(settings: Settings, journal: Journal, rewriter: Rewriter | None) -> Found:
    """Look through the whole home and the landing zone.

    `rewriter` says whether a landing file's records name the person; None leaves the zone out.
    The simulator's truth, the key and the journal are not looked at.
    """
    found = Found()
    wanted = Wanted.of(journal)
    found.values = len(wanted.exact)
    seen: set[tuple[int, int]] = set()
    landing = settings.landing_path.resolve()
    skipped = {journal_path(settings).resolve(), settings.key_path.resolve()}
    for path in _files(settings.home.resolve(), {landing, (settings.home / "truth").resolve()}):
        status = path.stat()
        if (status.st_dev, status.st_ino) in seen or path in skipped:
            continue
        seen.add((status.st_dev, status.st_ino))
        found.files += 1
        name = str(path.relative_to(settings.home.resolve()))
        if path.suffix == ".duckdb":
            _search_database(settings, path, name, wanted, found)
        elif path.suffix == ".parquet":
            _search_parquet(path, name, wanted, found)
        if _is_in_bytes(_pieces(path), wanted, binary=path.name.endswith(_BINARY)):
            found.places.append(name)
    if rewriter is not None:
        _search_landing(landing, rewriter, wanted, found)
    found.places = sorted(set(found.places))
    return found


def _search_landing(root: Path, rewriter: Rewriter, wanted: Wanted, found: Found) -> None:
    if not root.is_dir():
        return
    files = ready_files(root)
    for file in files:
        found.files += 1
        path = root / file.path
        if rewriter.count(file):
            found.places.append(f"landing/{file.path}")
        elif file.kind == "parquet":
            _search_parquet(path, f"landing/{file.path}", wanted, found)
        elif _is_in_bytes(content(path, file.compression), wanted, binary=False):
            found.places.append(f"landing/{file.path}")
    for path in other_files(root, files):
        found.files += 1
        if path_names(path, wanted):
            found.places.append(f"landing/{path.relative_to(root)}")


def path_names(path: Path, wanted: Wanted) -> bool:
    """Whether a file that is no landing file holds one of the values."""
    compression = next((FORMATS[end][1] for end in FORMATS if path.name.endswith(end)), "")
    return _is_in_bytes(content(path, compression), wanted, binary=False)


def _files(root: Path, left_out: set[Path]) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.resolve() in left_out:
            continue
        if path.is_dir():
            yield from _files(path, left_out)
        elif path.is_file():
            yield path


def _search_database(
    settings: Settings, path: Path, name: str, wanted: Wanted, found: Found
) -> None:
    with duckdb.connect(
        config={
            "memory_limit": settings.memory_limit,
            "threads": str(settings.threads),
            "temp_directory": str(settings.home.absolute() / "tmp"),
        }
    ) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"attach {literal(path)} as searched (read_only)")
        wanted.fill(connection)
        for (schema, table), columns in _text_columns(connection, None, "searched").items():
            found.tables += 1
            where = f"searched.{quote(schema)}.{quote(table)}"
            _search_table(connection, where, columns, f"{name}: {schema}.{table}", wanted, found)


def _search_parquet(path: Path, name: str, wanted: Wanted, found: Found) -> None:
    with duckdb.connect(config={"memory_limit": "512MB"}) as connection:
        wanted.fill(connection)
        source = f"read_parquet({literal(path)}, hive_partitioning = false)"
        columns = [
            f"cast({quote(row[0])} as varchar)"
            for row in connection.execute(f"describe select * from {source}").fetchall()
            if "VARCHAR" in row[1] or "INT" in row[1]
        ]
        found.tables += 1
        _search_table(connection, source, columns, name, wanted, found)


def _search_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    name: str,
    wanted: Wanted,
    found: Found,
) -> None:
    if columns:
        row = connection.execute(
            f"select count(*) from {table} where {wanted.sql(columns)}"
        ).fetchone()
        if row and row[0]:
            found.places.append(f"{name} ({row[0]} rows)")


def _text_columns(
    connection: duckdb.DuckDBPyConnection, schema: str | None, database: str | None = None
) -> dict[tuple[str, str], list[str]]:
    """(schema, table) to its columns that hold text, as text; tables without rows left out."""
    found: dict[tuple[str, str], list[str]] = {}
    for where, table, column, kind in connection.execute(
        f"""
        select columns.schema_name, columns.table_name, columns.column_name, columns.data_type
        from duckdb_columns() as columns
        inner join duckdb_tables() as tables using (database_oid, schema_oid, table_oid)
        where columns.database_name = {literal(database) if database else "current_database()"}
            and columns.schema_name = coalesce({literal(schema) if schema else "null"},
                columns.schema_name)
            and contains(columns.data_type, 'VARCHAR') and tables.estimated_size > 0
        order by 1, 2, columns.column_index
        """
    ).fetchall():
        text = quote(column) if kind == "VARCHAR" else f"cast({quote(column)} as varchar)"
        found.setdefault((where, table), []).append(text)
    return found


def _is_in_bytes(pieces: Iterable[bytes], wanted: Wanted, *, binary: bool) -> bool:
    shortest = MIN_BYTES if binary else MIN_PART
    loose = _needles(wanted.unique if binary else wanted.loose, shortest)
    bounded = [] if binary else _needles(wanted.bounded, shortest)
    word = re.compile(f"[{WORD}]".encode())
    tail = b""
    for piece in pieces:
        data = tail + piece
        if any(needle in data for needle in loose):
            return True
        for needle in bounded:
            start = data.find(needle)
            while start >= 0:
                end = start + len(needle)
                before, after = data[max(start - 1, 0) : start], data[end : end + 1]
                if not word.fullmatch(before) and not word.fullmatch(after):
                    return True
                start = data.find(needle, start + 1)
        tail = data[-_OVERLAP:]
    return False


def _needles(texts: Iterable[str], shortest: int) -> list[bytes]:
    return [text.encode() for text in texts if len(text.encode()) >= shortest]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while data := handle.read(8 << 20):
            yield data


def escape(text: str) -> str:
    """A text for RE2, which knows no escaped space."""
    return re.sub(r"([\\.^$*+?{}\[\]|()\-])", r"\\\1", text)


def compact(path: Path, temporary: Path, raw_ddl: dict[str, str]) -> None:
    """Copy a database file into a new one and put it in its place: freed blocks keep no bytes.

    `raw_ddl` gives the columns of tables that are made with a compression of their own. Run it
    while nobody else has the file open.
    """
    temporary.unlink(missing_ok=True)
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute("set preserve_insertion_order = true")
        connection.execute(f"attach {literal(path)} as old (read_only)")
        connection.execute(f"attach {literal(temporary)} as new")
        connection.execute("copy from database old to new (schema)")
        for name, ddl in raw_ddl.items():
            connection.execute(f"drop table new.{name}")
            connection.execute(f"create table new.{name} ({ddl})")
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'old'"
        ).fetchall()
        for schema, table in tables:
            name = f"{quote(schema)}.{quote(table)}"
            connection.execute(f"insert into new.{name} by name select * from old.{name}")
        connection.execute("checkpoint new")
        connection.execute("detach new")
    shutil.copymode(path, temporary)
    durable.replace(temporary, path)
