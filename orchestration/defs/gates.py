"""A stage's rules over one table as one asset check; a critical rule blocks what comes after."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import dagster as dg

from data_quality.catalogue import CANARY, STAGES, Stage
from data_quality.checks import CheckSpec, list_expectations
from data_quality.runner import Outcome
from orchestration.defs.resources import POOL, the_steps

SERVED = dg.AssetKey(["serving", "marts_duckdb"])


def checks() -> list[dg.AssetChecksDefinition]:
    """One step a stage. The export's checks run inside the publish, before the swap."""
    return [_gate(stage) for stage in STAGES if stage != "export" and list_expectations(stage)]


def check_specs(stage: Stage) -> list[dg.AssetCheckSpec]:
    """One check a table: a check costs Dagster three events, and a table has up to twenty rules.

    Its description says what the rules guard; it blocks if one of them is critical.
    """
    specs = []
    for table, rules in _by_table(list_expectations(stage)).items():
        specs.append(
            dg.AssetCheckSpec(
                check_name(stage, table),
                asset=asset_key(stage, table),
                blocking=any(rule.blocking for rule in rules),
                description=_what_is_guarded(rules),
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
            metadata={
                "rules": len(judged),
                "passed": len(judged) - len(failed),
                "warnings": sum(outcome.severity != "critical" for outcome in failed),
                "critical_failed": sum(outcome.severity == "critical" for outcome in failed),
            }
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


def _what_is_guarded(rules: Sequence[CheckSpec]) -> str:
    """What each rule says in both languages, those that stop the build first.

    The canary is left out where there are others: it guards the gate, not the table.
    """
    rules = [rule for rule in rules if rule.name != CANARY] or rules
    stops = [rule for rule in rules if rule.blocking]
    warns = [rule for rule in rules if not rule.blocking]
    english = [
        f"{words}: {'; '.join(rule.description_en.rstrip('.') for rule in found)}."
        for words, found in (("Stops what follows", stops), ("Warns", warns))
        if found
    ]
    chinese = [
        f"{words}：{'；'.join(rule.description_zh.rstrip('。') for rule in found)}。"
        for words, found in (("不满足则阻断", stops), ("不满足则提醒", warns))
        if found
    ]
    return f"{' '.join(english)} | {''.join(chinese)}"


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
        description=(
            f"Great Expectations judges every table of {stage}; a critical rule stops what "
            f"follows. | Great Expectations 检查 {stage} 的每张表；关键规则不过则阻断后续。"
        ),
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
        told = the_steps(context).gate(stage, tables)
        context.log.info(told.summary)
        for result in check_results(stage, told.outcomes):
            if dg.AssetCheckKey(result.asset_key, str(result.check_name)) in selected:  # type: ignore[arg-type]
                yield result

    return gate
