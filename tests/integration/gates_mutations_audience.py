"""Faults for the marts of audience packs; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

_A6 = (
    " update {t} set is_eligible = true where person_id in ("
    "select person_id from intermediate.int_identities where id = 'a6' and id_kind = 'account')"
)

AUDIENCE = [
    *of(
        "intermediate",
        "intermediate.int_audience_features",
        ("key_unique", twice("window_days = 30")),
        (
            "eligible_consent",
            "update staging.stg_community__accounts_history set birth_year = 1990;" + _A6,
        ),
        (
            "eligible_grown_up",
            "update staging.stg_community__accounts_history"
            " set consent_audience = true, birth_year = 2008;" + _A6,
        ),
        ("persons_count", "update intermediate.int_persons set counts = false"),
        ("within_window", "update {t} set active_days = 31 where window_days = 30"),
    ),
    *of(
        "marts",
        "audience.packs",
        ("key_unique", twice("pack = 'demand'")),
        (
            "domains_known",
            "update {t} set status = 'draft' where pack = 'demand'",
            "status_as_ledger",
        ),
        ("guarantee_in_bounds", "update {t} set k = null where version = 1 and kind = 'rows'"),
        ("guarantee_in_bounds", "update {t} set beta = 0.3 where kind = 'counts'"),
        (
            "charged_in_ledger",
            "update {t} set epsilon = 0.5 where version = 1 and pack = 'seeds'",
        ),
        ("status_as_ledger", "update {t} set status = 'revoked' where pack = 'demand'"),
    ),
    *of(
        "marts",
        "audience.pack_rows",
        (
            "key_unique",
            twice("cell = 2 and column_name = 'topic'"),
            "cells_whole",
        ),
        (
            "live_rows_packs_only",
            "update audience.packs set status = 'revoked' where pack = 'seeds' and version = 1",
        ),
        ("k_held", "update {t} set cell_rows = 49 where cell = 2"),
        ("cells_whole", "delete from {t} where cell = 2 and column_name = 'region'"),
        ("cells_whole", "update {t} set cell_rows = 70 where cell = 2 and column_name = 'topic'"),
        ("cells_distinct", "update {t} set value = 'film' where cell = 2 and value = 'travel'"),
    ),
    *of(
        "marts",
        "audience.pack_counts",
        (
            "key_unique",
            twice("measure = 'reads' and value = 12"),
            "cells_whole",
        ),
        (
            "live_counts_packs_only",
            "update audience.packs set kind = 'rows' where pack = 'demand'",
        ),
        ("not_negative", "update {t} set value = -1 where value = 12"),
        ("cells_whole", "delete from {t} where value = 12"),
    ),
    *of(
        "marts",
        "audience.release_ledger",
        ("seq_without_gaps", "update {t} set seq = 13 where seq = 12", "chain_unbroken"),
        ("chain_unbroken", "update {t} set row_hash = repeat('0', 64) where seq = 5"),
        (
            "clock_never_back",
            "update {t} set recorded_at = recorded_at - interval 1 day where seq = 12",
        ),
        (
            "steps_in_order",
            "update {t} set status = 'refunded' where seq = 3",
        ),
        (
            "cost_of_an_entry_fixed",
            "update {t} set epsilon = 0.01 where seq = 2",
        ),
    ),
    *of(
        "marts",
        "audience.attacks",
        ("key_unique", twice("pack = 'demand' and attack = 'linkage'")),
        (
            "released_passed_all",
            "update {t} set passed = false where pack = 'demand' and attack = 'linkage'",
        ),
        ("released_passed_all", "delete from {t} where pack = 'demand'"),
        (
            "of_a_pack",
            "insert into {t} values ('nobody', 1, 'linkage', 0.0, 0.1, true)",
        ),
    ),
]
