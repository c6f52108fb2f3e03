"""The hand-computed dbt unit tests of reach, service, campaigns and scenes, and their settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.errors import SettingsError
from orchestration.plan import make_plan, write_plan
from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

UNIT_TESTED = (
    "group_overlap",
    "overlap_summary",
    "broadcast_funnel",
    "consult_service",
    "engagement_campaigns",
    "referral_generations",
    "checkin_streaks",
    "scenarios",
    "assistant_daily",
    "governance_daily",
    "funnels",
    "touchpoints",
    "value_loop",
    "live_board",
    "int_group_members",
    "int_delivery_days",
    "int_group_band_days",
    "int_campaign_actions",
    "int_referrals",
    "int_funnel_events",
    "int_funnel_steps",
    "int_topic_needs",
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> DbtSession:
    """A warehouse in which nothing was ever accepted, built."""
    settings = test_settings(tmp_path_factory.mktemp("nothing"))
    with open_warehouse(settings) as connection:
        fill_raw(connection, {})
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    session.parse()
    session.invoke(["seed"])
    session.invoke(["run", "--full-refresh", "--select", *(f"+{name}" for name in UNIT_TESTED)])
    return session


def test_dbt_unit_tests_pass(empty: DbtSession) -> None:
    outcomes = empty.invoke(
        ["test", "--select", *(f"{name},test_type:unit" for name in UNIT_TESTED)]
    )
    assert len(outcomes) > len(UNIT_TESTED)


def test_without_any_record_only_the_summary_has_a_row(empty: DbtSession) -> None:
    tables = [name.removeprefix("engagement_") for name in UNIT_TESTED if name[:4] != "int_"]
    with open_warehouse(empty.settings, read_only=True) as connection:
        rows = {
            name: connection.execute(f"select * from engagement.{name}").fetchall()
            for name in tables
        }
    assert rows.pop("overlap_summary") == [(0, 0, 0)]
    assert set(map(tuple, rows.values())) == {()}


def test_hour_bands_must_follow_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(morning_from_hour=5, evening_from_hour=13).evening_from_hour == 13
    with pytest.raises(SettingsError, match="must grow"):
        load_settings(evening_from_hour=12)
    with pytest.raises(SettingsError, match="morning_from_hour"):
        load_settings(morning_from_hour=24)
