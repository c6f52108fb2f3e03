"""Funnels, scenes and thresholds as settings: what is refused, and in what words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.contracts import contracts
from orchestration.errors import SettingsError
from orchestration.funnels import (
    CAMPAIGN_ACTIONS,
    COMMUNITY_STEPS,
    DEFAULT_FUNNEL,
    MAX_STEPS,
    ORDER_KINDS,
    STEP_KINDS,
    Funnel,
    step_rows,
)
from orchestration.ingest.tables import create_tables, parameter_columns
from orchestration.plan import make_plan, write_plan
from orchestration.settings import SCENE_KINDS, load_settings
from orchestration.warehouse import open_warehouse
from tests.support import test_settings

Write = Callable[[str], None]
COURSE = """
[[funnels]]
name = "course"
window_days = 30
steps = ["broadcast_click", "attend", "first_order:course"]
"""


@pytest.fixture(autouse=True)
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes tandem.toml into the working directory."""
    monkeypatch.chdir(tmp_path)

    def to_file(text: str) -> None:
        (tmp_path / "tandem.toml").write_text(text, encoding="utf-8")

    return to_file


def test_the_default_funnel_is_that_of_the_contract() -> None:
    assert load_settings().funnels == (DEFAULT_FUNNEL,)
    assert DEFAULT_FUNNEL.name == "default"
    assert DEFAULT_FUNNEL.window_days == 7
    assert DEFAULT_FUNNEL.steps == ("impression", "click", "group_join", "first_order")


def test_declared_funnels_stand_beside_the_default_or_replace_it(write: Write) -> None:
    write(COURSE)
    assert [funnel.name for funnel in load_settings().funnels] == ["default", "course"]
    write('[[funnels]]\nname = "default"\nsteps = ["read", "order"]\n')
    (only,) = load_settings().funnels
    assert (only.steps, only.window_days) == (("read", "order"), 7)
    write("funnels = []\n")
    assert load_settings().funnels == (DEFAULT_FUNNEL,)


def test_a_variable_holds_lists_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_FUNNELS", json.dumps([{"name": "a", "steps": ["read", "order"]}]))
    monkeypatch.setenv("TANDEM_TOUCH_SCENE_KINDS", '["other", "homework"]')
    settings = load_settings()
    assert settings.funnels[1].name == "a"
    assert settings.touch_scene_kinds == ("homework", "other")
    monkeypatch.setenv("TANDEM_FUNNELS", "read, order")
    with pytest.raises(SettingsError, match="TANDEM_FUNNELS: is no JSON"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COURSE.replace('"attend"', '"atend"'), "tandem.toml: funnels 'course', steps: step 2,"),
        (COURSE.replace('"attend"', '"atend"'), "'atend', is no known event; did you mean"),
        (COURSE.replace("order:course", "order:cars"), "step 3, 'first_order:cars', is no known"),
        (COURSE.replace('"attend"', '"first_first_order"'), "step 2, 'first_first_order', is no"),
        (COURSE + COURSE, "tandem.toml: funnels: two funnels are named 'course'"),
        (COURSE.replace('"course"', '"default"') * 2, "two funnels are named 'default'"),
        ('[[funnels]]\nname = "a"\nsteps = ["read"]\n', "'a', steps: a funnel has 2 to 8 steps"),
        (
            f'[[funnels]]\nname = "a"\nsteps = {json.dumps(["read"] * (MAX_STEPS + 1))}\n',
            "'a', steps: a funnel has 2 to 8 steps, not 9",
        ),
        (COURSE.replace("= 30", "= 0"), "'course', window_days: .*greater than or equal to 1"),
        (COURSE.replace("= 30", "= 367"), "'course', window_days: .*less than or equal to 366"),
        (COURSE.replace("window_days", "windowdays"), "'course', windowdays: no such setting"),
        (COURSE.replace('"course"\n', '"My course"\n'), "funnels 'My course', name: "),
        ('[[funnels]]\nsteps = ["read", "order"]\n', "funnels 1, name: Field required"),
        (
            '[[funnels]]\nname = "a"\nsteps = ["order", "first_order"]\n',
            "'a': step 2, 'first_order', is the entry itself",
        ),
        ('funnels = "x"\n', "tandem.toml: funnels: is no JSON"),
        ("funnels = 3\n", "tandem.toml: funnels: "),
        ('touch_scene_kinds = ["party"]\n', "tandem.toml: touch_scene_kinds: 'party' is no kind"),
        ("touch_scene_kinds = []\n", "touch_scene_kinds: .*at least 1"),
        ("group_silent_percent = 0\n", "group_silent_percent: "),
        ("group_silent_percent = 101\n", "group_silent_percent: "),
        ("touch_max_scenes = 0\n", "touch_max_scenes: "),
        ("touch_max_scenes = 51\n", "touch_max_scenes: "),
        ("touch_landmark_hours = 0\n", "touch_landmark_hours: "),
        ("touch_landmark_hours = 721\n", "touch_landmark_hours: "),
        ("touch_conversion_days = 91\n", "touch_conversion_days: "),
        ("touch_landmark_hours = 168\n", "touch_landmark_hours must end before"),
        ("touch_conversion_days = 2\n", "touch_landmark_hours must end before"),
        ("creator_mid_reads_28d = 1001\n", "creator_mid_reads_28d must not exceed"),
        ("loop_supply_days = 0\n", "loop_supply_days: "),
        ("loop_supply_days = 91\n", "loop_supply_days: "),
        ("loop_reads_days = 0\n", "loop_reads_days: "),
        ("loop_reads_days = 91\n", "loop_reads_days: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(write: Write, text: str, message: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=message):
        load_settings()


@pytest.mark.parametrize(
    "changes",
    [
        {"funnels": [{"name": "a", "steps": ["read", "order"]}]},
        {"funnels": [{"name": "default", "steps": ["impression", "click"]}]},
        {"funnels": [DEFAULT_FUNNEL.model_dump() | {"window_days": 8}]},
        {"touch_scene_kinds": ["homework"]},
        {"touch_max_scenes": 6},
        {"group_silent_percent": 4},
        {"loop_supply_days": 15},
    ],
)
def test_a_change_of_a_step_or_threshold_rebuilds_the_marts(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    before = test_settings(tmp_path)
    after = test_settings(tmp_path, **changes)
    assert before.mart_settings() != after.mart_settings()
    assert before.fingerprint() != after.fingerprint()
    assert test_settings(tmp_path, **changes).fingerprint() == after.fingerprint()


def test_the_names_are_those_of_the_log_contracts() -> None:
    def values(log: str, name: str) -> tuple[str, ...] | None:
        return next(field.enum for field in contracts()[log].fields if field.name == name)

    assert values("community/events", "event_type") == COMMUNITY_STEPS
    assert values("commerce/orders", "kind") == ORDER_KINDS
    assert values("operations/campaign_events", "action") == CAMPAIGN_ACTIONS
    assert values("group/scenes", "kind") == SCENE_KINDS
    assert len(set(STEP_KINDS)) == len(STEP_KINDS)


def test_step_rows_number_the_steps_and_part_first_from_the_event() -> None:
    funnel = Funnel(name="a", window_days=3, steps=("read", "first_order:tip"))
    assert step_rows([funnel]) == [
        ("a", 1, "read", "read", False, 3),
        ("a", 2, "first_order:tip", "order:tip", True, 3),
    ]


def test_lists_reach_the_models_in_tables_of_their_own(tmp_path: Path) -> None:
    funnels = [{"name": "a", "steps": ["read", "order"], "window_days": 2}]
    settings = test_settings(tmp_path, funnels=funnels, touch_scene_kinds=["homework"])
    assert not {"funnels", "touch_scene_kinds"} & set(parameter_columns())
    with open_warehouse(settings) as connection:
        create_tables(connection)
        for now in (test_settings(tmp_path), settings):
            write_plan(connection, now, make_plan(connection, now))
        steps = connection.execute("select * from control.funnel_steps order by all").fetchall()
        kinds = connection.execute("select * from control.scene_kinds").fetchall()
    assert steps == sorted(step_rows(settings.funnels))
    assert kinds == [("homework",)]
