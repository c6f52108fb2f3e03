"""DuckDB and a Spark session over one world: every mart equal, row for row.

Needs Java 17 and the extra `spark`: `make test-spark` makes an environment of its own for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_quality.fingerprint import Fingerprints
from orchestration.engines.agreement import compare_engines
from orchestration.engines.relations import models_of, switch
from orchestration.engines.requirements import missing_requirement
from orchestration.engines.spark import SESSION_TARGET, SparkDbt, tables_root
from orchestration.plan import LAYERS
from orchestration.publish import PUBLISHED_SCHEMAS
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.spark.worlds import assert_equal, land_world
from tests.support import move_to_parquet

MISSING = missing_requirement()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(1800),
]


def test_every_mart_holds_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANDEM_SPARK_HOST", raising=False)
    settings = land_world(tmp_path, seeds=(0, 5, 10), persons=180)
    # Spark reads landed Parquet as it lies, DuckDB's side of the comparison the rows in tables.
    with open_warehouse(settings) as connection:
        move_to_parquet(connection, settings)
    assert_equal(compare_engines(settings, keep=True))
    assert_views_are_as_the_tables(settings.model_copy(update={"home": tmp_path / "engines"}))


def assert_views_are_as_the_tables(settings: Settings) -> None:
    """What a build on Spark puts in the place of DuckDB's tables has their columns and types.

    And marts have their rows, as the gates' fingerprints see them: what is published is the same.
    """
    spark = SparkDbt(settings, settings.home / "spark" / SESSION_TARGET)
    spark.parse()
    views = {node.name for node in spark.manifest.nodes.values() if is_view(node)}
    session = DbtSession(settings)
    with open_warehouse(settings) as connection:
        before = relations(connection)
        for layer in LAYERS:
            models = models_of(session, layer, views)
            switch(connection, settings, models, tables_root(settings))
        after = relations(connection)
    assert {name: found[0] for name, found in after.items()} == {
        name: found[0] for name, found in before.items()
    }
    changed = [name for name in before if before[name] != after[name]]
    assert not [name for name in changed if name.split(".")[0] in PUBLISHED_SCHEMAS]


def is_view(node: Any) -> bool:
    return bool(node.config.materialized == "view")


def relations(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[Any, str]]:
    """Every model's relation: its columns with their types, and the fingerprint of its rows."""
    fingerprints = Fingerprints(connection)
    schemas = ", ".join(f"'{schema}'" for schema in ("staging", "intermediate", *PUBLISHED_SCHEMAS))
    columns = "list((column_name, data_type) order by ordinal_position)"
    found = connection.execute(
        f"select table_schema || '.' || table_name, {columns} from information_schema.columns"
        f" where table_schema in ({schemas}) group by 1"
    ).fetchall()
    return {name: (types, fingerprints.of_table(name)) for name, types in found}
