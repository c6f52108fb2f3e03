"""The rules as an orchestrator wants them: plain descriptions.

Importing this costs no Great Expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data_quality.catalogue import CANARY, CANARY_WORDS, Severity, Stage, suites


@dataclass(frozen=True)
class CheckSpec:
    """One expectation as a check. `name` is unique within `table`: letters, digits, `_`."""

    name: str
    stage: Stage
    suite: str
    table: str
    column: str | None
    severity: Severity
    description_zh: str
    description_en: str
    faults: tuple[str, ...]
    expectation_type: str

    @property
    def blocking(self) -> bool:
        """Whether a failure stops what comes after."""
        return self.severity == "critical"


@cache
def list_expectations(stage: Stage) -> tuple[CheckSpec, ...]:
    """Every check of a stage, by table, the canary of a table first."""
    specs: list[CheckSpec] = []
    for suite in suites(stage):
        specs.append(
            CheckSpec(
                name=CANARY,
                stage=stage,
                suite=suite.name,
                table=suite.table,
                column=None,
                severity="critical",
                description_zh=CANARY_WORDS.zh,
                description_en=CANARY_WORDS.en,
                faults=("engine_looks_at_nothing",),
                expectation_type="canary",
            )
        )
        specs.extend(
            CheckSpec(
                name=rule.id,
                stage=stage,
                suite=suite.name,
                table=suite.table,
                column=rule.column,
                severity=rule.severity,
                description_zh=rule.meta.description.zh,
                description_en=rule.meta.description.en,
                faults=rule.meta.faults,
                expectation_type=rule.type,
            )
            for rule in suite.rules
        )
    return tuple(specs)
