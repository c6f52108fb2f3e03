"""Faults for the rules that recompute a table of intermediate or a mart from the layer before."""

from __future__ import annotations

from tests.integration.gates_mutation import Mutation, of


def _inner(table: str, *faults: tuple[str, ...]) -> list[Mutation]:
    return of("intermediate", f"intermediate.{table}", *faults)


INTERMEDIATE = [
    *_inner(
        "int_orders",
        ("core_by_group", "update {t} set core = 'community' where order_id = 'o11'"),
        ("counts_as_person", "update {t} set counts = not counts where order_id = 'o11'"),
        (
            "refunds_recomputed",
            "update {t} set refunded_reporting_minor = 1 where order_id = 'o1'",
        ),
    ),
    *_inner(
        "int_refunds",
        ("at_the_orders_rate", "update {t} set reporting_minor = reporting_minor + 2"),
    ),
    *_inner(
        "int_conversion_rates",
        ("last_rate_used", "update {t} set rate_date = date '2026-01-01' where currency = 'USD'"),
    ),
    *_inner(
        "int_orders_allocated",
        ("last_event_decides", "update {t} set group_id = 'g9' where order_id = 'o12'"),
    ),
    *_inner(
        "int_subscription_periods",
        ("monthly_recomputed", "update {t} set monthly_minor = monthly_minor + 1"),
        ("periods_conserved", "delete from {t} where subscription_id = 'sb4'"),
    ),
    *_inner(
        "int_mrr_months",
        ("in_force_recomputed", "update {t} set mrr_minor = mrr_minor + 1 where plan_id = '*'"),
    ),
    *_inner("int_creator_reads", ("paid_reads_only", "update {t} set reads = reads + 1")),
    *_inner(
        "int_share_policies_in_force",
        (
            "newest_in_force",
            "update {t} set month = month - 1000 where scope = 'node'",
        ),
    ),
    *_inner(
        "int_pool_orders",
        ("share_of_nearest", "update {t} set share_bps = share_bps + 1"),
        ("pool_as_defined", "delete from {t} where order_id = 'o14'"),
    ),
    *_inner(
        "int_creator_payouts",
        ("pool_paid_out", "update {t} set payout_minor = payout_minor + 1"),
    ),
    *_inner(
        "int_identity_edges",
        ("last_action_decides", "delete from {t} where id_key_a like 'account:%a2'"),
    ),
    *_inner(
        "int_identity_keys",
        ("overshared_by_setting", "update {t} set is_overshared = true"),
    ),
    *_inner(
        "int_identities",
        ("erasures_kept", "update {t} set is_erased = false"),
    ),
    *_inner(
        "int_persons",
        ("of_the_oldest_account", "update {t} set region = 'CN-XX'"),
    ),
    *_inner(
        "int_groups",
        ("ends_when_closed", "update {t} set last_date = last_date - 1 where group_id = 'g2'"),
        ("observes_as_declared", "update {t} set observes_leave = true where group_id = 'g2'"),
    ),
    *_inner(
        "int_membership_changes",
        (
            "inferred_at_first_sight",
            "update {t} set changed_at = changed_at + interval 90 day"
            " where kind = 'inferred_join' and group_id = 'g1'",
        ),
    ),
    *_inner(
        "int_group_members",
        (
            "still_members",
            "insert into {t} select source, group_id, person_id"
            " from intermediate.int_membership_changes where kind = 'leave' limit 1",
        ),
    ),
    *_inner(
        "int_tier_spans",
        (
            "falls_on_the_first",
            "insert into {t} select p.person_id, ranks.r, 'lurker', ranks.d, ranks.d + 1"
            " from (select person_id from {t} limit 1) as p,"
            " (values (3, date '1999-03-03'), (1, date '1999-03-04')) as ranks (r, d)",
        ),
        (
            "first_of_month_recomputed",
            "update {t} set tier_rank = 3 where valid_from <= date '2026-01-01'"
            " and coalesce(valid_to > date '2026-01-01', true)",
            "falls_on_the_first",
        ),
    ),
    *_inner(
        "int_questions",
        (
            "first_answer_of_another",
            "update {t} set answered_at = answered_at + interval 1 hour",
        ),
    ),
    *_inner(
        "int_funnel_steps",
        (
            "within_the_window",
            "update {t} set occurred_at = occurred_at + interval 90 day where step = 2",
        ),
    ),
    *_inner(
        "int_campaign_actions",
        (
            "of_persons_that_count",
            "update {t} set person_id = (select person_id from intermediate.int_persons"
            " where not counts limit 1)",
        ),
    ),
    *_inner("int_delivery_days", ("highest_rung", "update {t} set rung = 1")),
    *_inner(
        "int_topic_needs",
        (
            "supplied_in_scope",
            "update {t} set supplied_by = null where supplied_at is not null",
        ),
    ),
    *_inner(
        "int_experiment_exposures",
        (
            "units_count",
            "update {t} set unit_id = (select person_id from intermediate.int_persons"
            " where not counts limit 1) where unit_kind = 'account'",
        ),
    ),
    *_inner(
        "int_experiment_units",
        (
            "first_variant_counts",
            "update {t} set first_exposed_at = first_exposed_at + interval 9 hour",
        ),
    ),
    *_inner(
        "int_experiment_values",
        ("revenue_recomputed", "update {t} set revenue_minor = revenue_minor + 1"),
        ("impressions_recomputed", "update {t} set impressions = impressions + 1"),
    ),
    *_inner("int_experiment_arms", ("control_is_first", "update {t} set is_control = true")),
    *_inner(
        "int_experiment_inference",
        (
            "intervals_at_95",
            "update {t} set std_error = 10, ci_low = -1, ci_high = 1, p_value = null",
        ),
        (
            "two_sided",
            "update {t} set std_error = 1, difference = 1, p_value = 0.15, p_holm = null,"
            " ci_low = -9, ci_high = 9",
        ),
        (
            "corrected_for_many",
            "update {t} set p_value = 0.5, p_holm = 0.4, std_error = null, difference = null",
        ),
    ),
    *_inner(
        "int_experiment_sample_ratios",
        ("two_arms_recomputed", "update {t} set srm_p = 0.123456"),
    ),
    *_inner(
        "int_purchase_days",
        (
            "purchases_not_undone",
            "update {t} set paid_date = paid_date - 500 where fit = 'forecast'",
        ),
    ),
    *_inner(
        "int_purchase_histories",
        ("frequency_recomputed", "update {t} set frequency = frequency + 1"),
    ),
    *_inner(
        "int_campaign_touches",
        (
            "clicks_have_campaigns",
            "update {t} set campaign_id = null where log = 'community/events'",
        ),
    ),
    *_inner(
        "int_order_touches",
        ("touches_of_thirty_days", "delete from {t} where touch_number = 1"),
    ),
    *_inner(
        "int_acquisitions",
        (
            "channel_of_the_oldest",
            "update {t} set target_id = 'other' where channel_kind = 'channel'",
        ),
    ),
    *_inner(
        "int_audience_features",
        ("days_recomputed", "update {t} set orders = orders + 1"),
    ),
    *_inner(
        "int_dates",
        ("calendar_holds", "update {t} set day_type = 'workday' where day_type = 'holiday'"),
    ),
    *_inner(
        "int_referrals",
        ("inviter_of_the_first", "update {t} set inviter_person_id = person_id"),
    ),
    *_inner("int_group_days", ("kinds_conserved", "update {t} set messages = messages + 1")),
    *_inner(
        "int_group_band_days",
        ("bands_by_local_hour", "update {t} set hour_band = 'night'"),
    ),
    *_inner(
        "int_pack_groups",
        (
            "arms_as_exposed",
            "update {t} set arm = 'holdout', exposed_at = timestamp '2026-01-04'",
        ),
    ),
    *_inner(
        "int_content_days",
        ("kinds_conserved", "update {t} set reads = reads + 1 where content_id = 'c1'"),
        (
            "credits_within_half_an_hour",
            "update {t} set clicks_credited = clicks_credited + 5 where content_id = 'c1'",
        ),
    ),
    *_inner(
        "int_content_person_days",
        ("no_more_than_accounts", "update {t} set reads = reads + 1"),
        (
            "nothing_after_deletion",
            "insert into {t} select * replace (date '2026-01-11' as activity_date, 0 as reads,"
            " 0 as impressions) from {t} where content_id = 'c2' limit 1",
        ),
    ),
    *_inner(
        "int_contents",
        ("published_date_is_local", "update {t} set published_date = published_date + 1"),
    ),
    *_inner(
        "int_node_ancestors",
        ("every_step_up", "delete from {t} where node_id = 'n3' and ancestor_id = 'n1'"),
    ),
    *_inner("int_like_events", ("unlikes_take_back", "update {t} set delta = 1")),
]

MARTS = [
    *of(
        "marts",
        "users.daily_active",
        (
            "new_once",
            "update {t} set new_persons = new_persons + 1"
            " where source = '*' and core = 'all' and dau > new_persons",
        ),
    ),
    *of(
        "marts",
        "users.node_daily_active",
        ("publishers_count", "delete from {t} where date = date '2026-01-04'"),
    ),
    *of(
        "marts",
        "content.response_times",
        (
            "eligible_recomputed",
            "update {t} set eligible_7d = eligible_7d + 1",
            "answers_recomputed",
            "parts_within",
        ),
    ),
    *of(
        "marts",
        "engagement.group_daily",
        (
            "kol_recomputed",
            "update {t} set kol_messages = messages where messages > kol_messages",
        ),
    ),
    *of(
        "marts",
        "engagement.overlap_summary",
        ("persons_recomputed", "update {t} set persons_in_2plus = persons_in_2plus - 1"),
    ),
    *of(
        "marts",
        "engagement.campaigns",
        (
            "spend_recomputed",
            "update {t} set spend_minor = spend_minor + 1",
            "own_currency_spend_conserved",
        ),
    ),
    *of(
        "marts",
        "engagement.value_loop",
        ("lag_recomputed", "update {t} set median_lag_hours = median_lag_hours / 24"),
        (
            "reads_before_recomputed",
            "update {t} set reads_before_7d = reads_before_7d + 5",
        ),
    ),
    *of(
        "marts",
        "engagement.funnels",
        ("steps_in_order", "update {t} set persons = persons + 1 where step = 3"),
    ),
    *of(
        "marts",
        "engagement.live_board",
        (
            "reaches_back_two_days",
            "delete from {t} where five_minute_start"
            " < (select max(five_minute_start) - interval 10 hour from {t})",
        ),
        (
            "open_sessions_recomputed",
            "update {t} set consults_open = consults_open + 1 where core = 'group'",
        ),
    ),
    *of(
        "marts",
        "revenue.ltv_predictions",
        (
            "as_scored",
            "update {t} set expected_value_90d_minor = coalesce(expected_value_90d_minor, 0) + 1",
            "null_where_not_fitted",
        ),
    ),
    *of(
        "marts",
        "revenue.attribution",
        (
            "weights_recomputed",
            "update {t} set credit_minor = credit_minor + 5 where model = 'time_decay'",
            "credits_conserved",
        ),
        (
            "ties_to_the_earlier",
            "update {t} set credit_minor = row_number_ from (select touch as touch_,"
            " row_number() over (order by touch) as row_number_ from {t}) as numbered_"
            " where touch = touch_ and model = 'linear'",
            "credits_conserved",
            "credits_within",
        ),
    ),
    *of(
        "marts",
        "revenue.acquisition",
        (
            "spend_recomputed",
            "update {t} set spend_minor = spend_minor + 1",
            "own_currency_spend_conserved",
        ),
    ),
    *of(
        "marts",
        "dim.persons",
        ("age_recomputed", "update {t} set age_band = 'under_18'"),
        (
            "first_dates_recomputed",
            "update {t} set group_first_date = community_first_date",
            "first_dates_agree",
        ),
    ),
    *of(
        "marts",
        "dim.nodes",
        ("levels_as_named", "update {t} set platform_id = node_id where node_id = 'n3'"),
    ),
    *of(
        "marts",
        "dim.contents",
        ("origin_and_author_kept", "update {t} set origin = 'agc' where content_id = 'c1'"),
    ),
    *of(
        "marts",
        "dim.campaigns",
        ("dates_are_local", "update {t} set start_date = start_date - 1"),
    ),
    *of("marts", "dim.scenes", ("leaders_kept", "update {t} set kol_person_id = null")),
    *of(
        "marts",
        "dim.groups",
        ("closing_kept", "update {t} set closed_at = null where group_id = 'g2'"),
    ),
    *of(
        "marts",
        "quality.reconciliation",
        ("differences_add_up", 'update {t} set "out" = "out" - 1'),
    ),
    *of(
        "marts",
        "quality.freshness",
        (
            "loads_recomputed",
            "update {t} set last_loaded_at = last_loaded_at - interval 1 second",
        ),
    ),
    *of("marts", "quality.metrics", ("catalogue_complete", "delete from {t} where id like 'r%'")),
    *of(
        "marts",
        "audience.pack_rows",
        (
            "as_released",
            "insert into {t} select * replace ('city' as column_name) from {t} limit 1",
            "cells_whole",
        ),
    ),
    *of(
        "marts",
        "audience.pack_counts",
        ("as_released", "update {t} set value = value + 1 where value > 0"),
    ),
    *of(
        "marts",
        "audience.attacks",
        ("passed_within_gate", "update {t} set value = gate + 1 where passed"),
    ),
]
LAYERS = [*INTERMEDIATE, *MARTS]
