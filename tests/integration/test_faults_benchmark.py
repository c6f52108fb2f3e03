"""The fault benchmark itself: it sees what it should, and counts neither nothing nor a crash."""

from __future__ import annotations

import pytest

from benchmarks.faults.__main__ import load_set
from benchmarks.faults.fault import Delivery, Fault, Landed, Model, Result, Table
from benchmarks.faults.report import in_time, scores
from benchmarks.faults.run import Bench
from benchmarks.faults.world import make_world
from simulator import SimulatorConfig

CHOSEN = {
    "first": (
        "zero_width_ids",
        "raw_type_changed",
        "stg_amount_in_units",
        "int_orders_fan_out",
        "revenue_refund_sign",
        "export_private_column",
    ),
    "second": (
        "file_gbk",
        "stg_orders_whole_yuan",
        "int_days_likes_contribute",
        "retention_zero_for_unknown",
        "export_rows_twice",
    ),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("faults")
    make_world(folder / "world", SimulatorConfig(persons=200, days=28, seed=7))
    return Bench(folder, deep=False)


def _run(bench: Bench, *faults: Fault) -> list[Result]:
    return bench.run(faults, ("large",), lambda _: None)


def test_faults_of_every_stage_are_seen_where_they_should_be(bench: Bench) -> None:
    faults = [
        fault for name, chosen in CHOSEN.items() for fault in load_set(name) if fault.id in chosen
    ]
    results = _run(bench, *faults)
    assert {result.fault.id: result.error for result in results if result.error} == {}
    assert [result.fault.id for result in results if not in_time(result)] == []
    stages = {result.found for result in results}
    assert stages == {"raw", "staging", "intermediate", "marts", "export"}


def test_nothing_put_in_is_no_detection(bench: Bench) -> None:
    def nothing(delivery: Delivery) -> None:
        assert delivery.records()

    results = _run(
        bench,
        Fault("nothing_lands", "raw", "", "", Landed("commerce/orders", nothing)),
        Fault("nothing_runs", "raw", "", "", Table("raw.commerce__orders", "select 1")),
        Fault("same_model", "marts", "", "", Model("rfm", "", "select * from {query}")),
    )
    assert [result.outcome for result in results] == ["error"] * 3
    assert not any(map(in_time, results))


def test_a_crash_is_no_detection(bench: Bench) -> None:
    def crash(_: Delivery) -> None:
        raise ZeroDivisionError

    results = _run(
        bench,
        Fault("crashes", "raw", "", "", Landed("commerce/orders", crash)),
        Fault("bad_sql", "raw", "", "", Table("raw.commerce__orders", "delete from nowhere")),
        Fault("bad_model", "marts", "", "", Model("rfm", "no such text", "x")),
    )
    assert [result.outcome for result in results] == ["error"] * 3
    assert scores(results)["large"]["missed"] == 0
    assert scores(results)["large"]["in_time"] == 0


def test_great_expectations_judges_alike(bench: Bench) -> None:
    faults = {fault.id: fault for fault in load_set("first")}
    chosen = ("stg_amount_in_units", "int_orders_fan_out")
    assert bench.agreement([faults[name] for name in chosen]) == []


@pytest.mark.parametrize("name", CHOSEN)
def test_a_set_is_large_and_reaches_every_stage(name: str) -> None:
    faults = load_set(name)
    assert len(faults) >= 120
    assert {fault.stage for fault in faults} == {
        *("raw", "staging", "intermediate", "marts", "export"),
    }


def test_a_set_that_nobody_wrote_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        load_set("nobody_wrote")
