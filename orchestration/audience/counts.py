"""Counts packs: bounded contributions, integer noise from OpenDP, public or thresholded keys.

What a person adds is bounded here, in SQL; that bound is the sensitivity that OpenDP is told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from orchestration.audience.interface import PackSpec
from orchestration.audience.recode import column_list, quoted
from orchestration.audience.rows import left_out_sql
from orchestration.errors import TandemError
from orchestration.warehouse import literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ACCURACY_ALPHA = 0.05
_SEPARATOR = "\x1f"
_UP = 1 + 1e-9


@dataclass(frozen=True)
class NoisePlan:
    """How a counts pack is drawn, fixed before the draw.

    Per measure (`persons` first): `scales` of its noise and `accuracy`, the distance that noise
    exceeds with probability 0.05. `epsilon` and `delta` are what OpenDP says it costs, never
    more than the definition's. `threshold` is the least noisy count that keeps a key.
    """

    scales: dict[str, float]
    accuracy: dict[str, float]
    epsilon: float
    delta: float
    threshold: int | None = None


def create_bounded(
    connection: duckdb.DuckDBPyConnection, spec: PackSpec, *, ticket: str = "person_id"
) -> None:
    """Write `bounded`: of `population`, at most m cells a person, with clamped values.

    Which cells stay follows from the person's own rows alone, and from `ticket`: a column of the
    population that follows from the person's own id.
    """
    connection.execute(f"create table bounded as {_bounded_sql(spec, 'population', ticket)}")


def build_cells(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    table: str,
    *,
    persons: str = "population",
    without: Collection[str] = (),
    ticket: str = "person_id",
) -> None:
    """Write `table` (key columns, persons, measures): exact sums, before any noise."""
    bounded = f"({_bounded_sql(spec, persons, ticket)})"
    _add_up(connection, spec, table, bounded, left_out_sql(without))


def build_candidate_cells(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    table: str,
    *,
    ticket: str = "person_id",
) -> None:
    """Write `bounded`, and from it `table` as `build_cells` would."""
    create_bounded(connection, spec, ticket=ticket)
    _add_up(connection, spec, table, "bounded", "true")


def _add_up(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    table: str,
    bounded: str,
    condition: str,
) -> None:
    sums = [f"cast(sum({quoted(m.name)}) as bigint) as {quoted(m.name)}" for m in spec.measures]
    keys = column_list(spec.key_columns)
    connection.execute(
        f"""
        create or replace table {quoted(table)} as
        select {", ".join([keys, "count(*) as persons", *sums])}
        from {bounded}
        where {condition}
        group by {keys}
        """
    )


def plan_noise(spec: PackSpec) -> NoisePlan:
    """Scales and threshold that spend the definition's ε and δ, split evenly over the measures.

    A count changes by at most m in L1 and √m in L2, a sum by as many times its greatest clamp.
    """
    dp = _opendp()
    highs = {"persons": 1} | {m.name: max(abs(m.low), abs(m.high)) for m in spec.measures}
    cells, guarantee = spec.max_cells_per_person, spec.guarantee
    if spec.noise == "gaussian":
        unit = _gaussian_unit(len(highs), guarantee.epsilon, guarantee.delta)
        scales = {name: unit * high * cells**0.5 for name, high in highs.items()}
        accuracy = {
            name: float(dp.discrete_gaussian_scale_to_accuracy(scale, ACCURACY_ALPHA))
            for name, scale in scales.items()
        }
        return NoisePlan(scales, accuracy, guarantee.epsilon, guarantee.delta)
    share = guarantee.epsilon / len(highs)
    scales = {name: cells * high / share * _UP for name, high in highs.items()}
    epsilon = sum(_laplace(scale).map(cells * highs[name]) for name, scale in scales.items())
    threshold, delta = None, 0.0
    if spec.keys == "thresholded":
        threshold = _threshold(scales["persons"], cells, guarantee.delta)
        delta = _thresholded(scales["persons"], threshold).map((cells, cells, 1))[1]
    if epsilon > guarantee.epsilon or delta > guarantee.delta:
        raise TandemError(f"{spec.pack}: the noise would cost more than its guarantee says")
    accuracy = {
        name: float(dp.discrete_laplacian_scale_to_accuracy(scale, ACCURACY_ALPHA))
        for name, scale in scales.items()
    }
    return NoisePlan(scales, accuracy, epsilon, delta, threshold)


def draw(
    connection: duckdb.DuckDBPyConnection, spec: PackSpec, cells: str, table: str, plan: NoisePlan
) -> None:
    """Write `table`: the keys that leave, with noisy persons and measures, none below 0."""
    import pyarrow as pa

    keys = column_list(spec.key_columns)
    names = ["persons", *(measure.name for measure in spec.measures)]
    values: dict[str, Any] = {}
    if spec.keys == "public":
        connection.execute(f"create table public_cells as {_public_sql(spec)}")
        exact = _exact(connection, spec, "public_cells", cells, names)
        values = {name: _noisy(exact[name], plan.scales[name], spec.noise) for name in names}
        kept = connection.execute(f"select {keys} from public_cells order by {keys}")
        columns = kept.to_arrow_table()
    else:
        text = f" || {literal(_SEPARATOR)} || ".join(quoted(name) for name in spec.key_columns)
        counted = connection.execute(f"select {text}, persons from {quoted(cells)}").fetchall()
        if plan.threshold is None:
            raise ValueError(f"{spec.pack} has thresholded keys, its plan no threshold")
        noisy = _thresholded(plan.scales["persons"], plan.threshold)(dict(counted))
        kept_keys = sorted(tuple(key.split(_SEPARATOR)) for key in noisy)
        parts = list(zip(*kept_keys, strict=True)) or [()] * len(spec.key_columns)
        columns = pa.table(
            {
                name: pa.array(part, pa.string())
                for name, part in zip(spec.key_columns, parts, strict=True)
            }
        )
        connection.register("kept_keys", columns)
        connection.execute("create table kept_cells as select * from kept_keys")
        connection.unregister("kept_keys")
        exact = _exact(connection, spec, "kept_cells", cells, names)
        values = {name: _noisy(exact[name], plan.scales[name], spec.noise) for name in names[1:]}
        values["persons"] = [noisy[_SEPARATOR.join(key)] for key in kept_keys]
    for name in names:
        columns = columns.append_column(
            name, pa.array([max(value, 0) for value in values[name]], pa.int64())
        )
    connection.register("noisy_cells", columns)
    connection.execute(f"create table {quoted(table)} as select * from noisy_cells")
    connection.unregister("noisy_cells")


def _bounded_sql(spec: PackSpec, persons: str, ticket: str) -> str:
    keys, cells = column_list(spec.key_columns), spec.max_cells_per_person
    clamped = [
        f"greatest(least(coalesce({quoted(m.name)}, 0), {m.high}), {m.low}) as {quoted(m.name)}"
        for m in spec.measures
    ]
    items = ", ".join(["person_id", keys, *clamped])
    # A row is among its person's first m if the m-th row before is another's: one sort, where a
    # numbering within persons takes three times as long. 128 bits of hash leave no ties.
    return f"""
        select {items}
        from (
            select
                *,
                lag(person_id, {cells}) over (
                    order by person_id, hash({ticket}, {keys}), hash({keys}, {ticket})
                ) as another
            from {persons}
        )
        where another is distinct from person_id
    """


def _public_sql(spec: PackSpec) -> str:
    parts = []
    for number, column in enumerate(c for c in spec.columns if c.role != "measure"):
        values = ", ".join(f"({literal(value)})" for value in column.vocabulary)
        parts.append(f"(values {values}) as v{number} ({quoted(column.name)})")
    return f"select * from {' cross join '.join(parts)}"


def _exact(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    keys_table: str,
    cells: str,
    names: list[str],
) -> dict[str, NDArray[np.int64]]:
    """Exact values at the keys, in order of the keys; OpenDP refuses Arrow's read-only views."""
    same = " and ".join(f"k.{quoted(n)} = c.{quoted(n)}" for n in spec.key_columns)
    found = connection.execute(
        f"""
        select {", ".join(f"coalesce(c.{quoted(name)}, 0) as {quoted(name)}" for name in names)}
        from {keys_table} as k left join {quoted(cells)} as c on {same}
        order by {column_list(spec.key_columns, "k.")}
        """
    ).to_arrow_table()
    return {name: found[name].to_numpy().copy() for name in names}


def _noisy(values: NDArray[np.int64], scale: float, noise: str) -> Any:
    if not len(values):
        return []
    return _laplace(scale)(values) if noise == "laplace" else _gaussian(scale)(values)


def _opendp() -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp


def _laplace(scale: float) -> Any:
    dp = _opendp()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    return dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=scale)


def _gaussian(scale: float) -> Any:
    dp = _opendp()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    return dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale=scale)


def _thresholded(scale: float, threshold: int) -> Any:
    dp = _opendp()
    return dp.m.make_laplace_threshold(
        dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T="i64")),
        dp.l01inf_distance(dp.absolute_distance(T="i64")),
        scale=scale,
        threshold=threshold,
    )


def _threshold(scale: float, cells: int, delta: float) -> int:
    low, high = 1, 2
    while _thresholded(scale, high).map((cells, cells, 1))[1] > delta:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if _thresholded(scale, middle).map((cells, cells, 1))[1] > delta:
            low = middle + 1
        else:
            high = middle
    return high


def _gaussian_unit(measures: int, epsilon: float, delta: float) -> float:
    """The noise, in sensitivities, at which that many Gaussian measures cost (ε, δ) together."""
    dp = _opendp()

    def cost(unit: float) -> float:
        together = dp.c.make_composition([_gaussian(unit)] * measures)
        spent = dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(together), delta)
        return float(spent.map(1.0)[0])

    low, high = 1e-3, 1.0
    while cost(high) > epsilon:
        low, high = high, high * 2
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if cost(middle) > epsilon else (low, middle)
    return high * _UP
