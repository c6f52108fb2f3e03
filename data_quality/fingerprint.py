"""What a verdict was passed on: the rows of the judged tables, and the rules.

A table's fingerprint is its row count and the sum over its rows of DuckDB's 64-bit row hash,
with its columns' names and types. It is read from the rows themselves, because DuckDB keeps no
version of a table, and storage-level marks (block ids, file times) change without the rows and
stay when a block is used again. A sum, unlike an exclusive or, does not lose pairs of equal rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import duckdb

from data_quality.catalogue import Suite
from data_quality.export_rules import CATALOG
from orchestration.errors import TandemError

TableKey = tuple[str, str, str]
"""Database, schema and table."""
MISSING = "missing"
VERDICTS = "control.validations"
"""Left out of what a view over it is: storing a verdict would make the verdict void."""
_OVER_FILES = re.compile(r"\bread_parquet\(")
"""A view of this kind is a table that DuckDB does not hold: its rows are read like a table's."""


class Fingerprints:
    """Fingerprints of one database as it stands, each table read at most once.

    `known` are those of tables that nobody has written since. Raises TandemError for a view or
    rule whose SQL DuckDB cannot parse.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, known: Mapping[TableKey, str] | None = None
    ) -> None:
        self._connection = connection
        self._database = str(_one(connection, "select current_database()"))
        self._known = dict(known or {})
        self._views: dict[TableKey, str] = {
            (row[0], row[1], row[2]): row[3]
            for row in connection.execute(
                "select database_name, schema_name, view_name, sql from duckdb_views()"
                " where not internal"
            ).fetchall()
        }
        self._columns: dict[TableKey, list[tuple[str, str]]] = {}
        for database, schema, table, column, kind in connection.execute(
            """
            select database_name, schema_name, table_name, column_name, data_type
            from duckdb_columns() where not internal
            order by database_name, schema_name, table_name, column_index
            """
        ).fetchall():
            self._columns.setdefault((database, schema, table), []).append((column, kind))

    def exists(self, table: str) -> bool:
        """Whether the table or view is there."""
        return table == CATALOG or self._path(table) in self._columns

    def of_table(self, table: str) -> str:
        """The fingerprint of `[<database>.]<schema>.<table>`, `missing` if there is none."""
        return self._of(self._path(table))

    def of_schemas(self, schemas: Collection[str]) -> dict[TableKey, str]:
        """Those found so far in these schemas of the database itself."""
        return {
            path: value
            for path, value in self._known.items()
            if path[0] == self._database and path[1] in schemas
        }

    def of_suite(self, suite: Suite) -> str:
        """One for the judged table, every table that its rules read, and the rules.

        64 hex digits. Equal means: the same rules on the same rows.
        """
        paths = {self._path(suite.table)}
        queries = [rule.sql.format(batch=suite.table) for rule in suite.rules if rule.sql]
        paths |= self._read_by(queries)
        parts = {".".join(path): self._of(path) for path in sorted(paths)}
        # A published file is judged under a name that is not its own yet.
        own = {name.removeprefix(f"{self._database}."): value for name, value in parts.items()}
        return _digest(json.dumps([suite.digest, own], sort_keys=True))

    def _of(self, path: TableKey) -> str:
        if path not in self._known:
            own = ".".join(path[1:])
            self._known[path] = VERDICTS if own == VERDICTS else self._compute(path)
        return self._known[path]

    def _compute(self, path: TableKey) -> str:
        if ".".join(path[1:]) == CATALOG:
            return _digest(json.dumps(sorted(self._columns.items()), default=str))
        if path in self._views and not _OVER_FILES.search(self._views[path]):
            # A view is its text over its tables; reading its rows could cost a hash a value.
            query = self._views[path].split(" AS ", 1)[1]
            parts = [self._of(child) for child in sorted(self._read_by([query]))]
            return _digest(json.dumps([self._views[path], *parts]))
        if path not in self._columns:
            return MISSING
        name = ".".join(_quoted(part) for part in path)
        columns = ", ".join(_quoted(column) for column, _ in self._columns[path])
        row = self._connection.execute(
            f"select count(*), sum(cast(hash({columns}) as hugeint)) from {name}"
        ).fetchone()
        rows, total = row or (0, None)
        return f"{rows}:{total or 0:x}:{_digest(json.dumps(self._columns[path]))[:16]}"

    def _path(self, table: str) -> TableKey:
        parts = table.split(".")
        if len(parts) == 2:
            parts = [self._database, *parts]
        return parts[0], parts[1], parts[2]

    def _read_by(self, queries: Sequence[str]) -> set[TableKey]:
        if not queries:
            return set()
        # As literals: DuckDB imports pandas to bind a parameter, which takes a second.
        texts = ", ".join(
            "('" + query.rstrip("; \n").replace("'", "''") + "')" for query in queries
        )
        rows = self._connection.execute(
            f"select json_serialize_sql(query) from (values {texts}) as queries (query)"
        ).fetchall()
        found: set[TableKey] = set()

        def note(node: dict[str, Any]) -> dict[str, Any]:
            # A name without a schema is a common table expression: tables are written with theirs.
            if node.get("type") == "BASE_TABLE" and node["schema_name"]:
                catalog = node["catalog_name"] or self._database
                found.add((catalog, node["schema_name"], node["table_name"]))
            return node

        for (text,) in rows:
            tree = json.loads(text, object_hook=note)
            if tree["error"]:
                raise TandemError(f"cannot read a rule's or view's SQL: {tree['error_message']}")
        return found


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
