"""Which coarser bands would keep more rows: a lattice search that never reads the warehouse.

Bands that were chosen on the data of their own release tell of it (downcoding), so the search
runs on synthetic persons, or on an earlier released version: post-processing, which costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import duckdb

from orchestration.audience.definition import SpecError
from orchestration.audience.interface import OTHER, PackSpec, Recode
from orchestration.audience.manifest import NAME as MANIFEST
from orchestration.audience.manifest import read_manifest, spec_of
from orchestration.audience.recode import column_list, quoted, recoded, segment_sql
from orchestration.audience.spec import band_labels, load_pack
from orchestration.errors import TandemError, first_line
from orchestration.settings import Settings
from orchestration.warehouse import literal

MAX_NODES = 2_000
SHOWN = 10


@dataclass(frozen=True)
class Suggestion:
    """One node of the lattice: bands left per column, the share of sampled rows that stay.

    `kept` is expected over the coins: cells whose sampled size β·n reaches k.
    """

    levels: dict[str, int]
    kept: float
    cells: int


def suggest(settings: Settings, pack: str, source: Path) -> list[Suggestion]:
    """The best coarsenings of a rows pack's columns, the finest first among those that keep most.

    `source` is a CSV or Parquet file of synthetic persons with the columns that the pack recodes,
    or the folder of a released version. Raises SpecError for a counts pack, TandemError for a
    source that cannot be read or is the warehouse.
    """
    spec = load_pack(pack, settings.audience)
    if spec.product != "rows" or not spec.guarantee.k or not spec.guarantee.beta:
        raise SpecError([f"{spec.path}: only a rows pack has rows to keep"])
    connection = duckdb.connect(":memory:")
    try:
        weight = _load(connection, spec, source)
        ladders = [_ladder(connection, spec, recode) for recode in spec.recode]
        return _search(connection, spec, ladders, weight)
    except duckdb.Error as error:
        raise TandemError(f"{source}: {first_line(error)}") from error
    finally:
        connection.close()


def _load(connection: duckdb.DuckDBPyConnection, spec: PackSpec, source: Path) -> float:
    """Write `persons` with recoded columns; returns the sampling rate still to come."""
    if source.is_dir():
        if not (source / MANIFEST).exists():
            raise TandemError(f"{source} is no released version: it has no {MANIFEST}")
        released = spec_of(read_manifest(source), source)
        path = source / "rows.parquet"
        if released.key_columns != spec.key_columns:
            raise TandemError(f"{source} has other columns than {spec.pack}")
        connection.execute(
            f"create table persons as select {column_list(spec.key_columns)} "
            f"from read_parquet({literal(path)})"
        )
        return 1.0
    readers = {".csv": "read_csv", ".parquet": "read_parquet"}
    if source.suffix not in readers or not source.is_file():
        raise TandemError(f"{source} is no CSV or Parquet file, and no folder")
    items, joins = recoded(spec.recode, "source")
    connection.execute(
        f"create table persons as select {', '.join(items)} "
        f"from (select * from {readers[source.suffix]}({literal(source)}) as persons "
        f"where {segment_sql(spec.segment, 'persons')}) as source {' '.join(joins)}"
    )
    return spec.guarantee.beta or 1.0


def _ladder(
    connection: duckdb.DuckDBPyConnection, spec: PackSpec, recode: Recode
) -> list[tuple[int, str]]:
    """Ever coarser versions of one column: how many bands, and the table that maps to them.

    Bands lose every second cut, an ordered vocabulary its every second border; other words have
    two versions, themselves and one for all.
    """
    column = next(c for c in spec.columns if c.name == recode.name)
    steps: list[dict[str, str]] = [{value: value for value in column.vocabulary}]
    if recode.name in spec.sensitive:
        pass
    elif recode.cuts:
        cuts = recode.cuts
        while len(cuts) > 1:
            cuts = cuts[1::2]
            steps.append(
                _merged(recode.cuts, cuts) | {column.vocabulary[-1]: column.vocabulary[-1]}
            )
        steps.append(dict.fromkeys(column.vocabulary, OTHER))
    else:
        steps.append(dict.fromkeys(column.vocabulary, OTHER))
    ladder = []
    for number, step in enumerate(steps):
        table = f"ladder_{recode.name}_{number}"
        rows = ", ".join(f"({literal(a)}, {literal(b)})" for a, b in step.items())
        connection.execute(
            f"create table {quoted(table)} as select * from (values {rows}) as v (value, label)"
        )
        ladder.append((len(set(step.values())), table))
    return ladder


def _merged(fine: tuple[int, ...], coarse: tuple[int, ...]) -> dict[str, str]:
    labels = band_labels(coarse)
    lows = (-1, *fine)
    return {
        label: labels[sum(low >= cut for cut in coarse)]
        for label, low in zip(band_labels(fine), lows, strict=True)
    }


def _search(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    ladders: list[list[tuple[int, str]]],
    weight: float,
) -> list[Suggestion]:
    nodes = list(product(*ladders))
    if len(nodes) > MAX_NODES:
        raise SpecError([f"{spec.path}: {len(nodes)} coarsenings, more than {MAX_NODES}"])
    found = []
    for node in nodes:
        names = [recode.name for recode in spec.recode]
        items = ", ".join(f"m{n}.label as c{n}" for n in range(len(node)))
        joins = " ".join(
            f"inner join {quoted(table)} as m{n} on cells.{quoted(names[n])} = m{n}.value"
            for n, (_, table) in enumerate(node)
        )
        rows = connection.execute(
            f"""
            with cells as (
                select {column_list(names)}, count(*) as n from persons
                group by {column_list(names)}
            ),
            coarse as (select {items}, sum(cells.n) as n from cells {joins} group by all)
            select
                coalesce(sum(n) filter (where n * {weight} >= {spec.guarantee.k}), 0)
                / nullif(sum(n), 0),
                count(*) filter (where n * {weight} >= {spec.guarantee.k})
            from coarse
            """
        ).fetchall()
        kept, cells = rows[0]
        if kept:
            levels = {name: bands for name, (bands, _) in zip(names, node, strict=True)}
            found.append(Suggestion(levels, float(kept), int(cells)))
    found.sort(key=lambda item: (-round(item.kept, 2), -item.cells))
    return [replace(item, kept=round(item.kept, 4)) for item in _front(found)][:SHOWN]


def _front(found: list[Suggestion]) -> list[Suggestion]:
    """Those that no other beats in both rows kept and cells told apart."""
    front: list[Suggestion] = []
    for item in found:
        if not front or item.cells > max(other.cells for other in front):
            front.append(item)
    return front
