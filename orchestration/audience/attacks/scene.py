"""What all attacks look at: the file's cells beside the population's, and earlier packs' cells."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from statsmodels.stats.proportion import proportion_confint

from orchestration.audience.interface import AttackContext, AttackResult, PackSpec
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

LAST_PACKS = 12
"""How many earlier packs an attacker is taken to have kept."""
ERROR = 1e-5
"""How often a bound of what was sampled may be wrong: so seldom is an honest pack blocked."""


def up(value: float) -> float:
    """`value` rounded up to 0.001: results read the population, so they say no more."""
    if not math.isfinite(value):
        return value
    return math.ceil(value * 1000 - 1e-9) / 1000


def result(name: str, value: float, gate: float, detail: str) -> AttackResult:
    """A result that passes when `value` ≤ `gate`.

    The value is rounded up to 0.001; one that passes is never shown above its gate.
    """
    passed = value <= gate
    return AttackResult(
        id=name,
        value=min(up(value), gate) if passed else up(value),
        gate=gate,
        passed=passed,
        detail=detail,
    )


def does_not_apply(name: str, gate: float, reason: str) -> AttackResult:
    """The result of an attack that has nothing to attack in this product."""
    return AttackResult(
        id=name, value=0.0, gate=gate, passed=True, detail=f"does not apply: {reason}"
    )


def wilson_upper(successes: float, trials: float) -> float:
    """Upper end of the 95 % Wilson interval of a share (Wilson 1927)."""
    if trials == 0:
        return 0.0
    return float(proportion_confint(successes, trials, alpha=0.05, method="wilson")[1])


def exact_lower(successes: float, trials: float) -> float:
    """One-sided 99.999 % lower bound of a share (Clopper and Pearson 1934)."""
    if trials == 0:
        return 0.0
    return float(proportion_confint(successes, trials, alpha=2 * ERROR, method="beta")[0])


def exact_upper(successes: float, trials: float) -> float:
    """One-sided 99.999 % upper bound of a share (Clopper and Pearson 1934)."""
    if trials == 0:
        return 1.0
    return float(proportion_confint(successes, trials, alpha=2 * ERROR, method="beta")[1])


def guessing_bound(epsilon: float, delta: float) -> float:
    """(e^ε − 1 + 2δ) / (e^ε + 1): the greatest advantage that (ε, δ)-DP leaves to any test.

    Kairouz, Oh, Viswanath 2015. For δ = 0 it is tanh(ε/2), which also bounds the chance that a
    noisy integer of sensitivity 1 is exactly right.
    """
    return (math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1)


def texts(columns: Iterable[str]) -> str:
    """Columns cast to text, NULL as a value of its own, under their own names, as SQL."""
    return ", ".join(
        f"coalesce(cast({quoted(column)} as varchar), '\\N') as {quoted(column)}"
        for column in columns
    )


@dataclass(frozen=True)
class Earlier:
    """An earlier released pack: a table of its cells as `attack_earlier_<n>`.

    The table holds `columns` as text, `attack_rows` (rows packs: rows of the cell) and
    `measures` as they were published.
    """

    table: str
    product: str
    columns: tuple[str, ...]
    measures: tuple[str, ...]
    epsilon: float
    beta: float | None


@dataclass(frozen=True)
class Scene:
    """The context with its derived tables; build it with `Scene.of`.

    `attack_cells` has one row a distinct key tuple of the population or the file: `columns` as
    text, `attack_persons` (of the population; where the file has a column that the population
    lacks, the file's own rows), and `attack_rows` (of the file).

    Args:
        columns: the file's columns but the measures that the definition names.
        earlier: packs of the same population, the latest last.
    """

    context: AttackContext
    columns: tuple[str, ...]
    earlier: tuple[Earlier, ...] = field(default=())

    @classmethod
    def of(cls, context: AttackContext) -> Scene:
        """Read the file's shape, and write the tables that the attacks share."""
        spec = context.spec
        measures = {c.name for c in spec.columns if c.role == "measure"}
        connection = context.connection
        released = columns_of(connection, "released")
        columns = tuple(c for c in released if c not in measures)
        connection.execute("drop table if exists attack_values")
        connection.execute(_cells_sql(columns, columns_of(connection, "population")))
        return cls(context, columns, tuple(_earlier(context)))

    @property
    def spec(self) -> PackSpec:
        """The compiled definition."""
        return self.context.spec

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Where the tables are."""
        return self.context.connection

    @property
    def is_rows(self) -> bool:
        """Whether the file has one row a person."""
        return self.spec.product == "rows"

    @property
    def k(self) -> int:
        """The rows that stand behind every whole tuple of a rows pack."""
        return self.spec.guarantee.k or 1

    @property
    def sensitive(self) -> tuple[str, ...]:
        """Sensitive columns that the file has."""
        return tuple(c for c in self.spec.sensitive if c in self.columns)

    @cached_property
    def measures(self) -> dict[str, int]:
        """Measures of a counts pack that the file has, with a person's greatest part in a cell."""
        present = columns_of(self.connection, "released")
        greatest = {m.name: max(abs(m.low), abs(m.high)) for m in self.spec.measures}
        named = (c.name for c in self.spec.columns if c.role == "measure")
        return {each: greatest.get(each, 1) for each in named if each in present}

    @cached_property
    def shared_columns(self) -> tuple[str, ...]:
        """The file's columns that the definition has too: what a rebuild can be compared on."""
        return tuple(c for c in self.spec.key_columns if c in self.columns)

    @cached_property
    def truth(self) -> str:
        """Counts packs: a table of the exact cells behind the candidate, by the builder's code."""
        self.context.redo("attack_truth")
        return "attack_truth"

    @cached_property
    def rebuilt(self) -> str:
        """A table of the cells by the builder's code, with the candidate's own coins.

        Rows packs: before l, alpha and t. Counts packs: the exact cells, `truth`.
        """
        if not self.is_rows:
            return self.truth
        self.context.redo("attack_rebuilt")
        return "attack_rebuilt"

    def one(self, sql: str) -> tuple[Any, ...]:
        """The only row of a query."""
        return tuple(self.connection.execute(sql).fetchall()[0])


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[str, ...]:
    """A table's columns, in its order."""
    return tuple(str(row[0]) for row in connection.execute(f"describe {table}").fetchall())


def _cells_sql(columns: Sequence[str], population: Sequence[str]) -> str:
    persons = (
        f"select {texts(columns)}, 1 as attack_persons, 0 as attack_rows from population"
        if set(columns) <= set(population)
        else f"select {texts(columns)}, 1 as attack_persons, 0 as attack_rows from released"
    )
    return f"""
        create or replace temp table attack_cells as
        select
            {column_list(columns)},
            cast(sum(attack_persons) as bigint) as attack_persons,
            cast(sum(attack_rows) as bigint) as attack_rows
        from (
            {persons}
            union all
            select {texts(columns)}, 0 as attack_persons, 1 as attack_rows from released
        ) as both_sides
        group by {column_list(columns)}
    """


def _earlier(context: AttackContext) -> Iterable[Earlier]:
    for number, folder in enumerate(context.previous[-LAST_PACKS:]):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        product = str(manifest["kind"])
        file = folder / f"{product}.parquet"
        if not file.is_file():
            continue
        table = f"attack_earlier_{number}"
        yield _load(context.connection, table, file, product, manifest)


def _load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    file: Path,
    product: str,
    manifest: Mapping[str, Any],
) -> Earlier:
    source = f"read_parquet({literal(str(file))})"
    measures = tuple(str(c["name"]) for c in manifest["columns"] if c["role"] == "measure")
    described = connection.execute(f"describe select * from {source}").fetchall()
    columns = tuple(str(row[0]) for row in described if row[0] not in measures)
    sums = "".join(f", cast(sum({quoted(m)}) as bigint) as {quoted(m)}" for m in measures)
    connection.execute(
        f"""
        create or replace temp table {table} as
        select {column_list(columns)}, count(*) as attack_rows{sums}
        from (select {texts(columns)}{"".join(f", {quoted(m)}" for m in measures)} from {source})
        group by {column_list(columns)}
        """
    )
    guarantee = manifest["guarantee"]
    beta = guarantee.get("beta")
    return Earlier(
        table=table,
        product=product,
        columns=columns,
        measures=measures,
        epsilon=float(guarantee["epsilon"]),
        beta=None if beta is None else float(beta),
    )
