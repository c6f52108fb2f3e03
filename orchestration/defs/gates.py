"""A stage's rules over one table as one asset check; a critical rule blocks what comes after."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import dagster as dg

from data_quality.catalogue import STAGES, Stage
from data_quality.checks import CheckSpec, list_expectations
from data_quality.runner import Outcome
from orchestration.build import run_gate
from orchestration.defs.resources import POOL, the_build

SERVED = dg.AssetKey(["serving", "marts_duckdb"])


def checks() -> list[dg.AssetChecksDefinition]:
    """One step a stage. The export's checks run inside the publish, before the swap."""
    return [_gate(stage) for stage in STAGES if stage != "export" and list_expectations(stage)]


def check_specs(stage: Stage) -> list[dg.AssetCheckSpec]:
    """One check a table: a check costs Dagster three events, and a table has up to twenty rules.

    Its description names the rules; it blocks if one of them is critical.
    """
    specs = []
    for table, rules in _by_table(list_expectations(stage)).items():
        names = ", ".join(rule.name for rule in rules)
        specs.append(
            dg.AssetCheckSpec(
                check_name(stage, table),
                asset=asset_key(stage, table),
                blocking=any(rule.blocking for rule in rules),
                description=f"{len(rules)} rules | {len(rules)} 条规则: {names}",
                metadata={
                    "rules": len(rules),
                    "critical": sum(rule.blocking for rule in rules),
                },
            )
        )
    return specs


def check_results(stage: str, outcomes: Iterable[Outcome]) -> Iterator[dg.AssetCheckResult]:
    """A verdict a table as Dagster shows it: counts and the rules that failed, never a value."""
    for table, judged in _by_table(outcomes).items():
        failed = [outcome for outcome in judged if not outcome.success]
        blocks = any(outcome.severity == "critical" for outcome in failed)
        yield dg.AssetCheckResult(
            passed=not failed,
            asset_key=asset_key(stage, table),
            check_name=check_name(stage, table),
            severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
            metadata={"rules": len(judged), "failed": len(failed)}
            | {
                f"{outcome.severity}: {outcome.expectation}": outcome.observed for outcome in failed
            },
        )


def asset_key(stage: str, table: str) -> dg.AssetKey:
    """The asset that a verdict is about: the table's own, or the published file."""
    return SERVED if stage == "export" else dg.AssetKey(table.split("."))


def check_name(stage: str, table: str) -> str:
    """Unique among the asset's checks: the published file has one for each of its tables."""
    return table.replace(".", "__") if stage == "export" else "gate"


_Ruled = TypeVar("_Ruled", CheckSpec, Outcome)


def _by_table(items: Iterable[_Ruled]) -> dict[str, list[_Ruled]]:
    found: dict[str, list[_Ruled]] = {}
    for item in items:
        table = item.table if isinstance(item, CheckSpec) else item.table_name
        found.setdefault(table, []).append(item)
    return found


def _gate(stage: Stage) -> dg.AssetChecksDefinition:
    specs = check_specs(stage)

    @dg.multi_asset_check(
        name=f"gate_{stage}",
        specs=specs,
        required_resource_keys={"build"},
        pool=POOL,
        can_subset=True,
    )
    def gate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        tables = None
        if len(selected) < len(specs):
            keys = {key.asset_key for key in selected}
            known = {check.table for check in list_expectations(stage)}
            tables = sorted(table for table in known if asset_key(stage, table) in keys)
        build = the_build(context)
        outcomes = run_gate(build, stage, tables)
        context.log.info(build.stages[-1].summary)
        for result in check_results(stage, outcomes):
            if dg.AssetCheckKey(result.asset_key, str(result.check_name)) in selected:  # type: ignore[arg-type]
                yield result

    return gate
