"""The second set: written from the contracts and the models alone, before the rules were read.

It was committed before its first run; what its author may not have read is named on its page.
"""

from benchmarks.faults import second_exports, second_landing, second_marts, second_models

FAULTS = [
    *second_landing.FAULTS,
    *second_models.FAULTS,
    *second_marts.FAULTS,
    *second_exports.FAULTS,
]

REPAIRED = {
    "stg_refunds_one_a_week": "in place of one refund an order: no order of this world has two"
    " refunds of one source.",
    "int_orders_refunds_unconverted": "in place of the greatest refund for their sum, for the same"
    " reason.",
    "int_orders_robots_count": "in place of staff alone, of whom nobody bought.",
    "int_unlikes_ignored": "in place of likes below zero: nobody takes back what was not given.",
    "int_origin_label_ignored": "in place of the label's precedence: declared and labelled origins"
    " never differ here.",
    "int_tests_count": "in place of persons excluded by all their ids: flags of a person agree.",
    "int_erasure_forgotten": "in place of persons erased by all their ids, for the same reason.",
    "int_pool_with_courses": "in place of a pool without tips: all tips are for paid contents.",
    "cross_core_after_the_join": "in place of a conversion without its thirty days: nobody waits"
    " longer here.",
    "touch_without_leader": "in place of the landmark moved: nobody buys in between.",
    "health_multi_exposed_lost": "in place of validity without a ratio: the broken experiment is"
    " invalid for two reasons.",
    "board_last_is_final": "in place of dates after as_of_date, of which the board has none.",
    "mrr_closing_annual": "in place of contraction netted against expansion: nobody contracts.",
    "mrr_without_totals": "in place of quiet plans dropped: no plan is quiet.",
    "predictions_recency_is_age": "in place of predictions of erased persons: none bought.",
    "contents_machine_origin": "in place of erased authors: none published.",
    "reconciliation_padded": "named a column that the table has under another name.",
    "overlap_three_plus": "has one row, and so no rate.",
    "persons_birth_year": "adds a column, and so has no rate.",
}
NOT_IN_THE_DATA = {
    "accounts_all_staff": "at the small rate: two accounts more or less are what shares vary by."
    " A producer's control totals (how many records have the flag) would show it.",
    "accounts_consent_default": "a consent is as plausible as none; a producer would have to send"
    " how many consented.",
    "members_all_kol": "the log comes as one file, so nothing tells how many were flagged before;"
    " a producer would have to send the number.",
    "members_updated_long_ago": "a state older than others is history by the contract, and harms"
    " nothing.",
    "links_swapped_ids": "at the small rate: an id without a record is a person by the contract.",
    "contents_all_paid": "the small rate is within what shares vary by.",
    "contents_origin_dropped": "the small rate is within what shares vary by.",
    "events_float_ids": "ids beyond 2^53 are dealt one after the other, so that a rounded id is"
    " mostly somebody else's; control totals of the ids would show it.",
    "events_unlike_is_like": "who likes twice is legal, and many do; control totals by event type"
    " would show it.",
    "events_no_exits": "a space has three exits a day here: none is no surprise.",
    "groups_kind_default": "all groups come as one file, so nothing tells what they were before.",
    "raw_orders_edited": "the ledger knows how many records a file brought, not what they said:"
    " it takes a digest by file to see an edit in the warehouse itself.",
    "fit_of_last_month": "an expectation a third too high is within what a fit may say; it takes"
    " a second fit to know.",
    "board_last_is_final": "the board's end is the newest moment of seven logs: a second account of"
    " it would be the model again.",
}
