"""Every expectation of every stage as one asset check; a critical one blocks what comes after."""

from collections.abc import Iterator

import dagster as dg

from data_quality.catalogue import STAGES, Stage
from data_quality.checks import list_expectations, metadata
from data_quality.runner import Outcome
from orchestration.build import run_gate
from orchestration.defs.resources import POOL, the_build

SERVED = dg.AssetKey(["serving", "marts_duckdb"])


def checks() -> list[dg.AssetChecksDefinition]:
    """One step a stage. The export's checks run inside the publish, before the swap."""
    return [_gate(stage) for stage in STAGES if stage != "export" and list_expectations(stage)]


def check_specs(stage: Stage) -> list[dg.AssetCheckSpec]:
    """The checks of a stage, in the order in which they are judged."""
    return [
        dg.AssetCheckSpec(
            check_name(stage, check.table, check.name),
            asset=asset_key(stage, check.table),
            blocking=check.blocking,
            description=f"{check.description_en} | {check.description_zh}",
            metadata={"severity": check.severity, "suite": check.suite},
        )
        for check in list_expectations(stage)
    ]


def check_result(outcome: Outcome) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it: counts, never a value."""
    critical = outcome.severity == "critical"
    return dg.AssetCheckResult(
        passed=outcome.success,
        asset_key=asset_key(outcome.stage, outcome.table_name),
        check_name=check_name(outcome.stage, outcome.table_name, outcome.expectation),
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        metadata=metadata(outcome),
    )


def asset_key(stage: str, table: str) -> dg.AssetKey:
    """The asset that a verdict is about: the table's own, or the published file."""
    return SERVED if stage == "export" else dg.AssetKey(table.split("."))


def check_name(stage: str, table: str, expectation: str) -> str:
    """Unique among the asset's checks: dbt's tests have names of their own form."""
    prefix = f"{table.replace('.', '_')}__" if stage == "export" else "gate_"
    return f"{prefix}{expectation}"


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
        for outcome in outcomes:
            result = check_result(outcome)
            if dg.AssetCheckKey(result.asset_key, str(result.check_name)) in selected:  # type: ignore[arg-type]
                yield result

    return gate
