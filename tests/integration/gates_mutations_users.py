"""Faults for the marts of users and contents; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

USERS = [
    *of(
        "marts",
        "users.lifecycle_weekly",
        ("key_unique", twice("core = 'all' and week_start = date '2025-12-29'")),
        (
            "core_known",
            "update {t} set core = 'both' where core = 'group' and active = 0"
            " and week_start = date '2025-12-22'",
            "every_week",
        ),
        (
            "not_negative",
            "update {t} set dormant = -1 where week_start = date '2025-11-24'",
        ),
        (
            "active_adds_up",
            "update {t} set resurrected = resurrected + 1 where week_start = date '2025-12-29'",
        ),
        (
            "last_week_adds_up",
            "update {t} set dormant = dormant + 1 where week_start = date '2025-12-22'",
        ),
        (
            "every_week",
            "delete from {t} where week_start = date '2025-12-22' and core = 'group'",
        ),
        (
            "active_recomputed",
            "update {t} set resurrected = resurrected + 1, active = active + 1"
            " where week_start = date '2025-12-29' and core = 'all'",
        ),
        (
            "new_recomputed",
            "update {t} set new_persons = new_persons + 1, resurrected = resurrected - 1"
            " where week_start = date '2025-12-29' and core = 'all'",
        ),
    ),
    *of(
        "marts",
        "users.retention",
        ("key_unique", twice("core = 'all' and day_n = 28")),
        (
            "core_known",
            "update {t} set core = 'both' where core = 'group'",
            "cohorts_recomputed",
            "retained_recomputed",
        ),
        (
            "mode_known",
            "update {t} set mode = 'after' where mode = 'on' and cohort_date >= '2026-01-04'",
            "cohorts_recomputed",
            "retained_recomputed",
        ),
        (
            "day_n_known",
            "update {t} set day_n = 29 where day_n = 28 and cohort_date >= '2026-01-04'",
            "cohorts_recomputed",
        ),
        (
            "eligible_as_defined",
            "update {t} set eligible = eligible + 1 where day_n = 1 and core = 'all'",
        ),
        (
            "null_before_eligible",
            "update {t} set retained = 0 where eligible = 0",
        ),
        (
            "retained_within_eligible",
            "update {t} set retained = -1"
            " where mode = 'on' and day_n = 28 and cohort_date = date '2025-11-28'",
        ),
        (
            "on_within_on_or_after",
            "update {t} set retained = 1"
            " where mode = 'on' and day_n = 28 and cohort_date = date '2025-11-28'",
            "retained_recomputed",
        ),
        (
            "later_is_fewer",
            "update {t} set retained = 1"
            " where mode = 'on_or_after' and day_n = 28 and cohort_date = date '2025-11-28'",
            "retained_recomputed",
        ),
        ("cohorts_recomputed", "delete from {t} where cohort_date = date '2025-11-28'"),
        (
            "retained_recomputed",
            "update {t} set retained = retained - 1"
            " where mode = 'on' and day_n = 1 and cohort_date = date '2025-12-14'",
        ),
    ),
    *of(
        "marts",
        "users.tier_daily",
        ("key_unique", twice("tier = 'core' and date = date '2025-12-02'"), "every_date"),
        (
            "tier_known",
            "update {t} set tier = 'heavy' where tier = 'core'",
        ),
        (
            "not_negative",
            "update {t} set persons = -1 where tier = 'core' and date = date '2025-12-02';"
            " update {t} set persons = persons + 1"
            " where tier = 'lurker' and date = date '2025-12-02'",
        ),
        ("every_date", "delete from {t} where date = date '2025-12-02'"),
        (
            "sums_to_persons",
            "update {t} set persons = persons + 1"
            " where tier = 'lurker' and date = date '2025-12-02'",
        ),
        (
            "month_start_recomputed",
            "update {t} set persons = 7 - persons"
            " where tier in ('active', 'dormant') and date = date '2026-01-01'",
        ),
    ),
    *of(
        "marts",
        "users.tier_history",
        (
            "key_unique",
            twice("tier = 'lurker' and valid_from = date '2026-01-05'"),
            "spans_meet",
            "spans_change",
            "agrees_with_daily",
        ),
        (
            "tier_known",
            "update {t} set tier = 'heavy' where valid_to = date '2026-01-05'",
        ),
        (
            "spans_meet",
            "update {t} set valid_to = date '2026-01-02' where valid_to = date '2026-01-01'",
        ),
        (
            "spans_change",
            "update {t} set tier = 'active' where valid_to = date '2026-01-05'",
        ),
        (
            "downgrades_on_month_start",
            "update {t} set valid_from = date '2026-01-02' where valid_from = date '2026-01-01';"
            " update {t} set valid_to = date '2026-01-02' where valid_to = date '2026-01-01'",
        ),
        (
            "persons_conserved",
            "insert into {t} select days.person_id, 'lurker', min(days.activity_date),"
            " date '2026-01-10' from intermediate.int_person_days as days,"
            " intermediate.int_persons as persons where persons.person_id = days.person_id"
            " and persons.is_erased group by days.person_id;"
            " insert into {t} select person_id, 'active', date '2026-01-10', null"
            " from {t} where valid_to = date '2026-01-10' and tier = 'lurker' and person_id in"
            " (select person_id from intermediate.int_persons where is_erased)",
        ),
        (
            "agrees_with_daily",
            "update {t} set tier = 'core' where tier = 'active' and valid_to is null",
        ),
    ),
    *of(
        "marts",
        "users.tier_transitions",
        (
            "key_unique",
            "update {t} set persons = persons - 1 where from_tier = 'active';"
            " insert into {t} select * replace (1 as persons) from {t}"
            " where from_tier = 'active'",
        ),
        (
            "tiers_known",
            "update {t} set to_tier = 'heavy' where month = date '2026-01-01'"
            " and to_tier = 'lurker'",
            "ends_as_daily",
        ),
        (
            "persons_positive",
            "insert into {t} select * replace (0 as persons, 'dormant' as from_tier) from {t}"
            " where month = date '2026-01-01' and from_tier = 'lurker'",
            "starts_where_it_ended",
        ),
        (
            "months_start_first",
            "update {t} set month = date '2025-11-30' where month = date '2025-11-01'",
            "ends_as_daily",
            "starts_where_it_ended",
        ),
        ("complete_as_defined", "update {t} set is_complete = true"),
        (
            "sums_to_persons",
            "update {t} set persons = persons + 1"
            " where month = date '2026-01-01' and to_tier = 'lurker';"
            " update users.tier_daily set persons = persons + 1"
            " where date = date '2026-01-10' and tier = 'lurker'",
        ),
        (
            "ends_as_daily",
            "update {t} set to_tier = 'core'"
            " where month = date '2026-01-01' and to_tier = 'dormant'",
        ),
        (
            "starts_where_it_ended",
            "update {t} set from_tier = 'core'"
            " where month = date '2026-01-01' and to_tier = 'dormant'",
        ),
    ),
    *of(
        "marts",
        "users.rfm",
        ("key_unique", twice("monetary_minor = 700")),
        ("segment_as_flags", "update {t} set segment = '010'"),
        (
            "flags_as_thresholds",
            "update {t} set f_high = true, segment = '110' where segment = '100'",
        ),
        (
            "recency_in_window",
            "update {t} set recency_days = 365, r_high = false, segment = '000' where not f_high",
            "orders_recomputed",
        ),
        ("orders_recomputed", "update {t} set frequency = 0 where not f_high"),
        ("money_recomputed", "update {t} set monetary_minor = 1000 where monetary_minor = 700"),
    ),
    *of(
        "marts",
        "users.cross_core",
        ("key_unique", twice("month = date '2025-12-01'")),
        ("not_negative", "update {t} set converted = -1 where converted = 0"),
        (
            "every_month",
            "insert into {t} select * replace (date '2026-02-01' as month,"
            ' 0 as community_only, 0 as group_only, 0 as "both", 0 as converted,'
            " 0 as eligible) from {t} limit 1",
        ),
        (
            "eligible_within_community",
            'update {t} set eligible = community_only + "both" + 1'
            " where month = date '2025-11-01'",
            "eligible_recomputed",
        ),
        (
            "split_recomputed",
            "update {t} set group_only = group_only + 1 where month = date '2026-01-01'",
        ),
        (
            "eligible_recomputed",
            "update {t} set eligible = eligible + 1 where month = date '2026-01-01'",
        ),
        (
            "converted_recomputed",
            "update {t} set converted = converted + 1 where month = date '2026-01-01'",
        ),
    ),
]

CONTENT = [
    *of(
        "marts",
        "content.supply_mix",
        ("key_unique", twice("node_id = '*' and origin = 'unknown'")),
        (
            "origin_known",
            "update {t} set origin = 'human' where origin = 'unknown' and source = 'zhihu'",
            "published_recomputed",
        ),
        (
            "weeks_start_monday",
            "update {t} set week_start = week_start + 1 where week_start = date '2026-01-05'",
            "published_recomputed",
        ),
        (
            "parts_within",
            "update {t} set authors = published + 1",
            "published_recomputed",
        ),
        ("null_before_eligible", "update {t} set reads_7d = 0 where eligible_7d = 0"),
        (
            "totals_are_sums",
            "update {t} set reads_7d = reads_7d + 1 where node_id = 'n2'",
        ),
        (
            "published_recomputed",
            "update {t} set authors = 1 where week_start = date '2026-01-05'",
        ),
        ("reads_recomputed", "update {t} set reads_7d = 3 where origin = 'pgc'"),
    ),
    *of(
        "marts",
        "content.response_times",
        ("key_unique", twice("node_id = '*'")),
        (
            "weeks_start_monday",
            "update {t} set week_start = week_start + 1",
            "answers_recomputed",
        ),
        (
            "parts_within",
            "update {t} set eligible_24h = 2 where answered = 1",
        ),
        (
            "quantiles_in_order",
            "update {t} set p90_seconds_km = 60 where answered = 1",
            "quantiles_recomputed",
        ),
        (
            "quantiles_where_reached",
            "update {t} set median_seconds_km = 309600 where answered = 0",
        ),
        (
            "totals_are_sums",
            "update {t} set answered_1h = 0 where node_id = '*'",
            "answers_recomputed",
        ),
        (
            "answers_recomputed",
            "update {t} set answered_1h = 0",
        ),
        (
            "quantiles_recomputed",
            "update {t} set median_seconds_km = 30, p90_seconds_km = 30 where answered = 1",
        ),
    ),
    *of(
        "marts",
        "content.creators_28d",
        ("key_unique", twice("posts_28d = 2")),
        (
            "not_negative",
            "update {t} set posts_28d = -1 where posts_28d = 2",
            "posts_recomputed",
        ),
        (
            "rows_hold_something",
            "insert into {t} select person_id, 0, 0, 0, 0, 'ordinary', 0"
            " from intermediate.int_persons where counts and not is_erased"
            " and person_id not in (select person_id from {t}) limit 1",
        ),
        ("tier_as_thresholds", "update {t} set tier = 'mid' where reads_28d = 3"),
        (
            "persons_may_be_shown",
            "insert into {t} select person_id, 0, 0, 0, 0, 'ordinary', 0"
            " from intermediate.int_persons where is_erased",
            "rows_hold_something",
        ),
        ("posts_recomputed", "update {t} set posts_28d = 1 where posts_28d = 2"),
        ("performance_recomputed", "update {t} set reads_28d = reads_28d + 1"),
        ("followers_recomputed", "update {t} set followers = followers + 1"),
        ("revenue_recomputed", "update {t} set revenue_28d_minor = 200 where followers = 1"),
    ),
    *of(
        "marts",
        "content.concentration",
        ("key_unique", twice("node_id = '*'"), "leaders_recomputed"),
        (
            "months_start_first",
            "update {t} set month = month + 1 where month = date '2026-01-01'",
            "contents_recomputed",
            "leaders_recomputed",
        ),
        (
            "parts_within",
            "update {t} set top10_share_den = contents + 1 where node_id = '*'",
        ),
        (
            "totals_are_sums",
            "update {t} set contents = contents + 1, top10_share_num = contents + 1,"
            " top10_share_den = contents + 1 where node_id = 'n2'",
            "contents_recomputed",
            "leaders_recomputed",
        ),
        (
            "contents_recomputed",
            "update {t} set creators = 1 where node_id = '*' and source = 'zhihu'"
            " and month = date '2025-12-01'",
            "gini_recomputed",
        ),
        (
            "gini_recomputed",
            "update {t} set gini = gini + 0.01 where month = date '2025-12-01'",
        ),
        (
            "leaders_recomputed",
            "update {t} set bus_factor = 2 where node_id = '*' and month = date '2025-12-01'",
        ),
    ),
]
