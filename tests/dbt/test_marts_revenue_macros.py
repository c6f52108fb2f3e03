"""The macros that apportion money, held against plain Python on random integers."""

from __future__ import annotations

import duckdb
import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.contracts import contracts
from orchestration.plan import DBT_PROJECT

CONNECTION = duckdb.connect()
KINDS_IN_MODELS = ("int_order_touches", "int_kind_removal_effects")


def _render(call: str) -> str:
    text = "".join(
        (DBT_PROJECT / "macros" / f"{name}.sql").read_text(encoding="utf-8")
        for name in ("dispatch", "scaled_share")
    )
    for name in ("floor_divide", "wide_integer"):
        text = text.replace(f"{{% macro {name}(", f"{{% macro dispatched_{name}(")
        text = text.replace(f"{{% macro default__{name}(", f"{{% macro {name}(")
    return (
        jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
        .from_string(f"{text}{{{{ {call} }}}}")
        .render()
    )


DIVIDED = _render("floor_divide('a', 'b')")
SHARED = _render("scaled_share('a', 'b', 'c', '10000000000000000')")


def _evaluate(expression: str, *values: int) -> int | None:
    columns = ", ".join(
        f"cast('{value}' as hugeint) as {name}" for value, name in zip(values, "abc", strict=False)
    )
    row = CONNECTION.execute(f"select {expression} from (select {columns}) as given").fetchone()
    assert row is not None
    return None if row[0] is None else int(row[0])


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**36), 10**36), st.integers(1, 10**18))
def test_floor_divide_rounds_down_on_both_sides_of_zero(numerator: int, denominator: int) -> None:
    assert _evaluate(DIVIDED, numerator, denominator) == numerator // denominator


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**17), 10**17), st.integers(1, 10**9), st.integers(0, 10**9))
def test_scaled_share_is_exact_for_a_year_of_a_large_platform(
    amount: int, whole: int, less: int
) -> None:
    part = max(whole - less, 0)
    assert _evaluate(SHARED, amount, part, whole) == amount * part * 10**16 // whole


def test_nothing_divided_by_nothing_is_unknown() -> None:
    assert _evaluate(DIVIDED, 1, 0) is None
    assert _evaluate(SHARED, 1, 1, 0) is None


@pytest.mark.parametrize("name", KINDS_IN_MODELS)
def test_kinds_in_the_models_are_those_of_the_contract(name: str) -> None:
    fields = {field.name: field for field in contracts()["operations/campaigns"].fields}
    kinds = fields["kind"].enum or ()
    text = (DBT_PROJECT / "models/intermediate/revenue" / f"{name}.sql").read_text("utf-8")
    listed = ", ".join(f"'{kind}'" for kind in (*kinds, "(unknown)"))
    assert f"kinds = [{listed}]" in text
