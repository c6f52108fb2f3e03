"""The metric catalogue covers every mart, and its page is not stale."""

from __future__ import annotations

from pathlib import Path

import yaml

from orchestration.metrics import PAGE, REPOSITORY, read_catalogue, render

MARTS = REPOSITORY / "dbt_project" / "models" / "marts"
# Numbers that name a row rather than measure something.
KEY_COLUMNS = {"decile", "day_n", "generation", "n_scenes", "seq", "step"}
# Folders whose numbers are attributes or bookkeeping, not metrics of the trade.
NOT_MEASURED = {"dim", "quality", "audience"}


def mart_columns() -> dict[str, dict[str, str]]:
    """Mart → column → type, from the marts' dbt contracts."""
    found = {}
    for path in sorted(MARTS.rglob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            columns = {c["name"]: c.get("data_type", "") for c in model.get("columns", [])}
            table = model.get("config", {}).get("alias", model["name"])
            found[f"{path.parent.name}.{table}"] = columns
    return found


def uncovered(marts: dict[str, dict[str, str]], catalogue: list[dict[str, str]]) -> list[str]:
    """Numeric columns of the marts that no metric names."""
    named = {
        f"{row['mart']}.{column}" for row in catalogue for column in row["mart_columns"].split()
    }
    return sorted(
        f"{mart}.{column}"
        for mart, columns in marts.items()
        if mart.split(".")[0] not in NOT_MEASURED
        for column, kind in columns.items()
        if kind in ("bigint", "double")
        and column not in KEY_COLUMNS
        and f"{mart}.{column}" not in named
    )


def test_every_measure_of_a_mart_is_in_the_catalogue() -> None:
    assert uncovered(mart_columns(), read_catalogue()) == []


def test_a_measure_that_the_catalogue_lacks_is_found() -> None:
    marts = {"users.daily_active": {"dau": "bigint", "new_thing": "bigint"}}
    assert uncovered(marts, read_catalogue()) == ["users.daily_active.new_thing"]


def test_the_catalogue_names_only_columns_that_exist() -> None:
    marts = mart_columns()
    missing = [
        f"{row['mart']}.{column}"
        for row in read_catalogue()
        for column in row["mart_columns"].split()
        if column not in marts.get(row["mart"], {})
    ]
    assert missing == []


def test_ids_are_unique_and_texts_are_given_in_both_languages() -> None:
    rows = read_catalogue()
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert all(row[name] for name in ("name_zh", "name_en", "formula", "numerator"))
        assert row["additivity"]
        assert int(row["version"]) >= 1


def test_the_page_is_up_to_date() -> None:
    assert Path(PAGE).read_text(encoding="utf-8") == render(), "run python -m orchestration.metrics"
