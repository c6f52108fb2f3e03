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
NOT_IN_THE_DATA: dict[str, str] = {}
