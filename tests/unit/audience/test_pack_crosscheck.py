"""k, l, alpha and t against what pycanon 1.3.6 gave for the same table, and the pack's lift."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from benchmarks.packs import NOW, lifts, make_world
from orchestration.audience.interface import Column, Guarantee, PackSpec
from orchestration.audience.release import build_pack
from orchestration.audience.rows import broken_classes_sql
from tests.unit.audience.pack_world import passing

# `benchmarks/crosscheck_pycanon.py --tiny` prints these; its TINY is the same table.
L, ALPHA, T = 2, 0.75, 0.416667
TINY = list(zip("nnnnnnssssswwww", "aaabbbaaaaabbbb", "xyzxxyxxyyzzzzy", strict=True))
SPEC = PackSpec(
    "tiny", "rows", "p", ("a",), "community", 30, 30, (), (),
    (
        Column("region", "VARCHAR", "quasi_identifier"),
        Column("age", "VARCHAR", "quasi_identifier"),
        Column("topic", "VARCHAR", "sensitive"),
    ),
    Guarantee(1.0, 1e-8, 0.3, 1, L, ALPHA, T), "", Path("tiny.yml"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "broken"),
    [({}, 0), ({"l": 3}, 2), ({"alpha": 0.74}, 1), ({"t": 0.41}, 1)],
)
def test_classes_break_where_pycanon_says(change: dict[str, float], broken: int) -> None:
    connection = duckdb.connect()
    connection.execute("create table cells (region varchar, age varchar, topic varchar)")
    connection.executemany("insert into cells values (?, ?, ?)", TINY)
    connection.execute(
        "create or replace table cells as select *, count(*) as cell_rows from cells group by all"
    )
    assert connection.execute("select min(cell_rows) from cells").fetchall() == [(1,)]
    spec = replace(SPEC, guarantee=replace(SPEC.guarantee, **change))
    query = broken_classes_sql(spec, "cells", "topic")
    assert connection.execute(f"select count(*) from ({query})").fetchall() == [(broken,)]


def test_a_recipient_finds_the_interested(tmp_path: Path) -> None:
    """The bar is 0.9 of the raw data's lift at 1 M persons; of 200,000 fewer cells reach k.

    There 0.79 to 0.83 is kept; of 100,000 nothing is, and the noise decides.
    """
    settings = make_world(tmp_path / "world", 200_000)
    build_pack(settings, "rows", now=NOW, attacks=passing)
    kept, raw = lifts(settings, 50_000)
    assert raw > 1.5
    assert kept >= 0.7 * raw
