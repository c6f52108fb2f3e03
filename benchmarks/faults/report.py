"""The scores of a run, as a page: each fault at both rates, and the worth of each rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.faults.fault import RATES, Result
from data_quality.catalogue import STAGES, suites


def in_time(result: Result) -> bool:
    """Whether a gate saw the fault at or before the stage named."""
    if result.found is None:
        return False
    return STAGES.index(result.found) <= STAGES.index(result.fault.stage)


def scores(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Rate to faults, in_time, blocked, warned, reported, missed, errors; errors are no misses."""
    found: dict[str, dict[str, int]] = {}
    for rate in RATES:
        mine = [result for result in results if result.rate == rate]
        if mine:
            outcomes = Counter(result.outcome for result in mine)
            found[rate] = {
                "faults": len(mine),
                "in_time": sum(map(in_time, mine)),
                "blocked": outcomes["blocked"],
                "warned": outcomes["warned"],
                "reported": outcomes["reported"],
                "missed": outcomes["missed"],
                "errors": outcomes["error"],
            }
    return found


def worth(results: Sequence[Result]) -> dict[str, tuple[set[str], set[str]]]:
    """Rule to the faults that it saw, and those that nothing else saw."""
    seen: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for result in results:
        rules = {finding.rule for finding in result.findings}
        for rule in rules:
            seen[rule][0].add(result.fault.id)
            if len(rules) == 1:
                seen[rule][1].add(result.fault.id)
    return dict(seen)


def idle_rules(results: Sequence[Result]) -> dict[str, list[str]]:
    """Stage to rule ids that saw nothing, on whichever table."""
    seen = {
        (finding.stage, finding.rule.partition(": ")[2])
        for result in results
        for finding in result.findings
    }
    return {
        stage: sorted(
            {rule.id for suite in suites(stage) for rule in suite.rules}
            - {rule for found, rule in seen if found == stage}
        )
        for stage in STAGES
    }


def as_json(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """Everything of a run as plain values."""
    return {
        "set": name,
        "scores": scores(results),
        "results": [
            {
                "fault": result.fault.id,
                "rate": result.rate,
                "share": result.share,
                "expected": result.fault.stage,
                "found": result.found,
                "outcome": result.outcome,
                "in_time": in_time(result),
                "rules": [finding.rule for finding in result.findings],
                "seconds": round(result.seconds, 2),
                "error": result.error,
            }
            for result in results
        ],
    }


def as_markdown(name: str, results: Sequence[Result], seconds: float) -> str:
    """One set's section of its page."""
    lines = [f"## The {name} set", ""]
    for rate, score in scores(results).items():
        words = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in score.items())
        lines.append(f"- {rate} rate: {words}.")
    lines += [f"- {seconds:.0f} s in all.", ""]
    lines += [
        "| fault | 故障 | stage | small rate | large rate | seconds |",
        "|---|---|---|---|---|---|",
    ]
    by_fault: dict[str, dict[str, Result]] = defaultdict(dict)
    for result in results:
        by_fault[result.fault.id][result.rate] = result
    for found in by_fault.values():
        fault = next(iter(found.values())).fault
        cells = [_cell(found.get(rate)) for rate in RATES]
        took = sum(result.seconds for result in found.values())
        lines.append(
            f"| `{fault.id}`: {fault.en} | {fault.zh} | {fault.stage} | {cells[0]} | {cells[1]}"
            f" | {took:.1f} |"
        )
    lines += [
        "",
        "### Worth of the rules",
        "",
        "| rule | faults seen | seen by it alone |",
        "|---|---|---|",
    ]
    ranked = sorted(
        worth(results).items(), key=lambda item: (-len(item[1][1]), -len(item[1][0]), item[0])
    )
    lines += [f"| `{rule}` | {len(seen)} | {len(alone)} |" for rule, (seen, alone) in ranked]
    lines += [
        "",
        "Rules that saw none of these faults, on any table (each sees a fault of its own in"
        " `tests/integration/gates_mutations*.py`):",
        "",
    ]
    for stage, rules in idle_rules(results).items():
        if rules:
            lines.append(f"- {stage}: {', '.join(f'`{rule}`' for rule in rules)}")
    return "\n".join(lines) + "\n"


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    share = f"{100 * result.share:g} %"
    if result.error:
        return f"{share}: error of the benchmark"
    if result.found is None:
        return f"{share}: **missed**"
    rules = [finding.rule for finding in result.findings]
    more = f" and {len(rules) - 2} more" if len(rules) > 2 else ""
    late = "" if in_time(result) else " (late)"
    named = ", ".join(f"`{rule}`" for rule in rules[:2])
    return f"{share}: {result.outcome} at {result.found}{late} by {named}{more}"
