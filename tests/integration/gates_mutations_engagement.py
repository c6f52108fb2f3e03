"""Faults of the engagement marts that stand on groups, broadcasts, service and campaigns."""

from __future__ import annotations

from tests.integration.gates_mutation import of

ENGAGEMENT = [
    *of(
        "marts",
        "engagement.group_daily",
        (
            "every_group",
            "delete from {t} where group_id = 'g4'",
            "members_recomputed",
            "talk_recomputed",
        ),
        (
            "leaves_null_unobserved",
            "update {t} set leaves = 0 where group_id = 'g2'",
        ),
        (
            "talk_recomputed",
            "update {t} set messages = messages + 1, interactions = interactions + 1 where"
            " date = date '2026-01-09' and group_id = 'g2'",
        ),
        (
            "speakers_recomputed",
            "update {t} set speakers_7d = speakers_7d + 1, is_silent = false where date ="
            " date '2026-01-10' and group_id = 'g1'",
        ),
        (
            "members_recomputed",
            "update {t} set members_open = members_open + case when date > date '2025-12-20'"
            " then 1 else 0 end, joins = joins + case when date = date '2025-12-20' then 1"
            " else 0 end, members_close = members_close + 1 where group_id = 'g1'",
        ),
        (
            "volume_as_weekdays",
            "insert into {t} select dates.date, 'x', 'x', 0, 0, 0, 0, 0, 0, 200, 0, 200, 0,"
            " 0, 0, 0, false from dim.dates as dates where dates.date between date"
            " '2025-12-13' and date '2026-01-09'",
            "every_group",
            "talk_recomputed",
        ),
    ),
    *of(
        "marts",
        "engagement.group_overlap",
        (
            "key_unique",
            "insert into {t} select * from {t} where group_b = 'telegram/g5'",
            "pairs_conserved",
        ),
        (
            "both_within_members",
            "update {t} set group_a = group_b, group_b = group_a where group_b = 'telegram/g4'",
        ),
        (
            "members_as_daily",
            "update {t} set members_a = members_a + 1",
        ),
        (
            "pairs_conserved",
            "delete from {t} where group_b = 'telegram/g4'",
        ),
    ),
    *of(
        "marts",
        "engagement.overlap_summary",
        (
            "one_row",
            "delete from {t}",
            "memberships_as_daily",
        ),
        (
            "persons_nested",
            "update {t} set persons_in_1plus = memberships",
        ),
        (
            "memberships_as_daily",
            "update {t} set memberships = memberships + 1",
        ),
        (
            "persons_as_pairs",
            "update {t} set persons_in_1plus = persons_in_1plus + persons_in_2plus,"
            " persons_in_2plus = 0",
        ),
    ),
    *of(
        "marts",
        "engagement.broadcast_funnel",
        (
            "key_unique",
            "insert into {t} select * from {t} where group_id = 'g3'",
        ),
        (
            "ladder",
            "update {t} set delivered = 3, \"read\" = 2, clicked = 3 where broadcast_id = 'b2'"
            " and group_id = 'g3'",
            "rungs_recomputed",
        ),
        (
            "null_where_unobserved",
            "update {t} set \"read\" = 0, clicked = 0, converted = 0 where group_id = 'g5'",
        ),
        (
            "rungs_recomputed",
            "update {t} set targeted = targeted + 1 where broadcast_id = 'b2' and group_id = 'g3'",
        ),
        (
            "rungs_recomputed",
            "delete from {t} where group_id = 'g5'",
        ),
        (
            "converted_recomputed",
            "update {t} set converted = 0 where broadcast_id = 'b2' and group_id = 'g3'",
        ),
        (
            "leaves_recomputed",
            "update {t} set leaves_24h = leaves_24h + 1 where broadcast_id = 'b2' and"
            " group_id = 'g3'",
        ),
    ),
    *of(
        "marts",
        "engagement.consult_service",
        (
            "key_unique",
            "insert into {t} select * from {t} where date = date '2026-01-06'",
        ),
        (
            "responder_known",
            "update {t} set responder = 'bot' where date = date '2026-01-06'",
            "parts_within",
            "sessions_recomputed",
        ),
        (
            "parts_within",
            "update {t} set unanswered = unanswered + 1 where responder = 'human'",
        ),
        (
            "humans_take_handoffs",
            "update {t} set sessions = 3, handoffs = 3, unanswered = 2 where responder = 'human'",
        ),
        (
            "sessions_recomputed",
            "update {t} set csat_sum = csat_sum - 1 where date = date '2025-12-04' and"
            " responder = 'ai'",
        ),
        (
            "answers_recomputed",
            "update {t} set within_15s = within_15s + 1 where responder = 'ai' and answered > 0",
        ),
        (
            "answers_recomputed",
            "update {t} set p90_seconds = p95_seconds where responder = 'ai'",
        ),
        (
            "contained_recomputed",
            "update {t} set contained = contained + 1 where contained = 1",
        ),
    ),
    *of(
        "marts",
        "engagement.campaigns",
        (
            "key_unique",
            "insert into {t} select * from {t} where campaign_id = 'k1'",
        ),
        (
            "parts_within",
            "update {t} set valid_new_d7 = 0 where eligible_d7 = 0",
        ),
        (
            "actions_recomputed",
            "update {t} set accepted = accepted + 1 where campaign_id = 'k2'",
        ),
        (
            "sales_conserved",
            "update {t} set net_revenue_minor = net_revenue_minor - 1 where campaign_id = 'k2'",
        ),
        (
            "own_currency_spend_conserved",
            "update {t} set spend_minor = spend_minor * 2 where campaign_id = 'k2'",
        ),
        (
            "valid_new_recomputed",
            "update {t} set valid_new_d7 = 2 where campaign_id = 'k2'",
        ),
    ),
    *of(
        "marts",
        "engagement.referral_generations",
        (
            "key_unique",
            "update {t} set persons = 0 where generation = 2; insert into {t} select *"
            " replace (1 as persons) from {t} where generation = 2",
            "generations_unbroken",
        ),
        (
            "generations_unbroken",
            "update {t} set generation = 3 where generation = 2",
        ),
        (
            "persons_conserved",
            "update {t} set persons = persons + 1 where generation = 2",
        ),
        (
            "first_generations_recomputed",
            "update {t} set persons = persons + 1 where source = 'telegram' and generation = 1",
            "persons_conserved",
        ),
    ),
    *of(
        "marts",
        "engagement.checkin_streaks",
        (
            "key_unique",
            "insert into {t} select * from {t} where source = 'telegram'",
        ),
        (
            "streaks_nested",
            "update {t} set days = longest_streak - 1 where source = 'douban'",
            "days_recomputed",
        ),
        (
            "persons_may_be_shown",
            "update {t} set person_id = (select min(person_id) from intermediate.int_persons"
            " where is_erased) where source = 'telegram'",
            "days_recomputed",
            "runs_recomputed",
        ),
        (
            "days_recomputed",
            "update {t} set days = days + 1 where source = 'telegram'",
        ),
        (
            "runs_recomputed",
            "update {t} set longest_streak = 3 where source = 'telegram'",
        ),
        (
            "runs_recomputed",
            "update {t} set current_streak = 0 where source = 'douban'",
        ),
    ),
    *of(
        "marts",
        "engagement.scenarios",
        (
            "key_unique",
            "insert into {t} select * from {t} where hour_band = 'night' and day_type = 'weekend'",
        ),
        (
            "hour_band_known",
            "update {t} set hour_band = 'noon' where hour_band = 'night'",
        ),
        (
            "exposure_complete",
            "delete from {t} where hour_band = 'night' and day_type = 'weekend'",
        ),
        (
            "exposure_recomputed",
            "update {t} set group_days = group_days + 1 where day_type = 'weekend' and"
            " group_kind = 'reading'",
        ),
        (
            "interactions_conserved",
            "update {t} set interactions = interactions + 1, speakers = 1 where day_type ="
            " 'weekend' and group_kind = 'reading' and hour_band = 'night'",
        ),
        (
            "bands_recomputed",
            "update {t} set hour_band = case hour_band when 'morning' then 'evening' else"
            " 'morning' end where hour_band in ('morning', 'evening')",
        ),
    ),
    *of(
        "marts",
        "engagement.assistant_daily",
        (
            "key_unique",
            "insert into {t} select * from {t} where surface = 'community'",
        ),
        (
            "surface_known",
            "update {t} set surface = 'web' where surface = 'community'",
            "latency_recomputed",
            "requests_recomputed",
        ),
        (
            "parts_within",
            "update {t} set failed = failed + 1 where surface = 'group'",
            "requests_recomputed",
        ),
        (
            "requests_recomputed",
            "update {t} set requests = requests + 1, handoffs = handoffs + 1 where surface ="
            " 'group'",
        ),
        (
            "latency_recomputed",
            "update {t} set p50_ms = p50_ms / 1000, p95_ms = p95_ms / 1000",
        ),
        (
            "failures_as_before",
            "update {t} set date = date '2026-01-10', requests = 300, answered = 0, failed ="
            " 300; insert into {t} select * replace (date '2026-01-01' as date, 300 as"
            " answered, 0 as failed) from {t}",
            "latency_recomputed",
            "parts_within",
            "requests_recomputed",
        ),
    ),
    *of(
        "marts",
        "engagement.governance_daily",
        (
            "key_unique",
            "insert into {t} select * from {t} where true",
        ),
        (
            "parts_within",
            "update {t} set dual_mode_persons = visitors + 1",
            "dual_mode_recomputed",
        ),
        (
            "votes_recomputed",
            "update {t} set votes = votes + 1",
        ),
        (
            "visits_recomputed",
            "update {t} set visit_seconds = visit_seconds * 1000",
        ),
        (
            "dual_mode_recomputed",
            "update {t} set dual_mode_persons = visitors",
        ),
    ),
]
