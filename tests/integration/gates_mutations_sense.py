"""Faults for the rules that hold records, logs and layers against each other."""

from __future__ import annotations

from tests.integration.gates_mutation import of


def _more(count: str, changes: str, like: str, key: str = "event_id") -> str:
    """SQL that adds a row for each `n` of `range(count)`, changed from one that is there."""
    return (
        f"insert into {{t}} select e.* replace ('z' || n as {key}, {changes})"
        f" from {{t}} as e, range({count}) as numbers (n) where {like}"
    )


def _at(seconds: str, start: str = "2026-02-01") -> str:
    return f"timestamp '{start}' + to_seconds({seconds})"


RAW = [
    *of(
        "raw",
        "control.files",
        (
            "no_file_empty",
            "update {t} set lines_read = 0, accepted = 0 where file_id = 1",
            "accepted_is_raw",
        ),
    ),
    *of(
        "raw",
        "raw.community__accounts",
        ("birth_year_plausible", "update {t} set birth_year = 90 where account_id = 'a1'"),
        ("times_in_order", "update {t} set registered_at = timestamp '2026-05-01'"),
        ("never_itself", "update {t} set inviter_account_id = account_id"),
        ("digests_formed", "update {t} set _state_sha256 = 'X' || _state_sha256"),
        ("no_word_for_nothing", "update {t} set union_id = 'undefined' where account_id = 'a8'"),
        ("one_spelling", "update {t} set source = 'ZhiHu' where account_id = 'a8'"),
        (
            "shares_as_usual",
            _more(
                "50",
                "true as is_staff, timestamp '2026-03-01' as updated_at,"
                " timestamp '2026-03-01' as registered_at, sha256('s' || n) as _state_sha256",
                "account_id = 'a8'",
                "account_id",
            )
            + "; "
            + _more(
                "50", "sha256('t' || n) as _state_sha256", "account_id = 'a8'", "account_id"
            ).replace("'z' || n as", "'y' || n as"),
        ),
    ),
    *of(
        "raw",
        "raw.community__contents",
        (
            "answers_under_questions",
            _more(
                "30",
                "'answer' as kind, case when n > 2 then 'c4' end as parent_content_id,"
                " sha256('s' || n) as _state_sha256",
                "content_id = 'c1'",
                "content_id",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.community__events",
        ("batches_follow_files", "update {t} set _batch_id = -1 where event_id = 'e1'"),
        ("follows_name_somebody", "update {t} set target_account_id = null"),
        (
            "new_ids_recorded",
            _more(
                "9",
                f"{_at('n * 90000 + 7')} as occurred_at, 'ghost' || n as account_id",
                "event_id = 'e0'",
            ),
            "account_id_recorded",
        ),
        (
            "moments_not_cut",
            _more("300", f"{_at('n * 7201 + 7')} as occurred_at", "event_id = 'e0'")
            + "; "
            + _more(
                "60", f"{_at('n * 3600', '2026-03-01')} as occurred_at", "event_id = 'e0'"
            ).replace("'z' || n", "'y' || n"),
        ),
        (
            "lags_not_whole_hours",
            _more(
                "8",
                f"{_at('n * 90000 + 7')} as occurred_at,"
                f" {_at('n * 90000 + 12 + 8 * 3600')} as received_at",
                "event_id = 'e0'",
            ),
        ),
        (
            "moments_apart",
            _more("6", f"{_at('7')} as occurred_at, 'c' || n as impression_id", "event_id = 'e0'"),
        ),
        (
            "still_arriving",
            _more("150", f"{_at('n * 1800 + 7', '2025-06-01')} as occurred_at", "event_id = 'e0'")
            + "; delete from {t} where event_id not like 'z%'",
        ),
        (
            "no_kind_silent",
            _more("2520", f"{_at('n * 1440 + 7')} as occurred_at", "event_id = 'e0'")
            + " and n not between 2400 and 2459",
        ),
        (
            "no_minutes_missing",
            _more(
                "1440",
                f"{_at('n * 60 + 7')} as occurred_at, 'a' || n as account_id",
                "event_id = 'e0'",
            )
            + " and n % 60 < 55",
            "account_id_recorded",
        ),
        (
            "readers_click",
            _more(
                "40",
                f"{_at('n * 4000 + 7')} as occurred_at, 'read' as event_type,"
                " 'c' || n as content_id",
                "event_id = 'e0'",
            ),
            "content_id_recorded",
        ),
    ),
    *of(
        "raw",
        "raw.community__nodes",
        ("levels_in_order", "update {t} set level = 'channel' where node_id = 'n3'"),
    ),
    *of(
        "raw",
        "raw.group__messages",
        (
            "length_of_text",
            _more(
                "60",
                f"'0123456789' as text, 10 as text_length, {_at('n * 3600 + 7')} as occurred_at",
                "message_id = 't0'",
                "message_id",
            )
            + "; "
            + _more(
                "5",
                f"'0123456789' as text, 30 as text_length,"
                f" {_at('n * 3600 + 7', '2026-03-01')} as occurred_at",
                "message_id = 't0'",
                "message_id",
            ).replace("'z' || n", "'y' || n"),
        ),
        (
            "texts_have_text",
            _more(
                "60",
                f"case when n > 1 then 'hello' end as text, 5 as text_length,"
                f" {_at('n * 3600 + 7')} as occurred_at",
                "message_id = 't0'",
                "message_id",
            ),
        ),
        (
            "mentioned_are_members",
            _more(
                "30",
                f"'[\"name' || n || '\"]' as mentions, 16 as text_length,"
                f" {_at('n * 3600 + 7')} as occurred_at",
                "message_id = 't0'",
                "message_id",
            ),
        ),
        (
            "groups_still_talk",
            _more("80", f"{_at('n * 36000 + 7')} as occurred_at", "message_id = 't0'", "message_id")
            + "; "
            + _more(
                "1",
                f"'g2' as group_id, {_at('7', '2026-03-20')} as occurred_at",
                "message_id = 't0'",
                "message_id",
            ).replace("'z' || n", "'y' || n")
            + "; delete from {t} where group_id = 'g1' and message_id not like 'z%'",
        ),
    ),
    *of(
        "raw",
        "raw.group__deliveries",
        ("after_the_broadcast", "update {t} set occurred_at = occurred_at - interval 9 day"),
        (
            "steps_hang_together",
            _more(
                "120",
                "'m' || (n // 2) as member_id, occurred_at + to_seconds(n * 61) as occurred_at,"
                " case when n < 12 then 'read' when n % 2 = 0 then 'targeted' else 'sent' end"
                " as status",
                "event_id = 'd0'",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.group__consults",
        ("one_asker", "update {t} set member_id = 'm1' where event_id = 'q2'"),
        (
            "questions_first",
            "update {t} set occurred_at = occurred_at - interval 1 day"
            " where action = 'ai_answer' and session_id = 's2'",
        ),
        (
            "humans_after_handoff",
            _more(
                "10",
                "'h' || (n // 2) as session_id,"
                " case when n % 2 = 0 then 'handoff' else 'human_answer' end as action,"
                f" {_at('n * 3600 + 7')} as occurred_at, null as score",
                "event_id = 'q1'",
            )
            + "; "
            + _more(
                "1",
                f"'alone' as session_id, 'human_answer' as action, {_at('99')} as occurred_at",
                "event_id = 'q1'",
            ).replace("'z' || n", "'y' || n"),
        ),
    ),
    *of(
        "raw",
        "raw.group__attendance",
        ("during_the_scene", "update {t} set occurred_at = occurred_at - interval 9 day"),
    ),
    *of(
        "raw",
        "raw.operations__campaigns",
        ("dates_near", "update {t} set ends_at = timestamp '2062-01-01'"),
    ),
    *of(
        "raw",
        "raw.operations__campaign_events",
        (
            "acceptances_name_inviters",
            _more(
                "12",
                "'accept' as action, case when n > 0 then 'p1' end as inviter_member_id,"
                f" 'p3' as member_id, {_at('n * 3600 + 7')} as occurred_at",
                "event_id = 'w0'",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.operations__experiments",
        (
            "weights_are_numbers",
            'update {t} set variants = \'{{"control":"50%","new":1}}\''
            " where experiment_id = 'x1'",
        ),
    ),
    *of(
        "raw",
        "raw.operations__exposures",
        ("units_recorded", _more("9", "'idfa' || n as unit_id", "event_id = 'xe1'")),
        (
            "one_variant_a_unit",
            _more(
                "8",
                "['a1', 'a2', 'a6', 'a7'][1 + n // 2] as unit_id,"
                " case when n % 2 = 0 then 'new' else 'control' end as variant",
                "event_id = 'xe1'",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.operations__assistant_requests",
        (
            "answers_took_time",
            _more(
                "30",
                f"case when n > 0 then 300 end as latency_ms, {_at('n * 3600 + 7')} as occurred_at",
                "request_id = 'r1'",
                "request_id",
            ),
        ),
        (
            "somebody_asks",
            _more(
                "30",
                f"case when n > 1 then account_id end as account_id,"
                f" {_at('n * 3600 + 7')} as occurred_at",
                "request_id = 'r1'",
                "request_id",
            ),
        ),
        (
            "latency_ms_of_its_kind",
            _more(
                "30",
                f"case when n < 2 then 300000000 else 300 end as latency_ms,"
                f" {_at('n * 3600 + 7')} as occurred_at",
                "request_id = 'r1'",
                "request_id",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.operations__spend",
        (
            "campaigns_known",
            _more("2", "'theme ' || n as target_id", "spend_id = 'sp1'", "spend_id"),
        ),
        (
            "not_booked_twice",
            _more("1", "700 as amount_minor", "spend_id = 'sp1'", "spend_id")
            + "; "
            + _more("1", "700 as amount_minor", "spend_id = 'sp1'", "spend_id").replace(
                "'z' || n", "'y' || n"
            )
            + "; "
            + _more("1", "spent_on as spent_on", "spend_id = 'sp2'", "spend_id").replace(
                "'z' || n", "'x' || n"
            ),
        ),
        (
            "amount_minor_of_its_kind",
            _more("30", "500 + n as amount_minor", "spend_id = 'sp1'", "spend_id")
            + "; update {t} set amount_minor = 1e5 * amount_minor where spend_id in ('z3', 'z4')",
        ),
    ),
    *of(
        "raw",
        "raw.commerce__orders",
        (
            "amounts_not_zero",
            _more(
                "40",
                f"{_at('n * 3601 + 7')} as paid_at, 100 + n as amount_minor",
                "order_id = 'o1'",
                "order_id",
            )
            + "; "
            + _more(
                "3",
                f"{_at('n * 3601 + 7', '2026-03-01')} as paid_at, 0 as amount_minor",
                "order_id = 'o1'",
                "order_id",
            ).replace("'z' || n", "'y' || n"),
            "amount_minor_as_usual",
        ),
    ),
    *of(
        "raw",
        "raw.commerce__subscriptions",
        (
            "periods_of_a_plan",
            _more(
                "9",
                "date '2026-02-01' as period_start,"
                " case when n = 0 then date '2026-03-02' else date '2026-03-03' end"
                " as period_end, 'monthly' as plan_id",
                "event_id = 'su1'",
            ),
        ),
    ),
    *of(
        "raw",
        "raw.commerce__share_policies",
        ("not_in_percent", "update {t} set share_bps = 70 where policy_id = 'po1'"),
        ("nodes_named", "update {t} set scope_id = null where scope = 'node'"),
    ),
    *of(
        "raw",
        "raw.commerce__fx_rates",
        (
            "rates_move",
            _more(
                "8",
                "cast(date '2026-01-06' + cast(n as integer) as date) as rate_date",
                "rate_id = 'fx5'",
                "rate_id",
            )
            + "; "
            + _more(
                "8",
                "cast(date '2026-01-06' + cast(n as integer) as date) as rate_date,"
                " 'EUR' as currency",
                "rate_id = 'fx5'",
                "rate_id",
            ).replace("'z' || n", "'y' || n"),
        ),
        (
            "rates_to_the_end",
            _more(
                "30",
                "cast(date '2025-11-01' + cast(n as integer) as date) as rate_date,"
                " cast(7 + n / 100.0 as varchar) as rate",
                "rate_id = 'fx5'",
                "rate_id",
            )
            + "; delete from {t} where rate_id not like 'z%'",
        ),
    ),
]
STAGING = [
    *of(
        "staging",
        "staging.stg_community__accounts_history",
        (
            "states_adjoin",
            "update {t} set valid_to = valid_to + interval 1 hour where valid_to is not null",
        ),
        ("columns_conserved", "update {t} set region = 'CN-XX' where account_id = 'a1'"),
        (
            "tokens_of_values",
            "update {t} set union_id_token = sha256('planted-union') where account_id = 'a2'",
        ),
    ),
    *of(
        "staging",
        "staging.stg_community__accounts",
        ("open_states_conserved", "update {t} set gender = 'm' where account_id = 'a1'"),
    ),
]
SENSE = [*RAW, *STAGING]
