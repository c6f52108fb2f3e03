"""After an erasure aggregates are what they were, and person-level tables lack one person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration.erasure.run import erase
from orchestration.ingest import ingest
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from simulator import SimulatorConfig, simulate
from tests.dbt.scratch import query
from tests.support import test_settings

AGGREGATES = ("users.daily_active", "users.retention", "engagement.group_daily", "revenue.daily")
PERSONAL = ("users.tier_history", "dim.persons", "dim.identities")


class _Marts:
    """The chosen marts, built by one dbt session."""

    def __init__(self, settings: Settings) -> None:
        self.session = DbtSession(settings)

    def build(self, settings: Settings) -> None:
        """Transform what raw holds, as a build of everything."""
        with open_warehouse(settings) as connection:
            plan = make_plan(connection, settings)
            assert plan.full_refresh
            write_plan(connection, settings, plan)
        names = [f"+fqn:tandem.marts.{name}" for name in (*AGGREGATES, *PERSONAL)]
        kinds = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
        self.session.invoke(["build", *kinds, "--full-refresh", "--select", *names])
        with open_warehouse(settings) as connection:
            connection.execute(
                "insert into control.builds (build_id, started_at, batch_id, as_of_date, "
                "settings_fingerprint, code_fingerprint, state) "
                f"select uuid()::varchar, (now() at time zone 'utc')::timestamp, {plan.batch_id}, "
                f"date '{plan.as_of_date}', '{plan.settings_fingerprint}', "
                f"'{plan.code_fingerprint}', 'transformed'"
            )


def _tables(settings: Settings, names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: query(settings, f"select * from {name} order by all") for name in names}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, _Marts]:
    home: Path = tmp_path_factory.mktemp("erasure")
    settings = test_settings(home)
    simulate(SimulatorConfig(persons=100, days=14, seed=3), settings.landing_path, None)
    ingest(settings)
    marts = _Marts(settings)
    marts.build(settings)
    return settings, marts


def test_aggregates_stay_and_person_tables_lose_one(built: tuple[Settings, _Marts]) -> None:
    settings, marts = built
    ((person, kind, source, number),) = query(
        settings,
        """
        select person_id, id_kind, source, id from intermediate.int_identities
        where person_id = (
            select identities.person_id
            from intermediate.int_identities as identities
            inner join users.tier_history using (person_id)
            where not identities.is_excluded and not identities.is_erased
            group by identities.person_id
            order by count(distinct identities.id_kind) desc, count(distinct id) desc, 1
            limit 1
        )
        order by all
        limit 1
        """,
    )
    before = _tables(settings, (*AGGREGATES, *PERSONAL))
    report = erase(settings, str(source), str(number), id_kind=str(kind), build=marts.build)
    assert report.state == "done"
    assert sum(report.ids.values()) > 1
    after = _tables(settings, (*AGGREGATES, *PERSONAL))
    for name in AGGREGATES:
        assert before[name]
        assert after[name] == before[name], name
    for name in PERSONAL:
        lost = [row for row in before[name] if person in row]
        assert lost, name
        assert after[name] == [row for row in before[name] if row not in lost], name
