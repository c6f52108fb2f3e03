from __future__ import annotations

from typing import Any

import pytest

from orchestration.errors import GateError
from orchestration.publish.allowlist import MartTable, check_columns, mart_tables


def model(schema: str, name: str, layer: str = "marts", **columns: dict[str, Any]) -> Any:
    return {
        "resource_type": "model",
        "schema": schema,
        "name": name,
        "fqn": ["tandem", layer, schema, name],
        "description": "One row\n  a thing.",
        "config": {"materialized": "table"},
        "columns": {key: {"name": key, **value} for key, value in columns.items()},
    }


def manifest(*nodes: Any) -> dict[str, Any]:
    return {"nodes": {f"model.tandem.{node['name']}": node for node in nodes}}


def test_only_marts_of_published_schemas_are_listed_in_a_fixed_order() -> None:
    ephemeral = model("users", "helper", n={})
    ephemeral["config"]["materialized"] = "ephemeral"
    found = mart_tables(
        manifest(
            model("users", "daily_active", date={"description": "Local\ndate."}),
            model("dim", "persons", person_id={}),
            model("staging", "stg_community__events", layer="staging", n={}),
            model("users", "int_looks_published", layer="intermediate", n={}),
            ephemeral,
            model("control", "other", n={}),
        )
    )
    assert [table.full_name for table in found] == ["dim.persons", "users.daily_active"]
    assert found[1].description == "One row a thing."
    assert found[1].columns == {"date": "Local date."}


@pytest.mark.parametrize(
    "column",
    [
        {"alias": {"config": {"meta": {"pii": True}}}},
        {"alias": {"meta": {"pii": True}}},
        {"phone": {}},
        {"query": {}},
    ],
)
def test_personal_data_is_refused_by_tag_and_by_name(column: dict[str, Any]) -> None:
    with pytest.raises(GateError, match=r"personal data would be published: users\.leaky"):
        mart_tables(manifest(model("users", "leaky", **column)))


def test_a_table_must_have_the_columns_of_its_contract() -> None:
    table = MartTable("users", "rfm", "", {"person_id": "", "segment": ""})
    check_columns(table, ["segment", "person_id"])
    with pytest.raises(GateError, match="undeclared display_name; missing segment"):
        check_columns(table, ["person_id", "display_name"])
