"""DuckDB and a Spark session over one world: every mart equal, row for row.

Needs Java 17 and the extra `spark`: `make test-spark` makes an environment of its own for it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.engines.agreement import compare_engines
from orchestration.engines.requirements import missing_requirement
from tests.spark.worlds import assert_equal, land_world

MISSING = missing_requirement()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(1800),
]


def test_every_mart_holds_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANDEM_SPARK_HOST", raising=False)
    assert_equal(compare_engines(land_world(tmp_path, seeds=(0, 5, 10), persons=180)))
