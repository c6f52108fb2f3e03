from __future__ import annotations

import random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_quality.catalogue import Suite
from data_quality.fingerprint import MISSING, Fingerprints

Row = tuple[int | None, str | None]
ROWS = st.lists(
    st.tuples(st.none() | st.integers(-5, 5), st.none() | st.sampled_from(["", "a", "b"])),
    max_size=8,
)


CONNECTION = duckdb.connect()
CONNECTION.execute("create schema s; create table s.t (n bigint, word varchar)")


def _print_of(rows: list[Row]) -> str:
    CONNECTION.execute("delete from s.t")
    if rows:
        CONNECTION.executemany("insert into s.t values (?, ?)", rows)
    return Fingerprints(CONNECTION).of_table("s.t")


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS, st.integers())
def test_equal_for_the_same_rows_in_any_order_and_for_no_others(
    rows: list[Row], others: list[Row], seed: int
) -> None:
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert _print_of(rows) == _print_of(shuffled)

    def bag(values: list[Row]) -> list[str]:
        return sorted(map(repr, values))

    assert (_print_of(rows) == _print_of(others)) == (bag(rows) == bag(others))


def test_pairs_of_equal_rows_do_not_cancel_out() -> None:
    assert _print_of([(1, "a"), (1, "a")]) != _print_of([(2, "b"), (2, "b")])


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema s; create table s.t as select 1 as n")
    connection.execute("create table s.other as select 1 as n")
    connection.execute(
        "create view s.v as with x as (select n from s.t) select n, getvariable('key') as k from x"
    )
    return connection


def test_columns_are_part_of_a_table(connection: duckdb.DuckDBPyConnection) -> None:
    before = Fingerprints(connection).of_table("s.t")
    connection.execute("alter table s.t rename n to m")
    assert Fingerprints(connection).of_table("s.t") != before


def test_a_view_is_its_text_over_its_tables(connection: duckdb.DuckDBPyConnection) -> None:
    before = Fingerprints(connection).of_table("s.v")
    connection.execute("update s.other set n = 2")
    assert Fingerprints(connection).of_table("s.v") == before
    connection.execute("update s.t set n = 2")
    changed = Fingerprints(connection).of_table("s.v")
    assert changed != before
    connection.execute("create or replace view s.v as select n + 1 as n from s.t")
    assert Fingerprints(connection).of_table("s.v") != changed


def test_a_suite_is_its_rules_and_all_that_they_read(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    def suite(query: str) -> Suite:
        rule = {
            "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": query},
            "severity": "critical",
            "meta": {"id": "r", "description": {"zh": "规则", "en": "rule"}, "faults": ["f"]},
        }
        return Suite.model_validate({"stage": "raw", "table": "s.t", "rules": [rule]})

    alone = suite("select n from {batch}")
    joined = suite("with b as (select n from {batch}) select 1 from b, s.other as o where o.n > 9")
    before = [Fingerprints(connection).of_suite(one) for one in (alone, joined)]
    assert before[0] != before[1]
    connection.execute("update s.other set n = 2")
    after = [Fingerprints(connection).of_suite(one) for one in (alone, joined)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_missing_table_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    assert Fingerprints(connection).of_table("s.nothing") == MISSING
    assert not Fingerprints(connection).exists("s.nothing")
