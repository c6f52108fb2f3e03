"""Turns the charts into the files that Superset imports, as it exports them itself."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dashboard.read import open_published
from dashboard.superset.charts import DATASETS, TABS, Chart, Dataset, Metric
from orchestration.plan import DBT_PROJECT

BUNDLE = Path(__file__).parent / "bundle"
"""The bundle as it is kept: for the file `PLACE`, amounts with two decimals."""
PLACE = "/srv/tandem/serving/marts.duckdb"
TITLE = "Tandem"
_NAMES = uuid.UUID("5d2b1a52-31e3-5f0c-9a57-74616e64656d")
_TIME_TYPES = {"date": "DATE", "timestamp": "TIMESTAMP"}
_FORMATS = {
    "count": ",d",
    "ratio": ".1%",
    "decimal": ",.2f",
    "money": ",.2f",
}
_TIME_CHARTS = ("echarts_timeseries_line", "echarts_timeseries_bar", "echarts_area")


def bundle_files(
    uri: str = f"duckdb:///{PLACE}", currency: str = "CNY", exponent: int = 2
) -> dict[str, str]:
    """File name to YAML text of a bundle that reads the marts at a SQLAlchemy URI.

    Amounts are in minor units of `currency`, which has `exponent` decimals.
    """
    contracts = {dataset.table: _contract(dataset.table) for dataset in DATASETS}
    files: dict[str, Any] = {
        "metadata.yaml": {
            "version": "1.0.0",
            "type": "Dashboard",
            "timestamp": "2026-01-01T00:00:00+00:00",
        },
        f"databases/{TITLE}.yaml": _database(uri),
    }
    for dataset in DATASETS:
        files[f"datasets/{TITLE}/{dataset.table.replace('.', '_')}.yaml"] = _dataset(
            dataset, contracts[dataset.table], currency, exponent
        )
    units = {
        dataset.table: {metric.name: metric.unit for metric in dataset.metrics}
        for dataset in DATASETS
    }
    for number, chart in enumerate(_charts(), start=1):
        files[f"charts/{chart.name}_{number}.yaml"] = _chart(chart, units[chart.table])
    files[f"dashboards/{TITLE}_1.yaml"] = _dashboard()
    return {
        name: yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100)
        for name, content in files.items()
    }


def write_bundle(
    out: Path, file: Path | None = None, uri: str | None = None, *, update: bool = False
) -> Path:
    """Write a zip that Superset imports; equal arguments give equal bytes.

    `file` is the published file: it says the currency, and is what the charts will read unless
    `uri` names another place with the same marts. With `update` it is one for the API
    `assets/import`: the import of a dashboard replaces no chart that is already there. Raises
    TandemError when the file cannot be read.
    """
    currency, exponent = "CNY", 2
    if file is not None:
        with open_published(file) as published:
            about = published.about
            if about.get("reporting_currency"):
                currency, exponent = about["reporting_currency"], about["currency_exponent"]
        uri = uri or f"duckdb:///{file.absolute()}"
    files = bundle_files(uri or f"duckdb:///{PLACE}", currency, exponent)
    if update:
        files["metadata.yaml"] = files["metadata.yaml"].replace("type: Dashboard", "type: assets")
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"tandem_dashboard/{name}", (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, files[name])
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m dashboard.superset`: write the zip, or the folder that is kept."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard.superset", description="Writes a dashboard for Apache Superset."
    )
    parser.add_argument("--out", type=Path, help="the zip to write")
    parser.add_argument("--file", type=Path, help="the published marts.duckdb that it will read")
    parser.add_argument("--uri", help="a SQLAlchemy URI with the same marts, as of PostgreSQL")
    parser.add_argument("--update", action="store_true", help="make it for api/v1/assets/import")
    parser.add_argument("--keep", action="store_true", help="write dashboard/superset/bundle anew")
    given = parser.parse_args(arguments)
    if given.keep:
        for name, text in bundle_files().items():
            path = BUNDLE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    elif given.out is None:
        parser.error("give --out")
    else:
        sys.stdout.write(f"{write_bundle(given.out, given.file, given.uri, update=given.update)}\n")


def _id(*names: str) -> str:
    """The same name has the same UUID for ever, so that an import replaces what was there."""
    return str(uuid.uuid5(_NAMES, "/".join(names)))


def _contract(table: str) -> dict[str, Any]:
    path = DBT_PROJECT / "models" / "marts" / f"{table.replace('.', '/')}.yml"
    (model,) = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    return dict(model)


def _charts() -> Iterator[Chart]:
    for tab in TABS:
        for row in tab.rows:
            yield from row


def _database(uri: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"allows_virtual_table_explore": True}
    if uri.startswith("duckdb:"):
        config = {"enable_external_access": "false", "lock_configuration": "true"}
        extra["engine_params"] = {"connect_args": {"read_only": True, "config": config}}
    return {
        "database_name": TITLE,
        "sqlalchemy_uri": uri,
        "cache_timeout": None,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_file_upload": False,
        "extra": extra,
        "uuid": _id("database"),
        "version": "1.0.0",
    }


def _dataset(
    dataset: Dataset, contract: Mapping[str, Any], currency: str, exponent: int
) -> dict[str, Any]:
    schema, name = dataset.table.split(".")
    return {
        "table_name": name,
        "main_dttm_col": dataset.time,
        "description": _line(contract["description"]),
        "default_endpoint": None,
        "offset": 0,
        "cache_timeout": None,
        "catalog": None,
        "schema": schema,
        "sql": None,
        "params": None,
        "template_params": None,
        "filter_select_enabled": True,
        "fetch_values_predicate": None,
        "extra": None,
        "normalize_columns": False,
        "always_filter_main_dttm": False,
        "uuid": _id("dataset", dataset.table),
        "metrics": [_metric(metric, currency, exponent) for metric in dataset.metrics],
        "columns": [
            *(_column(column) for column in contract["columns"]),
            *(
                _column(_computed(name)) | {"expression": sql}
                for name, sql in dataset.computed.items()
            ),
        ],
        "version": "1.0.0",
        "database_uuid": _id("database"),
    }


def _metric(metric: Metric, currency: str, exponent: int) -> dict[str, Any]:
    is_money = metric.unit == "money"
    # Multiplied by a decimal, as in 0.01: whole numbers stay exact on every engine.
    factor = f"{10.0**-exponent:.{exponent}f}" if exponent else "1"
    return {
        "metric_name": metric.name,
        "verbose_name": metric.title,
        "metric_type": None,
        "expression": f"({metric.sql}) * {factor}" if is_money else metric.sql,
        "description": None,
        "d3format": f",.{exponent}f" if is_money else _FORMATS[metric.unit],
        "currency": {"symbol": currency, "symbolPosition": "prefix"} if is_money else None,
        "extra": {},
        "warning_text": None,
    }


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    kind = column["data_type"]
    return {
        "column_name": column["name"],
        "verbose_name": None,
        "is_dttm": kind in _TIME_TYPES,
        "is_active": True,
        "type": kind.upper(),
        "advanced_data_type": None,
        "groupby": True,
        "filterable": True,
        "expression": None,
        "description": _line(column["description"]),
        "python_date_format": None,
        "extra": {},
    }


def _computed(name: str) -> dict[str, str]:
    return {"name": name, "data_type": "varchar", "description": "Computed for a chart."}


def _chart(chart: Chart, units: Mapping[str, str]) -> dict[str, Any]:
    return {
        "slice_name": chart.title,
        "description": chart.words or None,
        "certified_by": None,
        "certification_details": None,
        "viz_type": chart.kind,
        "params": _params(chart, units),
        "query_context": None,
        "cache_timeout": None,
        "uuid": _id("chart", chart.name),
        "version": "1.0.0",
        "dataset_uuid": _id("dataset", chart.table),
    }


def _params(chart: Chart, units: Mapping[str, str]) -> dict[str, Any]:
    filters = [
        _filter(chart.name, column, value, operator)
        for operator, values in (("==", chart.where), ("!=", chart.without))
        for column, value in values.items()
    ]
    params: dict[str, Any] = {
        "viz_type": chart.kind,
        "adhoc_filters": filters,
        "row_limit": 10_000,
        "time_range": "No filter",
        "extra_form_data": {},
    }
    found = {units[name] for name in chart.metrics}
    # One unit: the metrics' own format, currency included. More: each column keeps its own.
    number = "SMART_NUMBER" if found & {"money"} or len(found) != 1 else _FORMATS[found.pop()]
    if chart.kind in _TIME_CHARTS:
        is_time = chart.x in ("date", "month")
        params |= {
            "x_axis": chart.x,
            "time_grain_sqla": chart.grain if is_time else None,
            "xAxisForceCategorical": not is_time,
            "x_axis_sort_asc": True,
            "metrics": list(chart.metrics),
            "groupby": list(chart.by),
            "y_axis_format": number,
            "x_axis_time_format": "smart_date",
            "show_legend": len(chart.metrics) > 1 or bool(chart.by),
            "legendOrientation": "top",
            "legendType": "scroll",
            "rich_tooltip": True,
            "truncate_metric": True,
            "truncateXAxis": True,
            "sort_series_type": "name",
            "sort_series_ascending": True,
            "order_desc": True,
            "color_scheme": "supersetColors",
        }
    elif chart.kind.startswith("big_number"):
        params |= {"metric": chart.metrics[0], "y_axis_format": number, "header_font_size": 0.4}
        if chart.x is not None:
            params |= {
                "x_axis": chart.x,
                "time_grain_sqla": chart.grain,
                "show_trend_line": True,
                "start_y_axis_at_zero": True,
                "time_format": "smart_date",
            }
    elif chart.kind == "heatmap_v2":
        params |= {
            "x_axis": chart.x,
            "groupby": chart.by[0],
            "metric": chart.metrics[0],
            "sort_x_axis": "alpha_asc",
            "sort_y_axis": "alpha_asc",
            "normalize_across": "heatmap",
            "legend_type": "continuous",
            "linear_color_scheme": "superset_seq_1",
            "show_legend": True,
            "show_values": True,
            "y_axis_format": number,
            "value_bounds": [None, None],
        }
    elif chart.columns:
        params |= {
            "query_mode": "raw",
            "all_columns": list(chart.columns),
            "order_by_cols": [json.dumps([chart.columns[0], True])],
            "table_timestamp_format": "smart_date",
            "show_cell_bars": False,
            "column_config": {
                name: {"d3NumberFormat": form} for name, form in chart.formats.items()
            },
            "page_length": 10,
        }
    else:
        params |= {
            "query_mode": "aggregate",
            "groupby": list(chart.by),
            "metrics": list(chart.metrics),
            "timeseries_limit_metric": chart.metrics[0],
            "order_desc": True,
            "page_length": 10,
            "show_cell_bars": True,
        }
    return params | dict(chart.params)


def _filter(chart: str, column: str, value: Any, operator: str) -> dict[str, Any]:
    return {
        "expressionType": "SIMPLE",
        "subject": column,
        "operator": operator,
        "operatorId": "EQUALS" if operator == "==" else "NOT_EQUALS",
        "comparator": value,
        "clause": "WHERE",
        "sqlExpression": None,
        "isExtra": False,
        "isNew": False,
        "datasourceWarning": False,
        "filterOptionName": f"filter_{chart}_{column}",
    }


def _dashboard() -> dict[str, Any]:
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["TABS-tandem"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": TITLE}},
    }
    tabs: list[str] = []
    number = 0
    for t, tab in enumerate(TABS, start=1):
        rows: list[str] = []
        above = ["ROOT_ID", "TABS-tandem", f"TAB-{t}"]
        for r, row in enumerate(tab.rows, start=1):
            charts: list[str] = []
            for chart in row:
                number += 1
                charts.append(f"CHART-{chart.name}")
                position[charts[-1]] = {
                    "type": "CHART",
                    "id": charts[-1],
                    "children": [],
                    "parents": [*above, f"ROW-{t}-{r}"],
                    "meta": {
                        "chartId": number,
                        "uuid": _id("chart", chart.name),
                        "sliceName": chart.title,
                        "width": chart.width,
                        "height": chart.height,
                    },
                }
            rows.append(f"ROW-{t}-{r}")
            position[rows[-1]] = {
                "type": "ROW",
                "id": rows[-1],
                "children": charts,
                "parents": above,
                "meta": {"background": "BACKGROUND_TRANSPARENT"},
            }
        tabs.append(f"TAB-{t}")
        position[tabs[-1]] = {
            "type": "TAB",
            "id": tabs[-1],
            "children": rows,
            "parents": ["ROOT_ID", "TABS-tandem"],
            "meta": {"text": tab.title, "defaultText": "Tab title", "placeholder": "Tab title"},
        }
    position["TABS-tandem"] = {
        "type": "TABS",
        "id": "TABS-tandem",
        "children": tabs,
        "parents": ["ROOT_ID"],
        "meta": {},
    }
    return {
        "dashboard_title": "Tandem · 社区与社群",
        "description": "The published marts of both cores. | 双核已发布集市表。",
        "css": "",
        "slug": "tandem",
        "certified_by": None,
        "certification_details": None,
        "published": True,
        "uuid": _id("dashboard"),
        "position": position,
        "metadata": {
            "color_scheme": "supersetColors",
            "refresh_frequency": 0,
            "cross_filters_enabled": True,
            "native_filter_configuration": [],
            "timed_refresh_immune_slices": [],
            "expanded_slices": {},
            "label_colors": {},
            "shared_label_colors": [],
        },
        "version": "1.0.0",
    }


def _line(text: str) -> str:
    return " ".join(text.split())
