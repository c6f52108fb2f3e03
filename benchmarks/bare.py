"""The bare limit: what the same work takes in one DuckDB connection and nothing else.

The typed load of the landing files into the tables of `raw`, and the same compiled SQL of all
models in order. Nothing is checked, quarantined, deduplicated, recorded, tested or published.
"""

from __future__ import annotations

import importlib.util
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment

from orchestration.contracts import LogContract, contracts
from orchestration.ingest.tables import create_tables, raw_columns
from orchestration.plan import DBT_PROJECT, make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import literal, open_warehouse, set_key

_READERS = {"jsonl": "read_json", "csv": "read_csv", "parquet": "read_parquet"}
_COMPONENTS = "int_identity_components"


@dataclass(frozen=True)
class Model:
    """A model as dbt compiles it: `relation` is schema and table, `code` SQL or a Python path."""

    name: str
    relation: str
    kind: str
    code: str


def prepare(folder: Path) -> None:
    """Compile every model against an empty warehouse, and write them in order; not timed."""
    settings = Settings(home=folder)
    with open_warehouse(settings) as connection:
        create_tables(connection)
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    compiled = session.compile(["resource_type:model"])
    manifest = json.loads((folder / "dbt" / "manifest.json").read_text("utf-8"))
    models = ordered_models(manifest["nodes"], compiled)
    (folder / "models.json").write_text(json.dumps([asdict(model) for model in models]), "utf-8")
    settings.warehouse_path.unlink()


def ordered_models(nodes: dict[str, Any], compiled: dict[str, str]) -> list[Model]:
    """Seeds and models of a manifest, parents first."""
    wanted = {
        key: node for key, node in nodes.items() if node["resource_type"] in ("model", "seed")
    }
    ordered: list[str] = []

    def visit(key: str) -> None:
        for parent in wanted[key].get("depends_on", {}).get("nodes", ()):
            if parent in wanted and parent not in ordered:
                visit(parent)
        if key not in ordered:
            ordered.append(key)

    for key in sorted(wanted):
        visit(key)
    return [_model(wanted[key], compiled) for key in ordered]


def _model(node: dict[str, Any], compiled: dict[str, str]) -> Model:
    path = str(DBT_PROJECT / node["original_file_path"])
    relation = f'{node["schema"]}."{node["alias"]}"'
    if node["resource_type"] == "seed":
        types = json.dumps(node["config"].get("column_types", {}))
        query = f"select * from read_csv({literal(path)}, header = true, types = {types})"
        return Model(node["name"], relation, "table", query.replace('"', "'"))
    if node["language"] == "python":
        return Model(node["name"], relation, "python", path)
    kind = "view" if node["config"]["materialized"] == "view" else "table"
    return Model(node["name"], relation, kind, compiled[node["name"]])


def load(connection: duckdb.DuckDBPyConnection, landing: Path) -> None:
    """Read every log's files into `raw`, typed as the contract says, one statement a format."""
    for log, contract in contracts().items():
        found: dict[str, list[Path]] = {}
        for path in sorted((landing / log).rglob("*")):
            if path.is_file() and not path.name.endswith(".control.json"):
                kind = path.name.split(".", 1)[1].split(".")[0]
                found.setdefault(kind, []).append(path)
        for kind, paths in found.items():
            connection.execute(_load_statement(connection, contract, kind, paths))


def _load_statement(
    connection: duckdb.DuckDBPyConnection, contract: LogContract, kind: str, paths: list[Path]
) -> str:
    types = {field.name: field.duckdb_type for field in contract.all_fields}
    files = "[" + ", ".join(literal(path) for path in paths) + "]"
    columns = ", ".join(f"'{name}': '{kind_}'" for name, kind_ in types.items())
    if kind == "jsonl":
        options = f", format = 'newline_delimited', columns = {{{columns}}}"
        selected = {name: name for name in types}
    else:
        options = ", union_by_name = true"
        options += ", header = true, all_varchar = true" if kind == "csv" else ""
        probe = f"describe select * from {_READERS[kind]}({files}{options})"
        there = [row[0] for row in connection.execute(probe).fetchall()]
        selected = {
            name: f"cast({name} as {type_})" for name, type_ in types.items() if name in there
        }
    items = [f"{expression} as {name}" for name, expression in selected.items()]
    items += ["0 as _file_id", "1 as _batch_id"]
    if "_state_sha256" in raw_columns(contract):
        items.append(f"sha256({contract.key} || cast({contract.time} as varchar)) as _state_sha256")
    reader = f"{_READERS[kind]}({files}{options})"
    return f"insert into raw.{contract.table} by name select {', '.join(items)} from {reader}"


def build(settings: Settings, landing: Path, prepared: Path) -> dict[str, float]:
    """Load and run all models in one connection; seconds of the load and of the models."""
    models = [Model(**item) for item in json.loads((prepared / "models.json").read_text("utf-8"))]
    with open_warehouse(settings) as connection:
        started = time.perf_counter()
        create_tables(connection)
        load(connection, landing)
        loaded = time.perf_counter()
        set_key(connection, settings)
        write_plan(connection, settings, make_plan(connection, settings))
        for schema in sorted({model.relation.split(".")[0] for model in models}):
            connection.execute(f"create schema if not exists {schema}")
        relations = {model.name: model.relation for model in models}
        for model in models:
            if model.kind == "python":
                _run_python(connection, settings, model, relations)
                continue
            code = model.code
            if model.name == _COMPONENTS:
                edges = relations["int_identity_edges"]
                found = settle_components(connection, edges)
                code = f"select node as id_key, component as component_key from {found}"
            connection.execute(f"create or replace {model.kind} {model.relation} as {code}")
    return {"load": loaded - started, "models": time.perf_counter() - loaded}


class _Returned(Exception):  # noqa: N818
    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


def settle_components(connection: duckdb.DuckDBPyConnection, edges: str) -> str:
    """Run the project's own macro of connected components; the name of its temporary table."""

    def leave(value: str) -> None:
        raise _Returned(value)

    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        {
            "execute": True,
            "flags": {"WHICH": "run"},
            "return": leave,
            "run_query": lambda query: _Answer(connection, query),
            "create_scratch_table": lambda name, query: connection.execute(
                f"create or replace temporary table {name} as {query}"
            ),
        }
    )
    text = (DBT_PROJECT / "macros" / "identity.sql").read_text("utf-8")
    module: Any = environment.from_string(text).module
    try:
        module.connected_components(edges, "id_key_a", "id_key_b")
    except _Returned as returned:
        return returned.value
    raise AssertionError("connected_components returned nothing")


class _Answer:
    """What dbt's `run_query` gives, as far as the macro looks at it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        self._rows = connection.execute(query).fetchall()

    @property
    def columns(self) -> list[_Column]:
        return [_Column([row[0] for row in self._rows])]


@dataclass(frozen=True)
class _Column:
    found: list[Any]

    def values(self) -> list[Any]:
        return self.found


def _run_python(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    model: Model,
    relations: dict[str, str],
) -> None:
    spec = importlib.util.spec_from_file_location(model.name, model.code)
    if spec is None or spec.loader is None:
        raise AssertionError(f"{model.code} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # A cursor of its own: a model may stream what it reads while its result is written.
    with connection.cursor() as reading:
        reading.execute("set timezone = 'UTC'")
        set_key(reading, settings)
        result = module.model(_Dbt(reading, relations), reading)
        if isinstance(result, duckdb.DuckDBPyRelation):
            result = result.to_arrow_table()
        # DuckDB finds the local variable by its name.
        connection.execute(f"create or replace table {model.relation} as select * from result")
        del result


class _Dbt:
    """What dbt hands to a model in Python."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, relations: dict[str, str]) -> None:
        self._connection = connection
        self._relations = relations

    def config(self, **_: object) -> None:
        """Materialisation is the same for all here."""

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        """The relation of another model."""
        return self._connection.sql(f"select * from {self._relations[name]}")

    def source(self, schema: str, table: str) -> duckdb.DuckDBPyRelation:
        """The relation of a source."""
        return self._connection.sql(f"select * from {schema}.{table}")
