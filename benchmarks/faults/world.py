"""One clean warehouse, built once; a fault is put in within a transaction that is rolled back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from benchmarks.faults.fault import InjectionError
from benchmarks.faults.judge import failures, test_failures
from data_quality.catalogue import Stage
from orchestration.audience import ledger
from orchestration.audience.policy import AudiencePolicy
from orchestration.contracts import contracts
from orchestration.ingest.load import ingest
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DataTest, DbtSession
from orchestration.warehouse import open_warehouse, set_key
from simulator import SimulatorConfig, simulate

KEY = "fault-benchmark-key-0123456789"
RELEASED_AT = datetime.fromisoformat("2026-06-20 08:00")
WORLD = SimulatorConfig(persons=600, days=60, seed=7)
STAGES: tuple[Stage, ...] = ("raw", "staging", "intermediate", "marts")


@dataclass(frozen=True)
class Node:
    """A dbt model: `name`, its table, its layer, the models and tables that it reads."""

    name: str
    table: str
    layer: str
    is_view: bool
    is_python: bool
    code: str
    parents: frozenset[str]
    grain: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass
class World:
    """The clean warehouse with its models' SQL. `known` is what fails on it, by stage."""

    settings: Settings
    landing: Path
    nodes: dict[str, Node]
    tests: list[DataTest]
    order: list[str] = field(default_factory=list)
    known: dict[Stage, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = {name: node.parents & set(self.nodes) for name, node in self.nodes.items()}
        self.order = list(TopologicalSorter(graph).static_order())

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The warehouse, open for writing, with the key."""
        with open_warehouse(self.settings) as connection:
            set_key(connection, self.settings)
            yield connection

    def judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        stage: Stage,
        changed: Collection[str] | None = None,
    ) -> dict[str, str]:
        """What fails at a stage: rules, and the data tests of the layer."""
        tests = [
            test
            for test in self.tests
            if test.layer == stage
            and (changed is None or any(self._table(name) in changed for name in test.reads))
        ]
        return failures(connection, stage, changed) | test_failures(connection, tests)

    def rebuild(
        self, connection: duckdb.DuckDBPyConnection, layer: str, changed: set[str]
    ) -> dict[str, str]:
        """Build what stands on `changed` in a layer, and add it to `changed`.

        Returns models that no longer build as `dbt: <model> does not build`, critical.
        """
        broken: dict[str, str] = {}
        for name in self.order:
            node = self.nodes[name]
            if node.layer != layer or node.table in changed or not self._stands_on(node, changed):
                continue
            changed.add(node.table)
            if node.is_view:
                continue
            try:
                self.create(connection, node, node.code)
            except (duckdb.Error, ValueError, KeyError, ArithmeticError):
                broken[f"dbt: {name} does not build"] = "critical"
        return broken

    def create(self, connection: duckdb.DuckDBPyConnection, node: Node, code: str) -> None:
        """Build one model from its code, in the place of what is there."""
        if node.is_python:
            _create_by_python(connection, node, code)
        else:
            kind = "view" if node.is_view else "table"
            connection.execute(f"create or replace {kind} {quoted(node.table)} as {code}")

    def breaks_contract(self, connection: duckdb.DuckDBPyConnection, node: Node) -> bool:
        """Whether a mart's columns are not those that dbt would accept."""
        if node.layer != "marts":
            return False
        rows = connection.execute(f"describe {quoted(node.table)}").fetchall()
        return sorted(row[0] for row in rows) != sorted(node.columns)

    def _stands_on(self, node: Node, changed: Collection[str]) -> bool:
        parents = {self._table(parent) for parent in node.parents}
        return not parents.isdisjoint(changed)

    def _table(self, name: str) -> str:
        return self.nodes[name].table if name in self.nodes else name


def make_world(folder: Path, config: SimulatorConfig = WORLD) -> World:
    """Simulate, ingest and transform into `folder`; what is there from before is used again."""
    settings = Settings.model_validate({"home": folder, "key": KEY, "threads": 2})
    landing = settings.landing_path
    session = DbtSession(settings)
    if not (folder / "ready").exists():
        simulate(config, landing)
        ingest(settings)
        with open_warehouse(settings) as connection:
            plant_packs(connection)
            write_plan(connection, settings, make_plan(connection, settings))
        session.parse()
        session.invoke(
            [
                *("build", "--full-refresh", "--exclude-resource-type", "test"),
                *("--exclude-resource-type", "unit_test"),
            ]
        )
        session.test("staging")
        session.invoke(["compile", "--select", "resource_type:model", "--full-refresh"])
        with open_warehouse(settings) as connection:
            connection.execute("checkpoint")
        (folder / "ready").touch()
    target = folder / "dbt"
    # The first line is the digest of the rest.
    tests = json.loads((target / "data_tests.json").read_text("utf-8").partition("\n")[2])
    world = World(settings, landing, _nodes(target), [DataTest(**test) for test in tests])
    with world.connection() as connection:
        for stage in STAGES:
            world.known[stage] = frozenset(world.judge(connection, stage))
    return world


def quoted(table: str) -> str:
    """`<schema>.<name>` as SQL takes it."""
    schema, name = table.split(".")
    return f'{schema}."{name}"'


def rows_of(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[Any, ...]:
    """Count and sum of row hashes: equal for equal rows in any order."""
    row = connection.execute(
        f"select count(*), sum(cast(hash(found_) as hugeint)) from {quoted(table)} as found_"
    ).fetchone()
    if row is None:
        raise InjectionError(f"{table} has no rows to count")
    return tuple(row)


def _create_by_python(connection: duckdb.DuckDBPyConnection, node: Node, code: str) -> None:
    space: dict[str, Any] = {}
    exec(compile(code, node.name, "exec"), space)
    made = space["model"](
        space["dbtObj"](lambda name: connection.query(f"select * from {name}")), connection
    )
    if isinstance(made, duckdb.DuckDBPyRelation):
        made = made.to_arrow_table()
    if isinstance(made, pa.RecordBatchReader):
        made = made.read_all()
    connection.register("made_by_python", made)
    try:
        connection.execute(f"create or replace table {quoted(node.table)} as from made_by_python")
    finally:
        connection.unregister("made_by_python")


def _nodes(target: Path) -> dict[str, Node]:
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    found = {}
    keys = {contract.table: ("source", contract.key) for contract in contracts().values()}
    for item in manifest["nodes"].values():
        if item["resource_type"] != "model":
            continue
        path = target / "compiled" / "tandem" / item["original_file_path"]
        grain = tuple(item["config"].get("meta", {}).get("grain") or ())
        name = item["name"]
        if item["fqn"][1] == "staging":
            table = name.removeprefix("stg_")
            grain = keys.get(table.removesuffix("_history"), ())
            grain += ("updated_at",) if table.endswith("_history") else ()
        found[name] = Node(
            name=name,
            table=f"{item['schema']}.{item['alias']}",
            layer=item["fqn"][1],
            is_view=item["config"]["materialized"] == "view",
            is_python=item.get("language") == "python",
            code=path.read_text("utf-8"),
            parents=frozenset(_parent(parent) for parent in item["depends_on"]["nodes"]),
            grain=grain,
            columns=tuple(item["columns"]),
        )
    return found


def _parent(unique_id: str) -> str:
    """A model's name, or a source's table."""
    parts = unique_id.split(".")
    return ".".join(parts[2:4]) if parts[0] == "source" else parts[2]


def plant_packs(connection: duckdb.DuckDBPyConnection, released_at: datetime = RELEASED_AT) -> None:
    """Two released packs, one of rows and one of noisy counts, so that their rules can fail."""
    for hour, (pack, mechanism) in enumerate((("seeds", "rows"), ("demand", "noise"))):
        now = released_at + timedelta(hours=hour)
        _release(connection, pack, "rows" if mechanism == "rows" else "noise", now)
    connection.execute(
        """
        insert into control.audience_rows
        select 'seeds', 1, cell, column_name, value, cell_rows
        from (values
            (1, 'region', 'east', 60), (1, 'topic', 'film', 60),
            (2, 'region', 'east', 50), (2, 'topic', 'travel', 50)
        ) as cells (cell, column_name, value, cell_rows);
        insert into control.audience_counts
        select 'demand', 1, cell, measure, value
        from (values
            ('{"region":"east"}', 'persons', 91), ('{"region":"east"}', 'reads', 700),
            ('{"region":"west"}', 'persons', 0), ('{"region":"west"}', 'reads', 12)
        ) as cells (cell, measure, value)
        """
    )


def _release(
    connection: duckdb.DuckDBPyConnection,
    pack: str,
    mechanism: Literal["rows", "noise"],
    now: datetime,
) -> None:
    is_rows = mechanism == "rows"
    spent = (1.0, 1e-8) if is_rows else (0.2, 0.0)
    request = ledger.Request(
        *("community", f"purpose_{pack}", pack, 1, "a" * 64, "b" * 32),
        mechanism,
        '{"kind": "approx"}',
        *spent,
    )
    entry = ledger.reserve(connection, AudiencePolicy(), request, now).seq
    steps: tuple[ledger.Status, ...] = ("charged", "candidate", "released")
    for step in steps:
        ledger.advance(connection, entry, step, now)
    guarantee = "0.3, 50, 3, 0.5, 0.6" if is_rows else "null, null, null, null, null"
    connection.execute(
        f"""
        insert into control.audience_packs values (
            '{pack}', 1, {entry}, '{"rows" if is_rows else "counts"}', 'purpose_{pack}',
            'community', timestamp '{now}', timestamp '{now + timedelta(days=90)}',
            {spent[0]}, {spent[1]}, {guarantee}, repeat('a', 64), repeat('b', 32), 'released'
        );
        insert into control.audience_attacks values
            ('{pack}', 1, 'linkage', 0.02, 0.02, true),
            ('{pack}', 1, 'inference', 0.004, 0.01, true)
        """
    )
