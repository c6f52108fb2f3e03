"""Great Expectations is loaded without its charts and statistics, and has them when it asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from data_quality import engine

LOADED = """
import sys
from data_quality import engine
engine.load()
assert "great_expectations" in sys.modules
assert not {"altair", "scipy.stats"} & set(sys.modules), "loaded"
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as kl
assert round(kl.stats.entropy([0.5, 0.5], [0.25, 0.75]), 6) == 0.143841
assert kl.alt.Chart.__name__ == "Chart"
import scipy.stats
assert scipy.stats.norm.cdf(0) == 0.5
"""


def test_what_is_rarely_used_is_loaded_when_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_modules_that_are_there_already_stay() -> None:
    import json

    with engine._deferred(("json", "no_such_module")):
        assert sys.modules["json"] is json
        assert "no_such_module" in sys.modules
    assert sys.modules["json"] is json
    assert "no_such_module" not in sys.modules


@pytest.mark.parametrize(
    ("attribute", "error"), [("anything", ModuleNotFoundError), ("__path__", AttributeError)]
)
def test_a_stand_in_that_cannot_be_loaded_says_so(attribute: str, error: type[Exception]) -> None:
    with engine._deferred(("no_such_module",)):
        found = sys.modules["no_such_module"]
    with pytest.raises(error):
        getattr(found, attribute)
