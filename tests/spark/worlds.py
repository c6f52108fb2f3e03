"""The world that both engines build: a simulated one with dirt, and adversarial ones beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from orchestration.engines.agreement import Agreement
from orchestration.ingest.load import ingest
from orchestration.plan import DBT_PROJECT, make_plan, write_plan
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from simulator import Dirt, SimulatorConfig, simulate
from tests.reference.cases import CASE_SETTINGS
from tests.reference.generator import DAYS, SETTINGS, make_worlds, start_of
from tests.support import fill_raw, test_settings

DIRT = Dirt(duplicates=0.01, late=0.02, malformed=0.002, bad_type=0.002, out_of_range=0.002)
# What only another command or an earlier build fills.
EMPTY_IN_A_FIRST_BUILD = {
    *("audience.attacks", "audience.pack_counts", "audience.pack_rows", "audience.packs"),
    *("audience.release_ledger", "quality.validations"),
}


def land_world(home: Path, seeds: Sequence[int], persons: int) -> Settings:
    """A warehouse that holds what dbt starts from. `seeds` are of one start, for their dates."""
    settings = test_settings(home, **SETTINGS | CASE_SETTINGS)
    last = start_of(seeds[0]) + timedelta(days=DAYS - 1)
    simulate(
        SimulatorConfig(persons=persons, days=DAYS, end_date=last, dirt=DIRT),
        settings.landing_path,
        home / "truth",
    )
    ingest(settings)
    with open_warehouse(settings) as connection:
        fill_raw(connection, make_worlds(seeds, beyond=True, cases=True), batch_id=2)
        write_plan(connection, settings, make_plan(connection, settings))
    return settings


def assert_equal(agreement: Agreement) -> None:
    """Every mart of the project was compared, and none has a row that the other copy lacks."""
    different = [f"{mart.table}: {mart.summary}" for mart in agreement.marts if not mart.is_equal]
    assert not different
    assert agreement.is_equal
    models = (DBT_PROJECT / "models" / "marts").rglob("*.sql")
    # What is a view holds the rows of what was landed, on both engines.
    tables = [path for path in models if "materialized='view'" not in path.read_text()]
    assert len(agreement.marts) == len(tables)
    empty = {mart.table for mart in agreement.marts if not mart.rows_here}
    assert empty <= EMPTY_IN_A_FIRST_BUILD
