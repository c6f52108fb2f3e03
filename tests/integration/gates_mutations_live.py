"""Faults for the live board; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

FIRST = "core = 'community' and five_minute_start = timestamp '2026-01-08 04:00:00'"
LAST = "core = 'community' and provisional"
ONLY_OPEN = "core = 'group' and events = 0 and five_minute_start"

LIVE = [
    *of(
        "marts",
        "engagement.live_board",
        ("key_unique", twice(FIRST)),
        ("key_known", f"update {{t}} set core = 'both' where {LAST}"),
        (
            "spans_aligned",
            "update {t} set five_minute_start = five_minute_start + interval 1 minute"
            f" where {FIRST}",
        ),
        (
            "within_48_hours",
            "update {t} set five_minute_start = five_minute_start - interval 5 minute"
            f" where {ONLY_OPEN} = (select min(five_minute_start) from {{t}})",
        ),
        ("counts_consistent", f"update {{t}} set persons = 2 where {FIRST}"),
        ("counts_consistent", f"update {{t}} set orders = -1 where {FIRST}"),
        ("counts_consistent", f"update {{t}} set events = 0, persons = 0 where {FIRST}"),
        ("group_measures_in_group", f"update {{t}} set messages = 1 where {FIRST}"),
        (
            "provisional_after_as_of",
            "delete from {t} where five_minute_start < timestamp '2026-01-08 17:00:00';"
            " update {t} set five_minute_start = timestamp '2026-01-10 16:00:00',"
            f" provisional = false where {ONLY_OPEN} = timestamp '2026-01-10 03:00:00'",
        ),
        ("events_within_days", f"update {{t}} set events = 50 where {FIRST}"),
    ),
]
