"""Faults of the revenue marts that stand on orders, subscriptions, touches and spend."""

from __future__ import annotations

from tests.integration.gates_mutation import of

REVENUE = [
    *of(
        "marts",
        "revenue.daily",
        (
            "refunds_conserved",
            "update {t} set refunds_cash_minor = refunds_cash_minor + 1, net_cash_minor ="
            " net_cash_minor - 1 where date = date '2026-01-07'",
        ),
        (
            "orders_recomputed",
            "update {t} set date = date + 1 where date = date '2025-12-15'",
            "own_currency_recomputed",
        ),
        (
            "own_currency_recomputed",
            "update {t} set gmv_minor = gmv_minor + case when date = date '2026-01-05' then 1"
            " else -1 end, net_cash_minor = net_cash_minor + case when date = date"
            " '2026-01-05' then 1 else -1 end, net_order_minor = net_order_minor + case when"
            " date = date '2026-01-05' then 1 else -1 end where date between date '2026-01-05'"
            " and date '2026-01-06'",
        ),
        (
            "volume_as_weekdays",
            "insert into {t} select dates.date, 'group', 30, 30, 1000, 0, 0, 1000, 1000 from"
            " dim.dates as dates where dates.date between date '2025-12-13' and date"
            " '2026-01-09'",
            "money_conserved",
            "orders_recomputed",
        ),
    ),
    *of(
        "marts",
        "revenue.group_arpu_monthly",
        (
            "key_unique",
            "insert into {t} select * replace (0 as net_revenue_minor, 0 as payers, null as"
            " member_days, null as days) from {t} where group_id = 'g2'",
        ),
        (
            "money_conserved",
            "update {t} set net_revenue_minor = net_revenue_minor + 1 where group_id = 'g3'"
            " and payers > 0",
            "allocation_recomputed",
        ),
        (
            "member_days_recomputed",
            "update {t} set member_days = 0, days = 0 where group_id = '(none)'",
        ),
        (
            "member_days_recomputed",
            "update {t} set member_days = member_days + 1 where group_id = 'g2'",
        ),
        (
            "allocation_recomputed",
            "update {t} set net_revenue_minor = net_revenue_minor + case group_id when 'g3'"
            " then 1 else -1 end where group_id in ('g3', 'g4') and month = date '2025-12-01'",
        ),
    ),
    *of(
        "marts",
        "revenue.mrr_movements",
        (
            "key_unique",
            "insert into {t} select * replace (0 as new_minor, 0 as expansion_minor, 0 as"
            " closing_minor, 0 as opening_minor, 0 as churn_minor, 0 as contraction_minor, 0"
            " as reactivation_minor) from {t} where plan_id = 'gold' and month = date"
            " '2025-10-01'",
            "opens_where_it_closed",
        ),
        (
            "movements_add_up",
            "update {t} set churn_minor = churn_minor + 1 where plan_id = 'silver' and"
            " churn_minor < 0",
            "movements_recomputed",
        ),
        (
            "opens_where_it_closed",
            "delete from {t} where month = date '2025-12-01'",
            "closing_recomputed",
            "movements_recomputed",
        ),
        (
            "opens_where_it_closed",
            "update {t} set opening_minor = opening_minor + 1, churn_minor = churn_minor - 1"
            " where month = date '2025-12-01' and plan_id in ('*', 'gold')",
            "movements_recomputed",
        ),
        (
            "plans_sum_to_all",
            "update {t} set opening_minor = opening_minor + 1, closing_minor = closing_minor"
            " + 1 where plan_id = '*'",
            "closing_recomputed",
            "opens_where_it_closed",
        ),
        (
            "closing_recomputed",
            "update {t} set expansion_minor = expansion_minor + 1, closing_minor ="
            " closing_minor + 1 where month = date '2025-12-01' and plan_id in ('*', 'gold')",
            "movements_recomputed",
        ),
        (
            "movements_recomputed",
            "update {t} set new_minor = reactivation_minor, reactivation_minor = new_minor"
            " where month = date '2025-12-01' and plan_id = 'silver'",
        ),
    ),
    *of(
        "marts",
        "revenue.renewals",
        (
            "key_unique",
            "insert into {t} select * from {t} where plan_id = 'gold'",
        ),
        (
            "not_after_as_of",
            "insert into {t} select * replace (date '2026-02-01' as month) from {t} where"
            " plan_id = 'gold' and month = date '2025-11-01'",
            "renewals_recomputed",
        ),
        (
            "parts_within",
            "update {t} set renewed = 0 where eligible = 0",
            "renewals_recomputed",
        ),
        (
            "renewals_recomputed",
            "update {t} set renewed = 1 where renewed = 0",
        ),
    ),
    *of(
        "marts",
        "revenue.ltv",
        (
            "key_unique",
            "insert into {t} select * from {t} where day_n = 365 and core_mix = 'group_only'",
        ),
        (
            "day_n_known",
            "update {t} set day_n = 360 where day_n = 365",
            "cohorts_recomputed",
        ),
        (
            "parts_within",
            "update {t} set payers = 0, net_revenue_minor = 0 where eligible = 0 and core_mix"
            " = 'group_only'",
        ),
        (
            "cohorts_recomputed",
            "update {t} set eligible = eligible + 1 where day_n = 30 and core_mix ="
            " 'community_only' and cohort_month = date '2025-12-01'",
        ),
        (
            "money_recomputed",
            "update {t} set net_revenue_minor = net_revenue_minor + 100 where"
            " net_revenue_minor > 0",
        ),
    ),
    *of(
        "marts",
        "revenue.repurchase",
        (
            "key_unique",
            "insert into {t} select * from {t} where day_n = 90",
        ),
        (
            "day_n_known",
            "update {t} set day_n = 60 where day_n = 90",
            "buyers_recomputed",
        ),
        (
            "parts_within",
            "update {t} set repeat_buyers = 0 where eligible = 0",
        ),
        (
            "buyers_recomputed",
            "update {t} set buyers = buyers + 1 where day_n = 90",
        ),
        (
            "repeats_recomputed",
            "update {t} set repeat_buyers = 2 where repeat_buyers = 1",
        ),
    ),
    *of(
        "marts",
        "revenue.attribution",
        (
            "key_unique",
            "insert into {t} select * replace (0 as credit_minor) from {t} where order_id = 'o13'",
            "credits_within",
            "touches_recomputed",
        ),
        (
            "model_known",
            "update {t} set model = 'even' where model = 'linear'",
            "credits_conserved",
            "touches_recomputed",
        ),
        (
            "credits_conserved",
            "update {t} set credit_minor = credit_minor + 1 where order_id = 'o13' and model"
            " = 'shapley'",
        ),
        (
            "touches_in_every_model",
            "delete from {t} where order_id = 'o12' and model = 'position' and touch like"
            " 'comm%'; update {t} set credit_minor = 601 - 241 where order_id = 'o12' and"
            " model = 'position' and touch like 'group%'",
        ),
        (
            "credits_within",
            "update {t} set credit_minor = credit_minor + case when touch like 'comm%' then 5"
            " else -5 end where order_id = 'o12' and model = 'linear' and touch not like"
            " 'group%'",
        ),
        (
            "touches_recomputed",
            "update {t} set model = case model when 'first' then 'last' else 'first' end"
            " where order_id = 'o12' and model in ('first', 'last')",
        ),
    ),
    *of(
        "marts",
        "revenue.acquisition",
        (
            "key_unique",
            "insert into {t} select * replace (0 as spend_minor, 0 as new_members, 0 as"
            " new_payers, 0 as eligible_90d, null as net_revenue_90d_minor) from {t} where"
            " target_id = 'g1'",
        ),
        (
            "not_after_as_of",
            "insert into {t} select * replace (date '2026-02-01' as month, 0 as spend_minor,"
            " 0 as new_payers) from {t} where target_id = 'k1'",
        ),
        (
            "channel_kind_known",
            "update {t} set channel_kind = 'ad' where target_id = 'k2'",
            "own_currency_spend_conserved",
            "payers_recomputed",
        ),
        (
            "parts_within",
            "update {t} set net_revenue_90d_minor = 0 where target_id = 'g1'",
        ),
        (
            "own_currency_spend_conserved",
            "update {t} set spend_minor = spend_minor + 1 where target_id = 'k2' and"
            " spend_minor > 0",
        ),
        (
            "members_recomputed",
            "update {t} set new_members = new_members + 1 where target_id = 'g1'",
        ),
        (
            "payers_recomputed",
            "update {t} set new_payers = new_payers + 1 where target_id = 'g1'",
        ),
        (
            "money_recomputed",
            "update {t} set net_revenue_90d_minor = net_revenue_90d_minor + 1",
        ),
    ),
    *of(
        "marts",
        "revenue.creator_payouts",
        (
            "key_unique",
            "insert into {t} select * replace (0 as payout_minor) from {t} where model ="
            " 'pro_rata' limit 1",
            "pro_rata_recomputed",
        ),
        (
            "model_known",
            "update {t} set model = 'even' where model = 'pro_rata'",
            "payouts_are_the_pool",
        ),
        (
            "payouts_are_the_pool",
            "update {t} set payout_minor = payout_minor + 1 where payout_minor = (select"
            " max(payout_minor) from {t})",
            "pro_rata_recomputed",
        ),
        (
            "pool_recomputed",
            "update {t} set pool_minor = pool_minor + 1, payout_minor = payout_minor + case"
            " when payout_minor in (87, 80) then 1 else 0 end",
        ),
        (
            "complete_as_defined",
            "update {t} set is_complete = false",
        ),
        (
            "pro_rata_recomputed",
            "update {t} set payout_minor = 130 - payout_minor where model = 'pro_rata'",
        ),
        (
            "user_centric_recomputed",
            "update {t} set payout_minor = 130 - payout_minor where model = 'user_centric'",
        ),
    ),
    *of(
        "marts",
        "revenue.exceptions",
        (
            "key_unique",
            "insert into {t} select * from {t} where true",
        ),
        (
            "not_after_as_of",
            "insert into {t} select * replace (date '2026-02-01' as month,"
            " 'spend_without_rate' as exception) from {t}",
        ),
        (
            "rows_hold_something",
            "insert into {t} select * replace (0 as records, 'spend_without_rate' as"
            " exception) from {t}",
        ),
        (
            "orders_recomputed",
            "insert into {t} select * replace ('refund_before_order' as exception) from {t}",
        ),
        (
            "subscriptions_recomputed",
            "update {t} set records = records + 1",
        ),
        (
            "few_lost_amounts",
            "insert into {t} values (date '2026-01-01', 'zhihu', 'refund_of_unknown_order',"
            " 50); update revenue.daily set orders = 100 where date = date '2026-01-05'",
            "orders_recomputed",
        ),
        (
            "exception_known",
            "insert into {t} select * replace ('odd' as exception) from {t}",
        ),
    ),
]
