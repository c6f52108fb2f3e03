"""Which tables and columns may leave the private warehouse: those that a mart's contract names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.contracts import contracts
from orchestration.errors import GateError

PUBLISHED_SCHEMAS = ("dim", "users", "content", "engagement", "revenue", "audience", "quality")


@dataclass(frozen=True)
class MartTable:
    """A mart as dbt declares it: column name to description, in the declared order."""

    schema: str
    name: str
    description: str
    columns: Mapping[str, str]

    @property
    def full_name(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"


def mart_tables(manifest: Mapping[str, Any]) -> list[MartTable]:
    """The marts of a dbt manifest, sorted by schema (in the published order) and name.

    Raises GateError when a column is tagged `pii`, or named like a raw PII field.
    """
    found = []
    leaks = []
    raw_pii = {name for contract in contracts().values() for name in contract.pii_fields}
    for node in manifest["nodes"].values():
        if (
            node["resource_type"] != "model"
            or node["schema"] not in PUBLISHED_SCHEMAS
            or node["fqn"][1] != "marts"
            or node["config"]["materialized"] == "ephemeral"
        ):
            continue
        name = node.get("alias") or node["name"]
        leaks += [
            f"{node['schema']}.{name}.{column['name']}"
            for column in node["columns"].values()
            if column["name"] in raw_pii or _is_pii(column)
        ]
        found.append(
            MartTable(
                schema=node["schema"],
                name=name,
                description=_one_line(node.get("description", "")),
                columns={
                    column["name"]: _one_line(column.get("description", ""))
                    for column in node["columns"].values()
                },
            )
        )
    if leaks:
        raise GateError(f"personal data would be published: {', '.join(sorted(leaks))}")
    return sorted(found, key=lambda mart: (PUBLISHED_SCHEMAS.index(mart.schema), mart.name))


def check_columns(mart: MartTable, actual: Sequence[str]) -> None:
    """Raise GateError unless the table has exactly the columns that its contract declares."""
    undeclared = sorted(set(actual) - set(mart.columns))
    missing = sorted(set(mart.columns) - set(actual))
    if undeclared or missing:
        reasons = [f"undeclared {', '.join(undeclared)}"] if undeclared else []
        reasons += [f"missing {', '.join(missing)}"] if missing else []
        raise GateError(f"{mart.full_name} is not as its contract says: {'; '.join(reasons)}")


def _is_pii(column: Mapping[str, Any]) -> bool:
    meta = {**column.get("meta", {}), **column.get("config", {}).get("meta", {})}
    return bool(meta.get("pii"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
