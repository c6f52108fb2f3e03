"""docs/crashes.md, from what was run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crashes.state import LEFT_OUT, PRIVATE
from benchmarks.crashes.victim import Ended

STAGES = ("ingest", "staging", "intermediate", "marts", "publish", "release")


@dataclass
class Chain:
    """Some kills in a row on one home, and what the build after them made of it.

    `seconds` is that build's, `whole_seconds` the chain's, `looks` how often the reader opened
    what was served, `by_command` says that the build was a process of its own, Dagster and all.
    """

    stage: str
    kills: list[Ended] = field(default_factory=list)
    kill_of_recovery: Ended | None = None
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    whole_seconds: float = 0.0
    looks: int = 0
    by_command: bool = False

    @property
    def total(self) -> int:
        """Processes killed, the one that was to recover included."""
        return len(self.kills) + (self.kill_of_recovery is not None)


def render(chains: Sequence[Chain], *, seed: int, persons: int, days: int, seconds: float) -> str:
    """The page: what is done, a row a stage, where processes died, what is left out and why."""
    kills = sum(chain.total for chain in chains)
    good = sum(chain.total for chain in chains if not chain.wrong)
    looks = sum(chain.looks for chain in chains)
    rows = [_row(stage, [chain for chain in chains if chain.stage == stage]) for stage in STAGES]
    double = [chain for chain in chains if chain.kill_of_recovery is not None]
    ended = [item for chain in chains for item in chain.kills]
    places = Counter(_kind(item.place) for item in ended)
    wrong = [f"- {chain.stage}: {what}" for chain in chains for what in chain.wrong]
    out = [f"| `{name}` | {_columns(cols)} | {why} |" for name, (cols, why) in LEFT_OUT.items()]
    private = [
        f"| `{name}` | {_columns(left) if left else 'nothing'} |" for name, left in PRIVATE.items()
    ]
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    return template.format(
        seed=seed,
        persons=persons,
        days=days,
        minutes=seconds / 60,
        kills=kills,
        good=good,
        chains=len(chains),
        looks=f"{looks:,}",
        double=len(double),
        command=sum(chain.by_command for chain in chains),
        rows="\n".join(row for row in rows if row),
        places="\n".join(f"| {place} | {count} |" for place, count in places.most_common(24)),
        wrong="\n".join(wrong) if wrong else "Nothing.",
        left_out="\n".join(out),
        private="\n".join(private),
    )


def _row(stage: str, chains: Sequence[Chain]) -> str:
    if not chains:
        return ""
    kills = sum(chain.total for chain in chains)
    good = sum(chain.total for chain in chains if not chain.wrong)
    seconds = [chain.seconds for chain in chains]
    return (
        f"| {stage} | {kills} | {len(chains)} | {good} of {kills} "
        f"| {sum(seconds) / len(seconds):.0f} ({min(seconds):.0f} to {max(seconds):.0f}) |"
    )


def _kind(place: str) -> str:
    """A place without the names and numbers that differ from run to run."""
    place = re.sub(r", \d[\d,]* \w+|\b(before|after) ", "", place)
    place = re.sub(r"[0-9a-f]{8,}|\d+", "N", place)
    return re.sub(r"([a-z_]+)\.parquet", "*.parquet", place).strip()


def _columns(names: Sequence[str] | None) -> str:
    return "all of it" if names is None else ", ".join(f"`{name}`" for name in names)
