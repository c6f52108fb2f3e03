"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

# CI draws the same examples every time, so that a red run is the change's; elsewhere new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
# dbt, Dagster and Great Expectations hold millions of objects, which every full look for cyclic
# garbage goes over again.
gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TANDEM_"):
            monkeypatch.delenv(name)
