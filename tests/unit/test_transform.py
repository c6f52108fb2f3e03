"""What dbt is told beside a stage's own arguments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration import transform
from orchestration.transform import DbtSession
from tests.support import test_settings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of every dbt command, none of which runs."""
    commands: list[list[str]] = []

    class Runner:
        def __init__(self, **_: object) -> None: ...

        def invoke(self, arguments: list[str]) -> SimpleNamespace:
            commands.append(arguments)
            return SimpleNamespace(exception=None, result=[])

    monkeypatch.setattr("dbt.cli.main.dbtRunner", Runner)
    return commands


def threads(commands: list[list[str]]) -> list[str]:
    """What the last command says of threads."""
    return [
        value
        for name, value in zip(commands[-1], commands[-1][1:], strict=False)
        if name == "--threads"
    ]


def test_two_models_at_a_time_only_while_the_warehouse_is_small(
    tmp_path: Path, told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two large queries would each want the memory that `memory_limit` gives to both."""
    session = DbtSession(test_settings(tmp_path))
    session.invoke(["build", "--select", "some"])
    assert threads(told) == ["2"]
    session.invoke(["compile", "--select", "some"])
    assert threads(told) == []
    monkeypatch.setattr(transform, "_SMALL_BYTES", 1000)
    session.invoke(["build", "--select", "some"])
    assert threads(told) == []


def test_spark_keeps_the_threads_of_its_profile(tmp_path: Path, told: list[list[str]]) -> None:
    """There the scheduler shares out what there is."""
    DbtSession(test_settings(tmp_path, engine="spark")).invoke(["build", "--select", "some"])
    assert threads(told) == []
