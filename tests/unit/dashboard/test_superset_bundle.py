"""The Superset bundle: whole, as kept, and SQL that runs on the published marts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from dashboard.superset import BUNDLE, bundle_files, write_bundle
from dashboard.superset.bundle import main
from orchestration.errors import TandemError
from tests.unit.dashboard.published_world import contract_tables, make_published, small_world


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    return {name: yaml.safe_load(text) for name, text in bundle_files().items()}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_published(tmp_path_factory.mktemp("superset") / "marts.duckdb", small_world())


@pytest.fixture(scope="module")
def marts(serving: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(serving), read_only=True) as connection:
        yield connection


def part(bundle: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    return [content for name, content in bundle.items() if name.startswith(f"{folder}/")]


def test_what_is_kept_is_what_the_charts_and_contracts_say() -> None:
    kept = {
        path.relative_to(BUNDLE).as_posix(): path.read_text(encoding="utf-8")
        for path in BUNDLE.rglob("*.yaml")
    }
    assert kept == bundle_files(), "run python -m dashboard.superset --keep"


def test_the_parts_know_each_other(bundle: dict[str, Any]) -> None:
    assert bundle["metadata.yaml"]["type"] == "Dashboard"
    (database,) = part(bundle, "databases")
    (dashboard,) = part(bundle, "dashboards")
    datasets, charts = part(bundle, "datasets"), part(bundle, "charts")
    assert len(charts) >= 15
    everything = [database, dashboard, *datasets, *charts]
    assert all(item["version"] == "1.0.0" for item in everything)
    assert len({item["uuid"] for item in everything}) == len(everything)
    # Superset's own metadata allows one dataset of a name.
    assert len({item["table_name"] for item in datasets}) == len(datasets)
    assert {item["database_uuid"] for item in datasets} == {database["uuid"]}
    assert {item["dataset_uuid"] for item in charts} == {item["uuid"] for item in datasets}
    position = dashboard["position"]
    shown = [item["meta"] for item in position.values() if _kind(item) == "CHART"]
    assert {item["uuid"] for item in shown} == {item["uuid"] for item in charts}
    assert len(shown) == len(charts)
    assert sum(_kind(item) == "TAB" for item in position.values()) == 4
    for name, item in position.items():
        if _kind(item) == "ROW":
            assert sum(position[child]["meta"]["width"] for child in item["children"]) <= 12
        for child in item["children"] if isinstance(item, dict) and "children" in item else ():
            assert position[child]["parents"][-1] == name or child == "TABS-tandem"
    config = database["extra"]["engine_params"]["connect_args"]
    assert config["read_only"] is True
    assert config["config"] == {"enable_external_access": "false", "lock_configuration": "true"}
    assert not any(database[name] for name in database if name.startswith("allow_"))


def _kind(item: Any) -> str:
    return str(item["type"]) if isinstance(item, dict) else ""


def test_datasets_are_the_contracts_tables_and_their_metrics_run(
    bundle: dict[str, Any], marts: duckdb.DuckDBPyConnection
) -> None:
    tables = contract_tables()
    for dataset in part(bundle, "datasets"):
        table = f"{dataset['schema']}.{dataset['table_name']}"
        own = [column for column in dataset["columns"] if column["expression"] is None]
        assert [(c["column_name"], c["type"].lower()) for c in own] == tables[table]
        timed = {c["column_name"] for c in dataset["columns"] if c["is_dttm"]}
        assert dataset["main_dttm_col"] in timed | {None}
        for metric in dataset["metrics"]:
            rows = marts.execute(f"select {metric['expression']} from {table}").fetchall()
            assert len(rows) == 1, metric["metric_name"]
            # A ratio is never a mean of ratios.
            assert "avg(" not in metric["expression"]


def test_charts_ask_for_what_their_dataset_has(
    bundle: dict[str, Any], marts: duckdb.DuckDBPyConnection
) -> None:
    by_id = {dataset["uuid"]: dataset for dataset in part(bundle, "datasets")}
    for chart in part(bundle, "charts"):
        dataset, params = by_id[chart["dataset_uuid"]], chart["params"]
        assert params["viz_type"] == chart["viz_type"]
        expressions = {m["metric_name"]: m["expression"] for m in dataset["metrics"]}
        asked = [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])]
        groups = params.get("groupby", [])
        groups = [groups] if isinstance(groups, str) else [*groups]
        groups += [params["x_axis"]] if "x_axis" in params else []
        columns = {c["column_name"]: c["expression"] for c in dataset["columns"]}
        named = {*groups, *params.get("all_columns", [])}
        named |= {item["subject"] for item in params["adhoc_filters"]}
        named |= {json.loads(item)[0] for item in params.get("order_by_cols", [])}
        assert named <= set(columns), chart["slice_name"]
        groups = [columns[name] or name for name in groups]
        assert asked or params["all_columns"]
        selected = [*groups, *(expressions[name] for name in asked), *params.get("all_columns", [])]
        tests = " and ".join(
            f"{item['subject']} {item['operator']} {_literal(item['comparator'])}"
            for item in params["adhoc_filters"]
        )
        marts.execute(
            f"select {', '.join(selected)} from {dataset['schema']}.{dataset['table_name']}"
            + (f" where {tests}" if tests else "")
            + (" group by " + ", ".join(groups) if groups and asked else "")
        )


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'"


def test_the_metrics_are_the_marts_own_numbers(
    bundle: dict[str, Any], marts: duckdb.DuckDBPyConnection
) -> None:
    def value(table: str, metric: str, where: str) -> Any:
        (dataset,) = (
            item
            for item in part(bundle, "datasets")
            if f"{item['schema']}.{item['table_name']}" == table
        )
        (sql,) = (m["expression"] for m in dataset["metrics"] if m["metric_name"] == metric)
        return marts.execute(f"select {sql} from {table} where {where}").fetchall()[0][0]

    assert float(value("revenue.daily", "net_order", "core = 'group'")) == pytest.approx(
        sum(900 + n for n in range(60)) / 100
    )
    assert value("engagement.consult_service", "within_15s_rate", "true") == pytest.approx(0.8)
    # Only the broadcast that observes delivery: 15 of 20.
    funnel = "engagement.broadcast_funnel"
    assert value(funnel, "delivery_rate", "true") == pytest.approx(0.75)
    assert value(funnel, "click_rate", "true") == pytest.approx(1 / 15)
    assert value(funnel, "read_rate", "true") is None
    # 90 days are not over: nothing, never 0.
    assert value("revenue.ltv", "ltv", "day_n = 90") is None
    assert float(value("revenue.ltv", "ltv", "day_n = 30")) == pytest.approx(2.5)


def test_the_zip_names_the_file_and_its_currency(tmp_path: Path) -> None:
    path = make_published(tmp_path / "marts.duckdb", {}, currency=("JPY", 0))
    main(["--out", str(tmp_path / "a.zip"), "--file", str(path)])
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        read = {name: yaml.safe_load(bundle.read(name)) for name in bundle.namelist()}
    assert all(name.startswith("tandem_dashboard/") for name in read)
    database = read["tandem_dashboard/databases/Tandem.yaml"]
    assert database["sqlalchemy_uri"] == f"duckdb:///{path}"
    daily = read["tandem_dashboard/datasets/Tandem/revenue_daily.yaml"]
    net = daily["metrics"][0]
    assert (net["d3format"], net["currency"]["symbol"]) == (",.0f", "JPY")
    assert net["expression"] == "(sum(net_order_minor)) * 1"
    again = write_bundle(tmp_path / "b.zip", path)
    assert again.read_bytes() == (tmp_path / "a.zip").read_bytes()
    elsewhere = write_bundle(tmp_path / "c.zip", path, "postgresql://bi_reader@db/marts")
    with zipfile.ZipFile(elsewhere) as bundle:
        found = yaml.safe_load(bundle.read("tandem_dashboard/databases/Tandem.yaml"))
    assert found["sqlalchemy_uri"] == "postgresql://bi_reader@db/marts"
    assert "engine_params" not in found["extra"]
    update = write_bundle(tmp_path / "u.zip", update=True)
    with zipfile.ZipFile(update) as bundle:
        assert b"type: assets" in bundle.read("tandem_dashboard/metadata.yaml")
    with pytest.raises(TandemError, match="cannot read"):
        write_bundle(tmp_path / "d.zip", tmp_path / "missing.duckdb")
    with pytest.raises(SystemExit):
        main([])
