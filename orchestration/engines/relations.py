"""The warehouse's relations as views over the Parquet that Spark made of them.

Gates, publishing, packs and ledgers read a relation by its name, and do not see who made it. A
build on Spark writes `<home>/spark/builds/<build>/<schema>.db/<table>/*.parquet`; when a layer is
whole, one transaction puts views in place of what stood there before. A folder goes once no view
reads it.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb

from orchestration import durable, plan
from orchestration.engines.compare import COMMITTED
from orchestration.errors import TandemError, first_line
from orchestration.settings import Settings
from orchestration.transform import DbtSession, project_fingerprint
from orchestration.warehouse import literal, set_key

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_REAL = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class Model:
    """A dbt model: its SQL on DuckDB (None if it is Python) and its contract's column types.

    `is_view` says that Spark keeps no rows of it: then it is a view of DuckDB's own as well.
    """

    schema: str
    name: str
    sql: str | None
    types: Mapping[str, str]
    is_view: bool = False

    @property
    def table(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"


def models_of(session: DbtSession, layer: str, views: Collection[str]) -> list[Model]:
    """The models of a layer, parents first. `views` are the names of Spark's views.

    The SQL is compiled once for one state of the project.
    """
    if session.manifest is None:
        session.parse()
    nodes = {
        key: node
        for key, node in session.manifest.nodes.items()
        if node.resource_type == "model" and node.fqn[1] == layer
    }
    graph = {key: nodes.keys() & set(node.depends_on.nodes) for key, node in nodes.items()}
    compiled = _compiled(session)
    found = []
    for key in TopologicalSorter(graph).static_order():
        node = nodes[key]
        columns = node.columns.values() if node.config.contract.enforced else ()
        found.append(
            Model(
                schema=node.schema,
                name=node.alias,
                sql=compiled[node.name] if node.language == "sql" else None,
                types={column.name: column.data_type for column in columns},
                is_view=node.name in views,
            )
        )
    return found


def switch(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    models: Sequence[Model],
    folder: Path,
) -> None:
    """Make views of these models, parents first, over the tables in `folder`, all or none.

    A view has the columns of DuckDB's own table, in order and of its types. What the views
    replace is dropped in the same transaction. Raises TandemError for a table that was not
    written whole, or is not what the model says, and then changes nothing.
    """
    tables = [model for model in models if not model.is_view]
    files = {model.table: _files(folder, model) for model in tables}
    for model in tables:
        _read_footers(connection, model, files[model.table])
    _make_private(folder)
    for model in tables:
        durable.sync_tree(_table_folder(folder, model))
    set_key(connection, settings)
    connection.begin()
    try:
        for model in models:
            _drop(connection, model)
            query = model.sql if model.is_view else _reading(connection, model, files[model.table])
            connection.execute(f"create schema if not exists {_quote(model.schema)}")
            connection.execute(f"create view {_name(model)} as (\n{query}\n)")
        connection.commit()
    except duckdb.Error as error:
        connection.rollback()
        raise TandemError(f"cannot read {model.table}: {first_line(error)}") from error
    except TandemError:
        connection.rollback()
        raise


def _compiled(session: DbtSession) -> dict[str, str]:
    """Model name to its SQL on DuckDB, as a full refresh runs it."""
    path = (session.target or session.settings.home / "dbt") / "models.json"
    fingerprint = project_fingerprint()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["project"] == fingerprint:
            return dict(kept["models"])
    except (FileNotFoundError, ValueError, KeyError):
        pass
    layers = [f"fqn:tandem.{layer}" for layer in plan.LAYERS]
    options = ["--full-refresh", "--indirect-selection", "empty"]
    compiled = session.compile(layers, options)
    durable.write(path, json.dumps({"project": fingerprint, "models": compiled}))
    return compiled


def _table_folder(folder: Path, model: Model) -> Path:
    return folder / f"{model.schema}.db" / model.name


def _files(folder: Path, model: Model) -> list[Path]:
    root = _table_folder(folder, model)
    if not (root / COMMITTED).exists():
        raise TandemError(
            f"{model.table}: Spark has not finished writing {root}, so that nothing was replaced; "
            "build again"
        )
    found = [path for path in sorted(root.rglob("*.parquet")) if _is_data(path.relative_to(root))]
    if not found:
        raise TandemError(f"{model.table}: no Parquet in {root}; build again")
    return found


def _is_data(path: Path) -> bool:
    return not any(part.startswith(("_", ".")) for part in path.parts)


def _read_footers(
    connection: duckdb.DuckDBPyConnection, model: Model, files: Sequence[Path]
) -> None:
    """Open the footer of every file: it is what a writer writes last."""
    try:
        connection.execute(f"from parquet_file_metadata([{_listed(files)}])").fetchall()
    except duckdb.Error as error:
        raise TandemError(
            f"{model.table}: a file was not written whole, so that nothing was replaced; build "
            f"again ({first_line(error)})"
        ) from error


def _make_private(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for path, mode in ((Path(root), 0o700), *((Path(root, name), 0o600) for name in names)):
            # A cluster's workers may write as another user.
            if path.stat().st_uid == os.getuid():
                path.chmod(mode)


def _drop(connection: duckdb.DuckDBPyConnection, model: Model) -> None:
    where = f"schema_name = {literal(model.schema)} and database_name = current_database()"
    for kind in ("table", "view"):
        if connection.execute(
            f"select 1 from duckdb_{kind}s() where {where} and {kind}_name = {literal(model.name)}"
        ).fetchone():
            connection.execute(f"drop {kind} {_name(model)}")


def _reading(connection: duckdb.DuckDBPyConnection, model: Model, files: Sequence[Path]) -> str:
    # Partitions stand in the paths alone.
    partitioned = "true" if any("=" in path.parent.name for path in files) else "false"
    source = f"read_parquet([{_listed(files)}], hive_partitioning = {partitioned})"
    there = _types(connection, f"from {source}")
    here = _wanted(connection, model) or there
    if odd := set(here) ^ set(there):
        raise TandemError(f"{model.table}: columns of one engine alone: {', '.join(sorted(odd))}")
    columns = ",\n".join(
        f"    {_cast(model, name, there[name], kind)} as {_quote(name)}"
        for name, kind in here.items()
    )
    return f"select\n{columns}\nfrom {source}"


def _wanted(connection: duckdb.DuckDBPyConnection, model: Model) -> dict[str, str]:
    """Column name to the type that DuckDB's own table has; empty where nothing says it."""
    if model.types:
        nulls = (f"cast(null as {kind}) as {_quote(name)}" for name, kind in model.types.items())
        return _types(connection, f"select {', '.join(nulls)}")
    return _types(connection, f"from (\n{model.sql}\n)") if model.sql is not None else {}


def _cast(model: Model, name: str, there: str, here: str) -> str:
    """One column of DuckDB's type. Raises TandemError for a type that could lose something."""
    column = _quote(name)
    if there == here:
        return column
    if (there, here) == ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP"):
        # Not a cast, which would follow the zone of whoever reads.
        return f"timezone('UTC', {column})"
    if _width(there) is None or (_width(here) or 0) < (_width(there) or 0):
        raise TandemError(f"{model.table}.{name} is {there} on Spark and {here} on DuckDB")
    return f"cast({column} as {here})"


def _width(kind: str) -> int | None:
    """What a number can be turned into: whole numbers, which never round, into all others."""
    if kind in _WHOLE or kind.endswith(",0)"):
        return 1
    if kind.startswith("DECIMAL"):
        return 2
    return 3 if kind in _REAL else None


def _types(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    select = query if query.startswith("select") else f"select * {query}"
    return {row[0]: row[1] for row in connection.execute(f"describe {select}").fetchall()}


def _listed(files: Sequence[Path]) -> str:
    """Files as SQL, each by its name: one that is missing is then an error, not fewer rows."""
    return ", ".join(literal(glob.escape(str(path))) for path in files)


def _name(model: Model) -> str:
    return f"{_quote(model.schema)}.{_quote(model.name)}"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
