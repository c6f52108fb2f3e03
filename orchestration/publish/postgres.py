"""The published marts in PostgreSQL, for tools that speak only its wire.

A push reads one published file, fills schemas that nobody looks at yet, and swaps all of them in
one transaction. The extra `postgres` brings the driver. No Dagster in here.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
from pydantic import ValidationError

from orchestration.errors import GateError, LockedError, SettingsError, TandemError, first_line
from orchestration.publish.allowlist import PUBLISHED_SCHEMAS
from orchestration.settings import PostgresTarget, Settings
from orchestration.warehouse import literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

ABOUT = "tandem"
"""The schema of `_publish` and `_publish_tables`."""
SCHEMAS = (ABOUT, *PUBLISHED_SCHEMAS)
MARK = "Published by Tandem"
"""Begins the comment on each schema of ours: another's is never renamed or dropped."""
SWAP_PATIENCE_SECONDS = 5.0
"""How long a swap tries to find every mart at rest before it is done beside running queries."""
DROP_TIMEOUT = "2s"
BATCH_ROWS = 65_536
_LOCK = 0x74616E64656D
_TYPES = {"BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP"}
_BUSY = ("55P03", "40P01")
_INDEX_TOO_LARGE = "54000"


@dataclass(frozen=True)
class PushReport:
    """What a push found or put in place.

    `is_new` is false when that very version was there already. `without_index` are marts whose
    key is too long for an index, `left` schemas of an older version that a query still held:
    the next push drops them.
    """

    version: int
    as_of_date: date | None
    published_at: datetime
    is_new: bool
    tables: int = 0
    rows: int = 0
    seconds: float = 0.0
    without_index: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Mart:
    """A table of the published file: its words, columns (name to type and words), and mark."""

    schema: str
    name: str
    words: str
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rows: int = 0
    fingerprint: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


def push(
    settings: Settings,
    target: PostgresTarget | None = None,
    *,
    grains: Mapping[str, Sequence[str]] | None = None,
    replace: bool = False,
) -> PushReport:
    """Put what is published into the PostgreSQL that `target` (or the settings) names.

    `grains` maps a mart to the columns of its key, which get a unique index. A version that is
    not newer than the one over there is refused, but for `replace`; the very same one is left
    alone. Raises SettingsError without a DSN, GateError when the file is not what was audited,
    LockedError while another push runs, and TandemError else; readers then keep what they had.
    """
    target = target or settings.postgres or PostgresTarget()
    started = time.monotonic()
    dsn = _dsn(target)
    with _published_file(settings) as served, _connected(target, dsn) as remote:
        about = _about(served)
        marts = _marts(served)
        _check_audited(served, about, marts)
        with _alone(remote):
            there = _there(remote, target)
            if there == (about["version"], about["published_at"], about["build_id"]):
                return PushReport(
                    about["version"], about["as_of_date"], about["published_at"], is_new=False
                )
            # Time first: what was published after going back to an older version is newer.
            here = (about["published_at"], about["version"])
            if there is not None and (there[1], there[0]) >= here and not replace:
                raise TandemError(
                    f"PostgreSQL has version {there[0]}, published at {there[1]} UTC, which is not "
                    f"older than version {about['version']} here"
                )
            _refuse_foreign(remote, target)
            _sweep(remote, target)
            without_index = _fill(served, remote, target, about, marts, grains or {})
            _swap(remote, target)
            left = _drop_older(remote, target)
    return PushReport(
        version=about["version"],
        as_of_date=about["as_of_date"],
        published_at=about["published_at"],
        is_new=True,
        tables=len(marts),
        rows=sum(mart.rows for mart in marts),
        seconds=time.monotonic() - started,
        without_index=tuple(without_index),
        left=tuple(left),
    )


def target_with(settings: Settings, **values: str | None) -> PostgresTarget:
    """The target of the settings, or the default one, with some of its fields replaced.

    Raises SettingsError for a value that cannot be one.
    """
    known = (settings.postgres or PostgresTarget()).model_dump()
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return PostgresTarget.model_validate(known | given)
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        raise SettingsError(f"postgres, {item['loc'][0]}: {item['msg']}") from None


def read_grains(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """`<schema>.<table>` of each mart of a dbt manifest to the columns of its key."""
    found = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["schema"] in PUBLISHED_SCHEMAS:
            meta = {**node.get("meta", {}), **node["config"].get("meta", {})}
            if grain := meta.get("grain"):
                found[f"{node['schema']}.{node.get('alias') or node['name']}"] = tuple(grain)
    return found


def _dsn(target: PostgresTarget) -> str:
    dsn = os.environ.get(target.dsn_env, "").strip()
    if not dsn:
        raise SettingsError(
            f"{target.dsn_env} is not set: it holds the DSN, as postgresql://user@host/database"
        )
    return dsn


@contextmanager
def _published_file(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees one version of the published file, and nothing else."""
    path = settings.serving_path
    if not path.exists():
        raise TandemError(f"nothing is published under {settings.home}: run `tandem build`")
    try:
        with duckdb.connect(
            config={"memory_limit": settings.memory_limit, "threads": str(settings.threads)}
        ) as connection:
            connection.execute(f"attach {literal(path)} as served (read_only)")
            connection.execute("use served")
            connection.execute("set timezone = 'UTC'")
            connection.execute("set enable_progress_bar = false")
            connection.execute("set enable_external_access = false")
            yield connection
    except duckdb.Error as error:
        raise TandemError(f"cannot read {path}: {first_line(error)}") from error


def _about(served: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    cursor = served.execute("select * from main._publish")
    names = [column[0] for column in cursor.description or []]
    rows = cursor.fetchall()
    if len(rows) != 1:
        raise TandemError("the published file's _publish has not exactly one row")
    return dict(zip(names, rows[0], strict=True))


def _marts(served: duckdb.DuckDBPyConnection) -> list[_Mart]:
    """The tables that `_publish_tables` lists, as they stand in the file."""
    marks = {
        name: (rows, mark)
        for name, rows, mark in served.execute(
            "select table_name, row_count, fingerprint from main._publish_tables"
        ).fetchall()
    }
    columns: dict[str, dict[str, tuple[str, str]]] = {}
    for table, name, kind, words in served.execute(
        """
        select schema_name || '.' || table_name, column_name, data_type, coalesce(comment, '')
        from duckdb_columns()
        where database_name = 'served' and not internal
        order by schema_name, table_name, column_index
        """
    ).fetchall():
        columns.setdefault(table, {})[name] = (kind, words)
    words_of = dict(
        served.execute(
            """
            select schema_name || '.' || table_name, coalesce(comment, '') from duckdb_tables()
            where database_name = 'served' and schema_name <> 'main'
            """
        ).fetchall()
    )
    if set(words_of) != set(marks):
        raise GateError("the published file's tables are not those that were published")
    found = []
    for name in sorted(marks):
        schema, table = name.split(".")
        odd = [f"{c} ({kind})" for c, (kind, _) in columns[name].items() if kind not in _TYPES]
        if odd or schema not in PUBLISHED_SCHEMAS:
            raise GateError(f"{name} cannot be pushed: {', '.join(odd) or 'no published schema'}")
        found.append(_Mart(schema, table, words_of[name], columns[name], *marks[name]))
    return found


def _check_audited(
    served: duckdb.DuckDBPyConnection, about: Mapping[str, Any], marts: Sequence[_Mart]
) -> None:
    """Raise GateError unless every table is what was published, and was judged before."""
    from data_quality.fingerprint import Fingerprints

    if not about["rules"]:
        raise GateError(f"version {about['version']} was published without the gates' verdict")
    fingerprints = Fingerprints(served)
    for mart in marts:
        if fingerprints.of_table(f"served.{mart.full_name}") != mart.fingerprint:
            raise GateError(f"the served {mart.full_name} is not what was published")
    if not any(mart.full_name == "quality.validations" for mart in marts):
        return
    row = served.execute(
        """
        select count(*), count(*) filter (where not success and severity = 'critical')
        from quality.validations where run = ?
        """,
        [about["build_id"]],
    ).fetchall()[0]
    if row[0] == 0 or row[1] > 0:
        raise GateError(
            f"version {about['version']} was published with {row[0]} verdicts of its build, "
            f"{row[1]} of them critical failures"
        )


@contextmanager
def _connected(target: PostgresTarget, dsn: str) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own, unless begun."""
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise TandemError(
            "the PostgreSQL driver is missing: install Tandem with the extra `postgres`"
        ) from None
    try:
        connection = dbapi.connect(dsn, autocommit=True)
    except Exception as error:  # noqa: BLE001
        # The driver's text may repeat the DSN, its password included.
        raise TandemError(
            f"cannot connect to the PostgreSQL that {target.dsn_env} names: {_safe(error)}"
        ) from None
    try:
        yield connection
    except Error as error:
        raise TandemError(f"PostgreSQL: {_reason(error)}") from None
    finally:
        with contextlib.suppress(Exception):
            connection.close()


def _safe(error: Exception) -> str:
    """What a refused connection says of its reason, without what it says of the DSN."""
    text = str(error)
    found = re.search(
        r"FATAL: [^\n]*|Connection refused|could not translate host name|timeout expired"
        r"|No such file or directory|does not support SSL|certificate verify failed",
        text,
    )
    return found[0].strip() if found else "no valid DSN, or no such server"


def _reason(error: Exception) -> str:
    """The server's first line. It names tables and columns; the values stand in its details."""
    text = first_line(error)
    state = getattr(error, "sqlstate", None)
    return f"{text} ({state})" if state else text


def _run(remote: Connection, statement: str) -> None:
    with remote.cursor() as cursor:
        cursor.execute(statement)


def _rows(remote: Connection, query: str) -> list[tuple[Any, ...]]:
    with remote.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


@contextmanager
def _alone(remote: Connection) -> Iterator[None]:
    """One push at a time in one database; the server lets go when the connection ends."""
    if _rows(remote, f"select pg_try_advisory_lock({_LOCK})") != [(True,)]:
        raise LockedError("another push into this PostgreSQL database is running")
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            _rows(remote, f"select pg_advisory_unlock({_LOCK})")


def _there(remote: Connection, target: PostgresTarget) -> tuple[int, datetime, str] | None:
    """Version, published_at and build_id of what PostgreSQL serves now."""
    table = f"{quoted(target.prefix + ABOUT)}._publish"
    if _rows(remote, f"select to_regclass({literal(table)}) is null") == [(True,)]:
        return None
    rows = _rows(remote, f"select version, published_at, build_id from {table}")
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def _schemas(remote: Connection, target: PostgresTarget) -> dict[str, bool]:
    """Every schema that has one of our names, a suffix of ours included, and whether it is ours."""
    names = "|".join(SCHEMAS)
    rows = _rows(
        remote,
        f"""
        select n.nspname, coalesce(obj_description(n.oid, 'pg_namespace'), '')
        from pg_namespace as n
        where n.nspname ~ {literal(f"^{target.prefix}({names})(_next|_old_[0-9]+)?$")}
        order by n.nspname
        """,
    )
    return {name: words.startswith(MARK) for name, words in rows}


def _refuse_foreign(remote: Connection, target: PostgresTarget) -> None:
    foreign = [name for name, ours in _schemas(remote, target).items() if not ours]
    if foreign:
        raise TandemError(
            f"the schemas {', '.join(foreign)} of this database are not Tandem's: give it a "
            "database of its own, or a prefix"
        )


def _sweep(remote: Connection, target: PostgresTarget) -> None:
    """Drop what a killed push left half filled, and older versions that queries had held."""
    for name in _schemas(remote, target):
        if name.endswith("_next"):
            _run(remote, f"drop schema {quoted(name)} cascade")
    _drop_older(remote, target)


def _drop_older(remote: Connection, target: PostgresTarget) -> list[str]:
    """Drop replaced versions; the schemas that a running query still holds are returned."""
    left = []
    _run(remote, f"set lock_timeout = '{DROP_TIMEOUT}'")
    for name, ours in _schemas(remote, target).items():
        if ours and re.search(r"_old_[0-9]+$", name):
            try:
                _run(remote, f"drop schema {quoted(name)} cascade")
            except Exception as error:
                if getattr(error, "sqlstate", None) not in _BUSY:
                    raise
                left.append(name)
    _run(remote, "set lock_timeout = 0")
    return left


def _fill(
    served: duckdb.DuckDBPyConnection,
    remote: Connection,
    target: PostgresTarget,
    about: Mapping[str, Any],
    marts: Sequence[_Mart],
    grains: Mapping[str, Sequence[str]],
) -> list[str]:
    """Write every table into `<schema>_next`, with its words and index; marts without one."""
    words = f"{MARK}: version {about['version']}, as of {about['as_of_date']}"
    statements = []
    for name in SCHEMAS:
        new = quoted(target.prefix + name + "_next")
        statements += [f"create schema {new}", f"comment on schema {new} is {text(words)}"]
    # Together: a schema without the mark would be taken for another's.
    _transaction(remote, statements)
    without = []
    for name in ("_publish", "_publish_tables"):
        _ingest(served, remote, f"main.{quoted(name)}", target.prefix + ABOUT + "_next", name)
    for mart in marts:
        new = target.prefix + mart.schema + "_next"
        _ingest(served, remote, f"{quoted(mart.schema)}.{quoted(mart.name)}", new, mart.name, mart)
        table = f"{quoted(new)}.{quoted(mart.name)}"
        comments = [f"comment on table {table} is {text(mart.words)}"] + [
            f"comment on column {table}.{quoted(column)} is {text(said)}"
            for column, (_, said) in mart.columns.items()
        ]
        _run(remote, "do " + text(f"begin {'; '.join(comments)}; end"))
        key = grains.get(mart.full_name, ())
        if key and not _index(remote, table, key):
            without.append(mart.full_name)
        _run(remote, f"analyze {table}")
    return without


def _ingest(
    served: duckdb.DuckDBPyConnection,
    remote: Connection,
    source: str,
    schema: str,
    name: str,
    mart: _Mart | None = None,
) -> None:
    columns = "*"
    if mart is not None:
        # PostgreSQL holds no zero byte.
        columns = ", ".join(
            f"replace({quoted(column)}, chr(0), chr(65533)) as {quoted(column)}"
            if kind == "VARCHAR"
            else quoted(column)
            for column, (kind, _) in mart.columns.items()
        )
    reader = served.execute(f"select {columns} from {source}").to_arrow_reader(BATCH_ROWS)
    with remote.cursor() as cursor:
        cursor.adbc_ingest(name, reader, mode="create", db_schema_name=schema)
    if mart is not None:
        (count,) = _rows(remote, f"select count(*) from {quoted(schema)}.{quoted(name)}")[0]
        if count != mart.rows:
            raise TandemError(f"{mart.full_name}: {count} of {mart.rows} rows arrived")


def _index(remote: Connection, table: str, key: Sequence[str]) -> bool:
    try:
        _run(remote, f"create unique index on {table} ({', '.join(map(quoted, key))})")
    except Exception as error:
        if getattr(error, "sqlstate", None) != _INDEX_TOO_LARGE:
            raise
        return False
    return True


def _swap(remote: Connection, target: PostgresTarget) -> None:
    """Rename old schemas away and new ones in, with the reader's rights, in one transaction.

    While the locks are held no statement is between two marts, so none joins two versions.
    Somebody who never ends a transaction must not hold up a publish: after a while it is done
    without, when only a statement that is being planned at that very instant could.
    """
    present = _schemas(remote, target)
    suffix = f"_old_{int(time.time() * 1000)}"
    statements = []
    for name in SCHEMAS:
        now = target.prefix + name
        if now in present:
            statements.append(f"alter schema {quoted(now)} rename to {quoted(now + suffix)}")
        statements.append(f"alter schema {quoted(now + '_next')} rename to {quoted(now)}")
        statements += _grants(target, now)
    tables = _rows(
        remote,
        f"""
        select schemaname, tablename from pg_tables
        where schemaname in ({", ".join(literal(target.prefix + name) for name in SCHEMAS)})
        order by schemaname, tablename
        """,
    )
    locks = [
        "lock table "
        + ", ".join(f"{quoted(schema)}.{quoted(table)}" for schema, table in tables)
        + " in access exclusive mode nowait"
    ]
    deadline = time.monotonic() + SWAP_PATIENCE_SECONDS
    while True:
        waits = tables and time.monotonic() < deadline
        try:
            _transaction(remote, [*(locks if waits else []), *statements])
        except Exception as error:
            if not waits or getattr(error, "sqlstate", None) not in _BUSY:
                raise
            time.sleep(0.05)
        else:
            return


def _grants(target: PostgresTarget, schema: str) -> list[str]:
    if target.reader_role is None:
        return []
    role = quoted(target.reader_role)
    return [
        f"grant usage on schema {quoted(schema)} to {role}",
        f"grant select on all tables in schema {quoted(schema)} to {role}",
    ]


def _transaction(remote: Connection, statements: Sequence[str]) -> None:
    _run(remote, "begin")
    try:
        _run(remote, "set local lock_timeout = '5s'")
        for statement in statements:
            _run(remote, statement)
    except BaseException:
        with contextlib.suppress(Exception):
            _run(remote, "rollback")
        raise
    _run(remote, "commit")


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text literal of PostgreSQL, whatever its setting of backslashes."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
