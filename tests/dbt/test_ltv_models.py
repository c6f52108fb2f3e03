"""The marts of predicted lifetime value: units by hand, a world recomputed, and its odd ends."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pytest
import yaml

from orchestration.ingest.tables import create_tables
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.statistics import bgnbd, gamma_gamma
from orchestration.statistics.lifetime_value import fit_models
from orchestration.warehouse import open_warehouse
from tests.dbt.scratch import REAL_PROJECT, Scratch, query
from tests.support import KEY, test_settings

# Each with the number of its unit tests.
MODELS = {
    "int_ltv_cutoffs": 3,
    "int_purchase_days": 1,
    "int_purchase_histories": 1,
    "int_ltv_fits": 0,
    "int_ltv_expectations": 0,
    "int_ltv_scores": 1,
    "ltv_predictions": 1,
    "ltv_calibration": 1,
}
AS_OF = date(2026, 6, 30)
HOLDOUT = 60
START = date(2026, 1, 1)
STAFF, ERASED = "p000", "p001"


@dataclass(frozen=True)
class Order:
    person: str
    day: date
    amount: int
    has_rate: bool
    refunds: tuple[tuple[date, int], ...]


def _orders() -> list[Order]:
    pick = random.Random(4)
    found = []
    for number in range(220):
        rate, dropout = pick.gammavariate(1.2, 1 / 25), pick.betavariate(1, 5)
        level = 4000 / pick.gammavariate(3.5, 1)
        day = START + timedelta(days=pick.randrange(170))
        while day <= AS_OF + timedelta(days=3):
            amount = 0 if pick.random() < 0.03 else max(1, int(pick.gammavariate(4, level)))
            refunds: list[tuple[date, int]] = []
            if amount and pick.random() < 0.15:
                share = pick.choice((1, 2))
                refunds = [
                    (day + timedelta(days=pick.randrange(40)), amount // share)
                    for _ in range(pick.choice((1, share)))
                ]
            has_rate = pick.random() > 0.05
            found.append(Order(f"p{number:03d}", day, amount, has_rate, tuple(refunds)))
            if pick.random() < dropout:
                break
            day += timedelta(days=int(pick.expovariate(max(rate, 0.002))))
    return found


def _fill(connection: duckdb.DuckDBPyConnection, orders: list[Order]) -> None:
    """The intermediate tables that the models stand on; a person is an person here."""
    persons = sorted({order.person for order in orders})
    paid = [
        (
            f"o{number:04d}",
            *(order.person, order.person != STAFF, order.day, order.amount),
            order.amount if order.has_rate else None,
        )
        for number, order in enumerate(orders)
    ]
    refunds = [
        (f"o{number:04d}", day, amount, amount if order.has_rate else None)
        for number, order in enumerate(orders)
        for day, amount in order.refunds
    ]
    connection.execute(
        """
        create schema given;
        create table given.int_orders (
            source varchar default 's', order_id varchar, person_id varchar, counts boolean,
            paid_date date, amount_minor bigint, reporting_minor bigint
        );
        create table given.int_refunds (
            source varchar default 's', order_id varchar, refunded_date date,
            amount_minor bigint, reporting_minor bigint
        );
        create table given.int_persons (person_id varchar, is_erased boolean)
        """
    )
    for table, rows in (("orders", paid), ("refunds", refunds)):
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"insert into given.int_{table} values ('s', {marks})", rows)
    connection.executemany(
        "insert into given.int_persons values (?, ?)",
        [(person, person == ERASED) for person in persons],
    )


@pytest.fixture(scope="module")
def orders() -> list[Order]:
    return _orders()


def _project() -> dict[str, str]:
    """The models and their YAML over stand-ins for what they read: a small project parses fast."""
    folders = [REAL_PROJECT / "models" / name for name in ("intermediate/revenue", "marts/revenue")]
    files = {
        path.name: path.read_text(encoding="utf-8")
        for folder in folders
        for path in folder.iterdir()
        if path.stem in MODELS
    }
    given = ("int_orders", "int_refunds", "int_persons")
    files |= {f"{name}.sql": f"select * from {{{{ source('given', '{name}') }}}}" for name in given}
    sources = [
        {"name": "control", "schema": "control", "tables": [{"name": "parameters"}]},
        {"name": "given", "schema": "given", "tables": [{"name": name} for name in given]},
    ]
    return files | {"sources.yml": yaml.safe_dump({"version": 2, "sources": sources})}


@pytest.fixture(scope="module")
def built(orders: list[Order], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    folder = tmp_path_factory.mktemp("ltv")
    settings = test_settings(folder / "home", as_of_date=AS_OF, ltv_holdout_days=HOLDOUT)
    with open_warehouse(settings) as connection:
        create_tables(connection)
        write_plan(connection, settings, make_plan(connection, settings))
        connection.begin()
        _fill(connection, orders)
        connection.commit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_KEY", KEY)
        scratch = Scratch(folder / "project", settings, _project())
        scratch.run(["build", "--exclude-resource-type", "unit_test"])
        yield scratch


@pytest.fixture(scope="module")
def settings(built: Scratch) -> Settings:
    return built.session.settings


def _bought(orders: list[Order], cutoff: date) -> dict[str, dict[date, int | None]]:
    """Account → purchase date → net value, as known at the end of a date; None without a rate."""
    found: dict[str, dict[date, int | None]] = defaultdict(dict)
    for order in orders:
        refunded = sum(amount for day, amount in order.refunds if day <= cutoff)
        if order.day > cutoff or order.amount <= refunded or order.person == STAFF:
            continue
        before = found[order.person].get(order.day, 0)
        net = order.amount - refunded
        known = order.has_rate and before is not None
        found[order.person][order.day] = (before or 0) + net if known else None
    return found


def _history(days: dict[date, int | None], cutoff: date) -> tuple[int, int, int, int, int]:
    first, *again = sorted(days)
    values = [days[day] for day in again if days[day] is not None]
    recency = (max(days) - first).days
    return len(again), recency, (cutoff - first).days, len(values), sum(v or 0 for v in values)


def _expected(
    histories: dict[str, tuple[int, int, int, int, int]], horizon: int
) -> dict[str, tuple[float, float, int]]:
    """Account → P(alive), purchases and value within the horizon, fitted buyer by buyer."""
    names = sorted(histories)
    x, t_x, t, n, total = (
        np.array([histories[name][place] for name in names], dtype=np.float64) for place in range(5)
    )
    known = bgnbd.Histories(x, t_x, t, np.ones(len(x)))
    buying, _ = bgnbd.fit(known)
    valued = (n > 0) & (total > 0)
    spent = gamma_gamma.Spending(n[valued], total[valued], np.ones(int(valued.sum())))
    values, _ = gamma_gamma.fit(spent)
    alive, later = (
        bgnbd.p_alive(buying, known),
        bgnbd.expected_purchases(buying, known, float(horizon)),
    )
    worth = later * gamma_gamma.expected_value(
        values, gamma_gamma.Spending(n, total, np.ones(len(x)))
    )
    return {
        name: (float(a), float(o), int(v + 0.5))
        for name, a, o, v in zip(names, alive, later, worth, strict=True)
    }


def test_predictions_are_those_of_histories_recomputed(
    settings: Settings, orders: list[Order]
) -> None:
    histories = {person: _history(days, AS_OF) for person, days in _bought(orders, AS_OF).items()}
    expected = _expected(histories, 90)
    rows = {
        str(row[0]): row[1:] for row in query(settings, "select * from scratch.ltv_predictions")
    }
    assert set(rows) == set(histories) - {ERASED}
    assert ERASED in histories
    for person, (*history, alive, purchases, value, model) in rows.items():
        assert tuple(history) == histories[person][:3]
        assert (alive, purchases) == pytest.approx(expected[person][:2], rel=1e-7)
        assert abs(value - expected[person][2]) <= 1  # type: ignore[operator]
        assert model == "bg_nbd+gamma_gamma/1"


def test_calibration_is_that_of_what_was_known_then(
    settings: Settings, orders: list[Order]
) -> None:
    cutoff = AS_OF - timedelta(days=HOLDOUT)
    histories = {person: _history(days, cutoff) for person, days in _bought(orders, cutoff).items()}
    expected = _expected(histories, HOLDOUT)
    later = {
        person: [value for day, value in days.items() if day > cutoff]
        for person, days in _bought(orders, AS_OF).items()
    }
    order = sorted(expected, key=lambda person: (round(expected[person][1], 9), person))
    small, large = divmod(len(order), 10)
    place, rows = 0, []
    for tenth in range(10):
        mine = order[place : place + small + (tenth < large)]
        place += len(mine)
        rows.append(
            (
                tenth + 1,
                HOLDOUT,
                len(mine),
                sum(expected[person][1] for person in mine),
                sum(len(later.get(person, [])) for person in mine),
                sum(expected[person][2] for person in mine),
                sum(value or 0 for person in mine for value in later.get(person, [])),
            )
        )
    found = query(settings, "select * from scratch.ltv_calibration order by decile")
    assert ERASED in histories
    assert [row[:3] for row in found] == [row[:3] for row in rows]
    for (*_, predicted, bought, value, spent, model), row in zip(found, rows, strict=True):
        assert predicted == pytest.approx(row[3], rel=1e-5)
        assert (bought, spent) == (row[4], row[6])
        assert abs(value - row[5]) <= row[2]  # type: ignore[operator]
        assert str(model).startswith("bg_nbd+gamma_gamma/1")


def test_predicted_and_bought_are_of_one_size(settings: Settings) -> None:
    ((predicted, bought),) = query(
        settings, "select sum(predicted), sum(observed) from scratch.ltv_calibration"
    )
    assert 0.7 < float(predicted) / float(bought) < 1.4  # type: ignore[arg-type]


def test_the_same_rows_give_the_same_bits(settings: Settings) -> None:
    with open_warehouse(settings, read_only=True) as connection:
        histories = connection.sql("select * from scratch.int_purchase_histories")
        parameters = connection.sql("select * from control.parameters")
        shuffled = histories.order("md5(person_id)")
        kept = connection.sql("select * from scratch.int_ltv_fits order by fit")
        again = [fit_models(rows, parameters).to_pylist() for rows in (histories, shuffled)]
        assert again[0] == again[1] == kept.to_arrow_table().to_pylist()


def test_dbt_unit_tests_pass(built: Scratch) -> None:
    outcomes = built.run(["test", "--select", "test_type:unit"])
    assert len(outcomes) == sum(MODELS.values())


FEW: dict[str, tuple[int, int, str]] = {
    "fewer buyers than asked for": (9, 9, "none:few_buyers"),
    "nobody came back": (60, 0, "none:few_repeat_buyers"),
    "values of too few": (400, 40, "bg_nbd/1"),
}


@pytest.mark.parametrize("name", FEW)
def test_what_cannot_be_fitted_is_null_with_its_reason(name: str) -> None:
    buyers, repeat, model = FEW[name]
    connection = duckdb.connect()
    valued = 0 if model == "bg_nbd/1" else 1
    histories = connection.sql(
        f"""
        select 'forecast' as fit, cast(n < {repeat} as bigint) as frequency,
            case when n < {repeat} then 5 + n % 60 else 0 end as recency_days,
            90 + n % 7 as t_days, frequency * {valued} as valued_days,
            frequency * {valued} * (100 + n) as value_minor
        from range({buyers}) as buyers (n)
        """
    )
    parameters = connection.sql("select 50 as ltv_min_buyers, 10 as ltv_min_repeat_buyers")
    (row,) = fit_models(histories, parameters).to_pylist()
    assert row["model"].split(":")[0] == model.split(":")[0]
    assert (row["buyers"], row["repeat_buyers"]) == (buyers, repeat)
    if model.startswith("none"):
        assert row["model"] == model
        assert (row["r"], row["gamma_p"]) == (None, None)
    else:
        assert "few_values" in row["model"]
        assert row["r"] > 0
        assert row["gamma_p"] is None


def test_nothing_bought_gives_an_empty_table_of_the_same_columns() -> None:
    connection = duckdb.connect()
    nothing = connection.sql(
        """
        select 'forecast' as fit, 0 as frequency, 0 as recency_days, 0 as t_days,
            0 as valued_days, 0 as value_minor
        where false
        """
    )
    empty = fit_models(
        nothing, connection.sql("select 50 as ltv_min_buyers, 10 as ltv_min_repeat_buyers")
    )
    assert empty.num_rows == 0
    assert {"fit", "model", "r", "gamma_minor"} <= set(empty.column_names)
