"""Faults for the payout ledger and the uplift of packs; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

REHASH = (
    " update {t} set row_hash = sha256(prev_hash || cast(seq as varchar) || '|'"
    " || cast(posted_on as varchar) || '|' || cast(month as varchar) || '|' || model || '|'"
    " || entry_kind || '|' || cast(amount_minor as varchar) || '|' || payee_commitment)"
    " where seq = 4"
)
"""The last entry is the one that can be forged without breaking a link."""
POST = (
    "insert into control.payout_ledger by name"
    " select * exclude (person_id), person_id as payee from {t}"
)

LEDGER = [
    *of(
        "marts",
        "revenue.payout_ledger",
        (
            "seq_without_gaps",
            "update {t} set seq = 5 where seq = 4;" + REHASH.replace("= 4", "= 5"),
        ),
        (
            "kinds_known",
            "update {t} set entry_kind = 'bonus', posted_on = posted_on where seq = 4;" + REHASH,
        ),
        (
            "amounts_signed",
            "insert into {t} select * replace (5 as seq, 0 as amount_minor, row_hash as prev_hash)"
            " from {t} where seq = 4;" + REHASH.replace("= 4", "= 5"),
        ),
        ("links_hold", "update {t} set prev_hash = repeat('f', 64) where seq = 4;" + REHASH),
        ("hashes_hold", "update {t} set payee_commitment = repeat('f', 64) where seq = 4"),
        (
            "dates_in_order",
            "update {t} set posted_on = date '2025-12-30' where seq = 4;" + REHASH,
        ),
        (
            "first_posting_is_payout",
            "update {t} set entry_kind = 'adjustment' where seq = 3;"
            + REHASH.replace("= 4", "= 3")
            + "; update {t} set prev_hash = (select row_hash from {t} where seq = 3)"
            " where seq = 4;" + REHASH,
        ),
        (
            "transfers_cancel",
            "update {t} set entry_kind = 'transfer' where seq = 4;" + REHASH,
        ),
        (
            "sums_are_payouts",
            "update {t} set person_id = (select min(person_id) from {t})"
            " where model = 'user_centric'",
        ),
        (
            "sums_are_pools",
            "update revenue.creator_payouts set pool_minor = pool_minor + 1",
        ),
        ("posted_rows_kept", POST + "; update control.payout_ledger set row_hash = 'f'"),
        (
            "erased_are_hidden",
            "update intermediate.int_persons set is_erased = true"
            " where person_id = (select min(person_id) from {t})",
        ),
    ),
    *of(
        "marts",
        "revenue.pack_uplift",
        ("key_unique", twice("arm = 'holdout'")),
        ("both_arms", "delete from {t} where arm = 'holdout'"),
        ("both_arms", "update {t} set arm = 'control' where arm = 'holdout'"),
        ("groups_recomputed", "update {t} set groups = 3 where arm = 'pack'"),
        (
            "null_where_unobserved",
            "update {t} set new_members = null where arm = 'holdout'",
        ),
        (
            "within_acquisition",
            "update {t} set spend_minor = 5000, cac = 5000, ci_high = 9000 where arm = 'pack'",
        ),
        ("members_within", "update {t} set members_naming_pack = 2 where arm = 'pack'"),
        ("cac_as_defined", "update {t} set cac = cac + 1 where arm = 'pack'"),
        ("interval_holds_cost", "update {t} set ci_low = null where arm = 'pack'"),
        (
            "difference_as_defined",
            "update {t} set cac_difference = cac, difference_ci_low = cac,"
            " difference_ci_high = cac where arm = 'pack'",
        ),
    ),
]  # fmt: skip
