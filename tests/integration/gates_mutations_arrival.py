"""Faults for the rules that compare what arrives with what arrived before."""

from __future__ import annotations

from tests.integration.gates_mutation import of


def _more(count: str, changes: str, like: str = "event_id = 'e0'", key: str = "event_id") -> str:
    """SQL that adds a row for each `n` of `range(count)`, changed from one that is there."""
    return (
        f"insert into {{t}} select e.* replace ('z' || n as {key}, {changes})"
        f" from {{t}} as e, range({count}) as numbers (n) where {like}"
    )


def _at(seconds: str, start: str = "2026-02-01") -> str:
    return f"timestamp '{start}' + to_seconds({seconds})"


EVENTS = of(
    "raw",
    "raw.community__events",
    ("ids_plain", "update {t} set event_id = event_id || chr(8203) where event_id = 'e0'"),
    ("texts_readable", "update {t} set topic = 'NULL' where event_id = 'e0'"),
    ("happened_before_collected", "update {t} set received_at = occurred_at - interval 2 hour"),
    (
        "collected_soon",
        "update {t} set received_at = occurred_at + interval 1 second; "
        + _more("10", f"{_at('n')} as occurred_at, {_at('n', '2026-02-04')} as received_at"),
    ),
    (
        "fields_still_given",
        _more("40", f"{_at('n * 61 + 7')} as occurred_at, 'ios' as platform")
        + "; "
        + _more(
            "30", f"{_at('n * 61 + 7', '2026-03-20')} as occurred_at, null as platform"
        ).replace("'z' || n", "'y' || n"),
    ),
    (
        "no_source_silent",
        _more("960", f"'steady' as source, {_at('n * 3600')} as occurred_at")
        + " and n not between 925 and 955",
    ),
    (
        "no_hour_missing",
        _more("900", f"'steady' as source, {_at('(n // 30) * 86400 + n % 30')} as occurred_at")
        + " and n // 30 <> 25",
    ),
    (
        "volumes_as_usual",
        _more("8400", f"'steady' as source, {_at('n * 360')} as occurred_at")
        + " and (n < 8160 or n % 10 = 0)",
    ),
    (
        "hours_as_usual",
        _more("8400", f"'steady' as source, {_at('n * 360')} as occurred_at")
        + " and n < 6720; "
        + _more(
            "1680",
            "'y' || n as impression_id, 'steady' as source, "
            + _at("6720 * 360 + (n // 240) * 86400 + (n % 240) * 180")
            + " as occurred_at",
        ).replace("'z' || n", "'y' || n"),
    ),
    (
        "no_burst",
        _more("80", f"{_at('case when n < 20 then n * 3600 else 90000 + n end')} as occurred_at"),
    ),
    ("no_echo", _more("3", "'ios' as platform")),
    (
        "account_id_recorded",
        _more("10", f"{_at('n * 3600')} as occurred_at, 'ghost' || n as account_id"),
    ),
    (
        "content_id_recorded",
        _more("10", f"{_at('n * 3600')} as occurred_at, 'none' || n as content_id"),
    ),
    (
        "dwell_ms_as_usual",
        _more("40", f"{_at('n * 3600')} as occurred_at, 1000 + n as dwell_ms")
        + "; "
        + _more(
            "5", f"{_at('n * 3600', '2026-03-01')} as occurred_at, 10000000 as dwell_ms"
        ).replace("'z' || n", "'y' || n"),
    ),
)
MESSAGES = of(
    "raw",
    "raw.group__messages",
    (
        "member_id_recorded",
        _more(
            "10",
            f"{_at('n * 3600')} as occurred_at, 'ghost' || n as member_id",
            "message_id = 't0'",
            "message_id",
        ),
    ),
    (
        "group_id_recorded",
        _more(
            "10",
            f"{_at('n * 3600')} as occurred_at, 'nowhere' || n as group_id",
            "message_id = 't0'",
            "message_id",
        ),
    ),
)
ORDERS = of(
    "raw",
    "raw.commerce__orders",
    (
        "amount_minor_as_usual",
        _more("40", f"{_at('n * 3600')} as paid_at", "order_id = 'o1'", "order_id")
        + "; "
        + _more(
            "5",
            f"{_at('n * 3600', '2026-03-01')} as paid_at, 100000000 as amount_minor",
            "order_id = 'o1'",
            "order_id",
        ).replace("'z' || n", "'y' || n"),
    ),
    (
        "currencies_settled",
        _more("40", f"{_at('n * 3600')} as paid_at", "order_id = 'o1'", "order_id")
        + "; "
        + _more(
            "3",
            f"{_at('n * 3600', '2026-03-01')} as paid_at, 'KWD' as currency",
            "order_id = 'o1'",
            "order_id",
        ).replace("'z' || n", "'y' || n"),
    ),
)
LEDGERS = [
    *of(
        "raw",
        "control.files",
        (
            "few_duplicates",
            "update {t} set accepted = accepted - 2, lines_read = lines_read + 48, duplicates = 50"
            " where log = 'community/events'; "
            "insert into {t} select f.* replace (90 + n as file_id, 'x' || n as sha256,"
            " 1 as lines_read, 1 as accepted, 0 as duplicates)"
            " from {t} as f, range(2) as numbers (n) where f.log = 'community/events'",
        ),
    ),
    *of(
        "raw",
        "control.paths",
        (
            "one_name_a_content",
            "insert into {t} select 'p' || n, 'community/events', 1, 1, 'same', now()"
            " from range(2) as numbers (n)",
        ),
    ),
    *of(
        "raw",
        "raw.group__deliveries",
        (
            "broadcast_id_recorded",
            _more(
                "10",
                f"{_at('n * 3600')} as occurred_at, 'none' || n as broadcast_id",
                "event_id = 'd0'",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.operations__exposures",
        ("variants_known", "update {t} set variant = 'arm-z' where event_id = 'xe1'"),
    ),
]
TRANSFORMED = [
    *of(
        "intermediate",
        "intermediate.int_activity",
        ("parts_as_defined", "update {t} set is_contribution = true where action = 'reaction'"),
    ),
    *of(
        "intermediate",
        "intermediate.int_orders",
        (
            "converted_at_the_rate",
            "update {t} set reporting_minor = reporting_minor + 1 where currency = 'USD'",
        ),
        ("paid_date_is_local", "update {t} set paid_date = paid_date + 300"),
    ),
    *of(
        "intermediate",
        "intermediate.int_membership_changes",
        ("last_move_holds", "delete from {t} where kind = 'leave' and group_id = 'g1'"),
    ),
    *of(
        "intermediate",
        "intermediate.int_groups",
        ("seen_groups_present", "delete from {t} where group_id = 'g1'", "records_present"),
    ),
    *of(
        "intermediate",
        "intermediate.int_contents",
        ("origin_as_declared", "update {t} set origin = 'agc' where content_id = 'c1'"),
    ),
    *of(
        "marts",
        "users.daily_active",
        (
            "wau_recomputed",
            "update {t} set wau = wau - 1 where core = 'community' and source <> '*' and wau > dau",
        ),
        (
            "contributing_recomputed",
            "update {t} set dau_contributing = dau_contributing - 1"
            " where core = 'community' and source <> '*' and dau_contributing > 0",
        ),
    ),
    *of(
        "marts",
        "users.node_daily_active",
        ("rolled_up", "delete from {t} where node_id = 'n1'"),
    ),
]
ARRIVAL = [*EVENTS, *MESSAGES, *ORDERS, *LEDGERS, *TRANSFORMED]
