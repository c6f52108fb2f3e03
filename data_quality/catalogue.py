"""The rules of every stage: hand-written YAML and what follows from the log contracts.

Nothing here imports Great Expectations, so listing the rules is cheap.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_quality import arrival_rules, contract_rules, export_rules, sense_rules
from orchestration.contracts import Words
from orchestration.errors import TandemError

Stage = Literal["raw", "staging", "intermediate", "marts", "export"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Severity = Literal["critical", "warning", "info"]
CANARY = "canary"
CANARY_WORDS = Words(
    zh="引擎确实读到了该表：必须失败的规则失败了，且行数与独立计数一致",
    en="the engine looked: rules that must fail did, and it counted as many rows as DuckDB",
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Meta(_Model):
    """What Great Expectations keeps for us: the rule's id, its words, the faults it is for."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: Words
    faults: tuple[str, ...] = Field(min_length=1)


class Rule(_Model):
    """One expectation in Great Expectations' own form."""

    type: str = Field(pattern=r"^(expect|unexpected)_[a-z_]+$")
    kwargs: Mapping[str, Any]
    severity: Severity
    meta: Meta

    @model_validator(mode="after")
    def _looks_at_its_table(self) -> Rule:
        if self.type == "unexpected_rows_expectation" and "{batch}" not in self.sql:
            raise ValueError(f"{self.meta.id}: an SQL rule reads {{batch}}")
        if re.search(r"\{batch\}\s+as\b", self.sql):
            # Great Expectations by itself gives it an alias, and the rule would raise there.
            raise ValueError(
                f"{self.meta.id}: to name {{batch}}, write (select * from {{batch}}) as"
            )
        return self

    @property
    def id(self) -> str:
        """Unique within the suite."""
        return self.meta.id

    @property
    def column(self) -> str | None:
        """The column that the rule is about, if it is about one."""
        column = self.kwargs.get("column")
        return None if column is None else str(column)

    @property
    def sql(self) -> str:
        """The query of an SQL rule, empty for others."""
        return str(self.kwargs.get("unexpected_rows_query", ""))


class Suite(_Model):
    """The rules of one table. `name` is the table's, with its schema."""

    stage: Stage
    table: str = Field(pattern=r"^[a-z_]+\.[a-z][a-z0-9_]*$")
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Suite:
        ids = [CANARY, *(rule.id for rule in self.rules)]
        twice = {rule_id for rule_id in ids if ids.count(rule_id) > 1}
        if twice:
            raise ValueError(f"{self.table}: more than one rule is called {sorted(twice)}")
        return self

    @property
    def name(self) -> str:
        """`<stage>/<schema>.<table>`."""
        return f"{self.stage}/{self.table}"

    @property
    def expectations(self) -> dict[str, Severity]:
        """Id to severity of all that must be judged, the canary first."""
        found: dict[str, Severity] = {CANARY: "critical"}
        return found | {rule.id: rule.severity for rule in self.rules}

    @property
    def digest(self) -> str:
        """SHA-256 over the rules: a verdict counts for these rules and no others."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def suites(stage: Stage) -> tuple[Suite, ...]:
    """All suites of a stage, by table. Raises TandemError for a file that is no suite."""
    if stage not in STAGES:
        raise TandemError(f"no stage {stage!r}: there are {', '.join(STAGES)}")
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for table, generated in _generated(stage).items():
        rules.setdefault(table, []).extend(generated)
    for table, written in _written(stage):
        rules.setdefault(table, []).extend(written)
    return tuple(
        Suite.model_validate({"stage": stage, "table": table, "rules": rules[table]})
        for table in sorted(rules)
    )


def suite(stage: Stage, table: str) -> Suite:
    """The suite of one table; TandemError if the stage has none for it."""
    for found in suites(stage):
        if found.table == table:
            return found
    raise TandemError(f"the stage {stage} has no suite for {table}")


def _generated(stage: Stage) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    if stage == "raw":
        arriving, sense = arrival_rules.arrival_rules(), sense_rules.sense_rules()
        return {
            table: [*rules, *arriving.get(table, ()), *sense.get(table, ())]
            for table, rules in contract_rules.raw_rules().items()
        }
    if stage == "staging":
        return contract_rules.staging_rules()
    if stage == "marts":
        return export_rules.mart_rules()
    if stage == "export":
        return export_rules.export_rules()
    return {}


def _written(stage: Stage) -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    folder = resources.files("data_quality") / "suites" / stage
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".yml"):
            continue
        loaded = yaml.load(entry.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        if not isinstance(loaded, dict) or set(loaded) != {"name", "expectations"}:
            raise TandemError(f"{stage}/{entry.name}: a suite has a name and expectations")
        if f"{loaded['name']}.yml" != entry.name:
            raise TandemError(f"{stage}/{entry.name} holds the suite of {loaded['name']}")
        yield loaded["name"], loaded["expectations"]
