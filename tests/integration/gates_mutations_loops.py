"""Faults for funnels, KOL touches and the value loop; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

LOOPS = [
    *of(
        "intermediate",
        "intermediate.int_funnel_events",
        ("key_unique", twice("event_kind = 'impression' and id = 'b1'")),
        ("firsts_conserved", "delete from {t} where event_kind = 'impression' and id = 'b1'"),
        (
            "later_events_conserved",
            "insert into {t} select activity_date, source, id_kind, id, event_kind,"
            " occurred_at + interval 1 second from {t} where event_kind = 'click' and id = 'b2'",
        ),
    ),
    *of(
        "marts",
        "engagement.funnels",
        (
            "key_unique",
            twice("entry_date = date '2025-11-30' and step = 4"),
        ),
        (
            "every_step",
            "update {t} set step_kind = 'order' where entry_date = date '2025-11-30' and step = 4",
        ),
        (
            "every_step",
            "delete from {t} where entry_date = date '2025-11-30' and step = 4",
        ),
        (
            "steps_narrow",
            "update {t} set persons = 2 where entry_date = date '2025-11-30' and step = 4",
        ),
        (
            "window_over",
            "insert into {t} select funnel, date '2026-01-04', step, step_kind, 1"
            " from {t} where entry_date = date '2025-11-30'",
            "entries_recomputed",
            "second_step_recomputed",
        ),
        (
            "entries_recomputed",
            "update {t} set persons = persons + 1"
            " where entry_date = date '2025-11-30' and step = 1",
        ),
        (
            "second_step_recomputed",
            "update {t} set persons = 1 where entry_date = date '2025-11-30' and step = 2",
        ),
    ),
    *of(
        "marts",
        "engagement.touchpoints",
        (
            "key_unique",
            "insert into {t} select source, campaign_id, n_scenes, 0, 0, 1 from {t}"
            " where campaign_id = 'k2';"
            " update {t} set early_buyers = 0 where campaign_id = 'k2' and persons > 0",
        ),
        (
            "scenes_within_cap",
            "update {t} set n_scenes = 6 where campaign_id = '*' and n_scenes = 2",
        ),
        (
            "converted_within_persons",
            "update {t} set converted_7d = persons + 1 where campaign_id = 'k2'",
        ),
        (
            "touched_recomputed",
            "update {t} set persons = persons + 1 where campaign_id = 'k2'",
        ),
        (
            "buyers_recomputed",
            "update {t} set converted_7d = 0 where campaign_id = '*' and n_scenes = 2",
        ),
        (
            "buyers_recomputed",
            "update {t} set persons = early_buyers, early_buyers = persons"
            " where campaign_id = '*' and n_scenes = 1",
        ),
    ),
    *of(
        "marts",
        "engagement.value_loop",
        (
            "key_unique",
            "insert into {t} select week_start, source, topic, 1, 0, null, null, null, null, null"
            " from {t} where supplied is null and topic = 'tea';"
            " update {t} set needs = 1 where supplied is null and topic = 'tea'",
            "needs_recomputed",
        ),
        (
            "weeks_are_mondays",
            "update {t} set week_start = week_start + 1 where supplied is null and topic = 'tea'",
            "supplied_recomputed",
        ),
        (
            "parts_within",
            "update {t} set reads_before_7d = -1 where reads_before_7d is not null",
        ),
        (
            "null_when_unobservable",
            "update {t} set supplied = 0 where supplied is null and topic = 'tea'",
        ),
        (
            "null_when_unobservable",
            "update {t} set reads_before_7d = null where reads_before_7d is not null",
        ),
        (
            "lag_within_days",
            "update {t} set median_lag_hours = median_lag_hours * 3600",
        ),
        (
            "needs_recomputed",
            "update {t} set needs = needs + 1 where topic = 'tea' and supplied = 1",
        ),
        (
            "supplied_by_a_content",
            "update {t} set first_supplied_at = first_supplied_at + interval 1 second",
        ),
        (
            "supplied_recomputed",
            "update {t} set needs = 2, eligible_14d = 2 where supplied = 1",
            "needs_recomputed",
        ),
    ),
]
