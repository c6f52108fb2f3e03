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

    def seen_by(self, red: set[str]) -> bool:
        """Whether its rule, those named beside it and no others but whole-table rules are red."""
        wanted = {self.rule, *self.also}
        return red - (WHOLE_TABLE - wanted) == wanted

    def __str__(self) -> str:
        return f"{self.stage}-{self.table}-{self.rule}"


WHOLE_TABLE = frozenset(
    {
        *("at_the_orders_rate", "as_released", "as_scored", "catalogue_complete"),
        *("columns_conserved", "days_recomputed", "differences_add_up", "eligible_recomputed"),
        *("first_dates_recomputed", "kol_recomputed", "lag_recomputed", "lags_not_whole_hours"),
        *("levels_as_named", "loads_recomputed", "new_ids_recorded", "new_once", "no_file_empty"),
        *("no_word_for_nothing", "one_spelling", "open_states_conserved"),
        *("origin_and_author_kept", "persons_recomputed", "publishers_count"),
        *("refunds_recomputed", "spend_recomputed", "states_adjoin", "steps_in_order"),
        *("ties_to_the_earlier", "tokens_of_values", "weights_recomputed"),
    }
)
"""Rules that hold a table against another one row by row: they may see the faults of others."""


def of(stage: Stage, table: str, *faults: tuple[str, ...]) -> list[Mutation]:
    """The faults of one table, each a tuple of rule, SQL, and the rules that see it as well."""
    return [Mutation(stage, table, fault[0], fault[1], fault[2:]) for fault in faults]


def twice(condition: str) -> str:
    """SQL that repeats the rows that meet the condition."""
    return f"insert into {{t}} select * from {{t}} where {condition}"
