"""What a fault of the gates' tests is, and short ways to write many."""

from __future__ import annotations

from dataclasses import dataclass

from data_quality.catalogue import Stage


@dataclass(frozen=True)
class Mutation:
    """A fault put into one table.

    `{t}` in `sql` is the judged table. `also` names rules of the same suite that see it as well.
    """

    stage: Stage
    table: str
    rule: str
    sql: str
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.stage}-{self.table}-{self.rule}"


def of(stage: Stage, table: str, *faults: tuple[str, ...]) -> list[Mutation]:
    """The faults of one table, each a tuple of rule, SQL, and the rules that see it as well."""
    return [Mutation(stage, table, fault[0], fault[1], fault[2:]) for fault in faults]


def twice(condition: str) -> str:
    """SQL that repeats the rows that meet the condition."""
    return f"insert into {{t}} select * from {{t}} where {condition}"
