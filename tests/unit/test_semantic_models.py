"""The semantic layer says what the catalogue says, and no metric adds up what it must not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration import semantic_models
from orchestration.metrics import read_catalogue
from orchestration.semantic_models import FOLDER, MODELS, PART, public, render


@pytest.fixture(scope="module")
def written() -> dict[str, list[dict[str, Any]]]:
    """Everything in the files that dbt reads, by its kind."""
    found: dict[str, list[dict[str, Any]]] = {"metrics": [], "semantic_models": []}
    for path in sorted(FOLDER.glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for kind, kept in found.items():
            kept += content.get(kind, [])
    return found


def test_the_files_are_up_to_date() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
    assert there == render(), "run python -m orchestration.semantic_models"
    assert semantic_models.main(["--check"]) == 0


def test_names_labels_and_formulas_are_the_catalogue_s(
    written: dict[str, list[dict[str, Any]]],
) -> None:
    rows = {row["id"]: row for row in read_catalogue()}
    metrics = {
        metric["name"]: metric
        for metric in written["metrics"]
        if not metric["name"].startswith(PART)
    }
    assert set(metrics) == {metric.id for _, metric in public()}
    for name, metric in metrics.items():
        row = rows[name]
        assert metric["label"] == row["name_en"]
        assert metric["description"].startswith(f"{row['formula']}. ")
        assert metric["description"].endswith(f" | {row['name_zh']}")
        meta = metric["config"]["meta"]
        assert (meta["zh"], meta["mart"], meta["version"]) == (
            row["name_zh"],
            row["mart"],
            int(row["version"]),
        )


def test_what_is_not_additive_is_guarded_or_a_ratio_or_a_level(
    written: dict[str, list[dict[str, Any]]],
) -> None:
    """A plain sum is only what the catalogue calls additive; levels name their last date."""
    rows = {row["id"]: row for row in read_catalogue()}
    levels = {
        measure["name"]
        for model in written["semantic_models"]
        for measure in model.get("measures", [])
        if "non_additive_dimension" in measure
    }
    wrong = []
    for metric in written["metrics"]:
        if metric["name"].startswith(PART):
            continue
        additivity = rows[metric["name"]]["additivity"]
        parameters = metric["type_params"]
        if metric["type"] == "simple":
            is_level = parameters["measure"] in levels
            if not additivity.startswith("additive") and not is_level:
                wrong.append(metric["name"])
        elif metric["type"] == "derived" and additivity.startswith("not additive"):
            inputs = {item["name"] for item in parameters["metrics"]}
            guarded = " = 1 then " in parameters["expr"]
            if not guarded and not inputs & levels:
                wrong.append(metric["name"])
    assert not wrong


def test_measures_of_distinct_persons_are_no_plain_sum() -> None:
    """`not additive (distinct …)` in the catalogue means: one date, or a level."""
    rows = {row["id"]: row for row in read_catalogue()}
    for model, metric in public():
        if "distinct" in rows[metric.id]["additivity"]:
            dated = {model.time, *model.keys} & set(metric.one)
            assert dated or metric.how == "last", metric.id


def test_every_row_of_all_is_declared() -> None:
    """A key with `'*'` that its model does not name would be added to its parts."""
    starred = re.compile(r"'\*'|\"\*\"")
    marts = FOLDER.parent / "marts"
    for model in MODELS:
        schema, table = model.mart.split(".")
        path = marts / schema / f"{model.ref or table}.yml"
        for found in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]:
            for column in found["columns"]:
                says_all = starred.search(column["description"].split(" | ")[0])
                if says_all and column["name"] in model.keys:
                    assert column["name"] in model.totals, (model.mart, column["name"])


def test_a_metric_of_another_mart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = semantic_models.Model("users.retention", "cohort_date", (), MODELS[0].metrics)
    monkeypatch.setattr(semantic_models, "MODELS", (model,))
    with pytest.raises(KeyError, match=r"a metric of users\.daily_active"):
        render()


def test_stale_files_are_noticed_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_models, "FOLDER", tmp_path / "semantic")
    assert semantic_models.main(["--check"]) == 1
    assert semantic_models.main() == 0
    assert semantic_models.main(["--check"]) == 0
