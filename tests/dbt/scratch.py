"""A throw-away dbt project that borrows the real macros: for tests of macros alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from orchestration import plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession, NodeResult
from orchestration.warehouse import open_warehouse

REAL_PROJECT = plan.DBT_PROJECT


class Scratch:
    """A dbt project of the given models in `folder`, with the real project's macros.

    `models` maps a path below models/ to its text.
    """

    def __init__(self, folder: Path, settings: Settings, models: Mapping[str, str]) -> None:
        self.folder = folder
        self.session = DbtSession(settings, target=folder / "target")
        folder.mkdir(parents=True, exist_ok=True)
        settings.home.mkdir(parents=True, exist_ok=True)
        config = {
            "name": "scratch",
            "profile": "tandem",
            "config-version": 2,
            "macro-paths": [str(REAL_PROJECT / "macros")],
            "flags": {"require_generic_test_arguments_property": True},
            "models": {"scratch": {"+schema": "scratch", "+materialized": "table"}},
        }
        (folder / "dbt_project.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        shutil.copy(REAL_PROJECT / "profiles.yml", folder / "profiles.yml")
        for path, text in models.items():
            target = folder / "models" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    def run(self, arguments: Sequence[str], *, check: bool = True) -> list[NodeResult]:
        """One dbt command in this project."""
        before, plan.DBT_PROJECT = plan.DBT_PROJECT, self.folder
        try:
            if self.session.manifest is None:
                self.session.parse()
            return self.session.invoke(arguments, check=check)
        finally:
            plan.DBT_PROJECT = before


def query(settings: Settings, text: str) -> list[tuple[object, ...]]:
    """The rows of one query on the warehouse."""
    with open_warehouse(settings, read_only=True) as connection:
        return connection.execute(text).fetchall()
