"""DuckDB and Spark over one world: every mart equal, row for row.

The world is a simulated one with dirt, and adversarial ones in which the hard cases are common.
Needs Java 17 and the extra `spark`: `make test-spark` makes an environment of its own for it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orchestration.engines.agreement import Agreement, compare_engines
from orchestration.engines.spark import missing_requirement
from orchestration.ingest.load import ingest
from orchestration.plan import DBT_PROJECT, make_plan, write_plan
from orchestration.warehouse import open_warehouse
from simulator import Dirt, SimulatorConfig, simulate
from tests.reference.cases import CASE_SETTINGS
from tests.reference.generator import DAYS, SETTINGS, make_worlds, start_of
from tests.support import fill_raw, test_settings

MISSING = missing_requirement()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(1800),
]
# Of one start, so that the worlds share their dates.
SEEDS = (0, 5, 10)
DIRT = Dirt(duplicates=0.01, late=0.02, malformed=0.002, bad_type=0.002, out_of_range=0.002)
# What only another command or an earlier build fills.
EMPTY_IN_A_FIRST_BUILD = {
    *("audience.attacks", "audience.pack_counts", "audience.pack_rows", "audience.packs"),
    *("audience.release_ledger", "quality.validations"),
}


@pytest.fixture(scope="module")
def agreement(tmp_path_factory: pytest.TempPathFactory) -> Agreement:
    home: Path = tmp_path_factory.mktemp("engines")
    settings = test_settings(home, **SETTINGS | CASE_SETTINGS)
    last = start_of(SEEDS[0]) + timedelta(days=DAYS - 1)
    simulate(
        SimulatorConfig(persons=180, days=DAYS, end_date=last, dirt=DIRT),
        settings.landing_path,
        home / "truth",
    )
    ingest(settings)
    with open_warehouse(settings) as connection:
        fill_raw(connection, make_worlds(SEEDS, beyond=True, cases=True), batch_id=2)
        write_plan(connection, settings, make_plan(connection, settings))
    return compare_engines(settings)


def test_every_mart_holds_the_same_rows(agreement: Agreement) -> None:
    different = [f"{mart.table}: {mart.summary}" for mart in agreement.marts if not mart.is_equal]
    assert not different
    assert agreement.is_equal


def test_every_mart_was_compared_and_holds_rows(agreement: Agreement) -> None:
    models = list((DBT_PROJECT / "models" / "marts").rglob("*.sql"))
    assert len(agreement.marts) == len(models)
    empty = {mart.table for mart in agreement.marts if not mart.rows_here}
    assert empty <= EMPTY_IN_A_FIRST_BUILD
