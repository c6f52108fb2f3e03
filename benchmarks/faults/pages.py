"""What a set's page says before its scores, and what is kept of a set's first run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.fault import Result
from benchmarks.faults.report import as_markdown, in_time, scores

FOLDER = Path(__file__).parent
COMMON = (
    "Every kind of fault is put alone into a clean simulated warehouse, at a small and at a large"
    " rate; the first stage that sees it is named. `reported` is what ingestion itself names:"
    " rejected lines, quarantined files, fields outside the contract. How a gate works is in"
    " [quality.md](quality.md)."
)


@dataclass(frozen=True)
class Page:
    """Where a set's page stands in docs/, its title, and how the set was written."""

    name: str
    title: str
    about: str


PAGES = {
    "first": Page(
        "faults.md",
        "Faults",
        "This set and the rules grew together: what a fault showed to be missing became a rule."
        " Another set, written apart from the rules, is scored in"
        " [faults-second.md](faults-second.md).",
    ),
    "second": Page(
        "faults-second.md",
        "Faults, the second set",
        "This set was written from the contracts, the models' SQL and the simulator alone, and"
        " committed before its first run: its author had read no rule, no test of the project and"
        " no other fault. The stage named is the last at which somebody on call could fairly ask"
        " to be told. Its first score, from before any rule was changed, says more about faults"
        " that nobody has thought of than the score of [the first set](faults.md); once rules are"
        " written for what it showed, it is a set like the first one.",
    ),
}


def first_run(name: str) -> dict[str, Any] | None:
    """The set's first run as it was kept: scores, and rates by fault that was not seen in time."""
    path = FOLDER / f"{name}_first_run.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def keep_first_run(name: str, results: Sequence[Result], repaired: Mapping[str, str]) -> None:
    """Keep a run as the set's first. `repaired` tells what was changed before it could be put in.

    Raises FileExistsError if the set has had its first run.
    """
    path = FOLDER / f"{name}_first_run.json"
    unseen: dict[str, list[str]] = {}
    for result in results:
        if not in_time(result):
            unseen.setdefault(result.fault.id, []).append(result.rate)
    kept = {"scores": scores(results), "unseen": unseen, "repaired": dict(repaired)}
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")


def page_of(
    name: str,
    results: Sequence[Result],
    seconds: float,
    reasons: Mapping[str, str] | None = None,
) -> str:
    """The page of a set: how it was written, its first score, the score of now.

    `reasons` says, by fault, why nothing in the warehouse can show it.
    """
    page = PAGES[name]
    command = f"python -m benchmarks.faults --set {name} --out docs/{page.name}"
    parts = [f"# {page.title}", f"Written by `{command}`. {COMMON}", page.about]
    before = first_run(name)
    if before is not None:
        parts.append(_of_first_run(before, results))
    if reasons:
        listed = "\n".join(f"- `{fault}`: {reason}" for fault, reason in reasons.items())
        parts.append(f"## Faults that no rule on the data can show\n\n{listed}")
    parts.append(as_markdown(name, results, seconds))
    return "\n\n".join(parts)


def _of_first_run(before: Mapping[str, Any], results: Sequence[Result]) -> str:
    lines = ["## Before any rule was changed", ""]
    for rate, score in before["scores"].items():
        words = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in score.items())
        lines.append(f"- {rate} rate: {words}.")
    unseen = before["unseen"]
    rates = dict.fromkeys(result.rate for result in results)
    lines += ["", "Not seen in time then, by the stage that should have seen it:", ""]
    stages: dict[str, list[str]] = {}
    for result in results:
        fault = result.fault
        if fault.id in unseen and result.rate == next(iter(rates)):
            only = "" if len(unseen[fault.id]) > 1 else f" ({unseen[fault.id][0]} rate)"
            stages.setdefault(fault.stage, []).append(f"`{fault.id}`{only}")
    lines += [f"- {stage} ({len(found)}): {', '.join(found)}" for stage, found in stages.items()]
    if before["repaired"]:
        lines += ["", "Faults that could not be put in as they were first written:", ""]
        lines += [f"- `{fault}`: {how}" for fault, how in before["repaired"].items()]
    return "\n".join(lines)
