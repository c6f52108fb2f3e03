"""A platform that grows: by how much, with what, and without touching one that does not."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from simulator import Dirt, SimulatorConfig, simulate
from simulator.population import THERE_BEFORE, Population
from simulator.rhythm import Calendar, grown
from tests.unit.simulator.landing_reader import data_files, distinct_records, moment

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = 28


@pytest.fixture(scope="module")
def landings(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    folder = tmp_path_factory.mktemp("growth")
    for growth in (1.0, 3.0):
        config = SimulatorConfig(
            persons=500, days=DAYS, activity=0.5, growth=growth, daily_files=growth > 1
        )
        simulate(config, folder / f"{growth}", folder / f"{growth}-truth")
    return {growth: folder / f"{growth}" for growth in (1.0, 3.0)}


def _week(landing: Path, log: str, time: str, first: int) -> int:
    start = SimulatorConfig(persons=500, days=DAYS).start_date + timedelta(days=first)
    days = Counter(
        moment(record[time]).astimezone(ZONE).date()
        for record in distinct_records(landing, log).values()
    )
    return sum(days[start + timedelta(days=day)] for day in range(7))


def test_shares_are_those_of_the_curve() -> None:
    weights = np.array([1.0, 3.0, 2.0, 2.0])
    before, arrivals = grown(0.5, weights, 2.0)
    assert before == 0.25
    # By hand: what is there by default, 0.5625, 0.75, 0.875, 1, times 2 ** (i / 4 - 1).
    there = before + np.cumsum(arrivals)
    assert there == pytest.approx([0.33446, 0.53033, 0.73578, 1.0], abs=1e-5)
    assert grown(0.5, weights, 1.0) == (0.5, weights)


def test_the_persons_there_before_are_fewer() -> None:
    shares = []
    for growth in (1.0, 2.0):
        config = SimulatorConfig(persons=5000, days=60, growth=growth)
        people = Population(config, Calendar(config.start_date, config.days))
        shares.append((people.join_day < 0).mean())
    assert shares[0] == pytest.approx(THERE_BEFORE, abs=0.03)
    assert shares[1] == pytest.approx(THERE_BEFORE / 2, abs=0.03)


def test_everything_grows(landings: dict[float, Path]) -> None:
    for log, time in (
        ("community/events", "occurred_at"),
        ("community/accounts", "registered_at"),
        ("commerce/orders", "paid_at"),
    ):
        ratios = {
            growth: _week(landing, log, time, DAYS - 8) / _week(landing, log, time, 0)
            for growth, landing in landings.items()
        }
        assert ratios[3.0] > 1.5 * ratios[1.0], log


def test_truths_hold_with_growth(landings: dict[float, Path]) -> None:
    landing = landings[3.0]
    truth = landing.with_name(f"{landing.name}-truth")
    known = {
        (row["source"], row["id_kind"], row["id"])
        for row in pq.read_table(truth / "identities.parquet").to_pylist()
    }
    joined = {
        row["person"]: row["joined_at"]
        for row in pq.read_table(truth / "persons.parquet").to_pylist()
    }
    assert len(joined) == 500
    for event in distinct_records(landing, "community/events").values():
        assert (event["source"], "account", event["account_id"]) in known
    for row in pq.read_table(truth / "click_rates.parquet").to_pylist():
        spread = 5 * (row["expected_clicks"] + 1) ** 0.5
        assert abs(row["clicks"] - row["expected_clicks"]) < spread


def test_daily_files_hold_what_arrived_that_day(landings: dict[float, Path]) -> None:
    seen = 0
    for path in data_files(landings[3.0], "community/events"):
        day = date.fromisoformat(path.name[:10])
        for record in distinct_records(landings[3.0], "community/events").values():
            seen += moment(record["received_at"]).astimezone(ZONE).date() == day
        break
    assert seen > 0
    assert len(data_files(landings[3.0], "community/events")) == 2 * DAYS


def test_daily_files_change_no_record(tmp_path: Path) -> None:
    found = []
    for daily in (False, True):
        config = SimulatorConfig(persons=150, days=14, daily_files=daily, dirt=Dirt.none())
        simulate(config, tmp_path / str(daily))
        found.append(
            {
                log: distinct_records(tmp_path / str(daily), log)
                for log in ("community/events", "group/memberships", "commerce/orders")
            }
        )
    assert found[0] == found[1]


def test_without_growth_the_bytes_are_what_they_always_were(tmp_path: Path) -> None:
    simulate(SimulatorConfig(persons=100, days=14, seed=3, dirt=Dirt.none()), tmp_path)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.glob("commerce/**/*.csv")) + sorted(tmp_path.glob("**/*.jsonl")):
        digest.update(path.read_bytes())
    assert digest.hexdigest()[:16] == "a815934233946838"


def test_too_few_persons_for_a_growth() -> None:
    with pytest.raises(ValidationError, match="a growth of 3 wants 450 persons"):
        SimulatorConfig(persons=300, growth=3)
