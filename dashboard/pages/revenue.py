"""Money: what is left, what moves it, who earns it."""

from dashboard.model import Figure, Page, Tile, Words


def _last_28(column: str) -> str:
    return f"""
        with days as (
            select date, sum({column}) as amount
            from revenue.daily
            where date > getvariable('as_of') - 56
            group by date
        )
        select
            sum(amount) filter (where date > getvariable('as_of') - 28) as value,
            case
                when (select min(date) from revenue.daily) <= getvariable('as_of') - 55
                    then sum(amount) filter (where date <= getvariable('as_of') - 28)
            end as previous,
            max(getvariable('as_of')) as at,
            list(amount order by date) filter (where date > getvariable('as_of') - 28) as trend
        from days
    """


BEFORE = Words("the 28 dates before", "此前 28 天")

PAGE = Page(
    id="revenue",
    title=Words("Revenue", "收入"),
    lead=Words(
        "What is left after refunds, which groups earn, what moved MRR, what is a cohort worth, "
        "who is paid, which touch sold?",
        "扣除退款后还剩多少、哪些群在赚钱、MRR 因何变动、一批用户值多少、谁分到钱、哪次触达促成？",
    ),
    tiles=(
        Tile(
            id="net_28d",
            title=Words("Net revenue, 28 dates", "28 天净收入"),
            sql=_last_28("net_order_minor"),
            format="money",
            metrics=("net_order",),
            marts=("revenue.daily",),
            per=Words("by order date, after refunds", "按下单日，扣除退款"),
            than=BEFORE,
            up_is_good=True,
        ),
        Tile(
            id="gmv_28d",
            title=Words("GMV, 28 dates", "28 天成交总额"),
            sql=_last_28("gmv_minor"),
            format="money",
            metrics=("gmv",),
            marts=("revenue.daily",),
            per=Words("paid orders, before refunds", "已付订单，未扣退款"),
            than=BEFORE,
            up_is_good=True,
        ),
        Tile(
            id="refunds_28d",
            title=Words("Refunds, 28 dates", "28 天退款"),
            sql=_last_28("refunds_cash_minor"),
            format="money",
            metrics=("refunds_cash",),
            marts=("revenue.daily",),
            per=Words("by refund date", "按退款日"),
            than=BEFORE,
            up_is_good=False,
        ),
        Tile(
            id="mrr",
            title=Words("MRR", "月经常性收入"),
            sql="""
                with months as (
                    select
                        month,
                        sum(opening_minor) as opening,
                        sum(closing_minor) as closing
                    from revenue.mrr_movements
                    where plan_id = '*'
                    group by month
                )
                select
                    arg_max(closing, month) as value,
                    arg_max(opening, month) as previous,
                    last_day(max(month)) as at
                from months
            """,
            format="money",
            metrics=("mrr",),
            marts=("revenue.mrr_movements",),
            per=Words("monthly rate in force on the last day", "月末生效的月费率"),
            than=Words("the month before", "上月"),
            up_is_good=True,
        ),
    ),
    figures=(
        Figure(
            id="net",
            title=Words("Net revenue", "净收入"),
            sql="""
                with days as (
                    select
                        date,
                        core,
                        sum(orders) as orders,
                        sum(gmv_minor) as gmv_minor,
                        sum(refunds_order_minor) as refunds_order_minor,
                        sum(net_order_minor) as net_order_minor,
                        sum(net_cash_minor) as net_cash_minor
                    from revenue.daily
                    where date > getvariable('as_of') - 400
                    group by date, core
                )

                select
                    date,
                    core,
                    cast(orders as bigint) as orders,
                    cast(gmv_minor as bigint) as gmv_minor,
                    cast(refunds_order_minor as bigint) as refunds_order_minor,
                    cast(net_order_minor as bigint) as net_order_minor,
                    cast(net_cash_minor as bigint) as net_cash_minor
                from days
                order by date, core
            """,
            chart={
                "kind": "bar",
                "x": "date",
                "y": ["net_order_minor"],
                "by": "core",
                "stack": True,
            },
            metrics=("net_order", "net_cash", "gmv", "refunds_order", "orders"),
            marts=("revenue.daily",),
            per=Words("money by order date, after refunds", "按下单日，扣除退款"),
            note=Words(
                "Later refunds still lower recent dates.", "近期日期仍可能因后续退款而降低。"
            ),
            logs=("commerce/orders",),
            wide=True,
        ),
        Figure(
            id="mrr_bridge",
            title=Words("MRR bridge", "MRR 桥"),
            sql="""
                select
                    month,
                    coalesce(source, '*') as source,
                    cast(sum(opening_minor) as bigint) as opening_minor,
                    cast(sum(new_minor) as bigint) as new_minor,
                    cast(sum(expansion_minor) as bigint) as expansion_minor,
                    cast(sum(reactivation_minor) as bigint) as reactivation_minor,
                    cast(sum(contraction_minor) as bigint) as contraction_minor,
                    cast(sum(churn_minor) as bigint) as churn_minor,
                    cast(sum(closing_minor) as bigint) as closing_minor
                from revenue.mrr_movements
                where plan_id = '*'
                group by grouping sets ((month, source), (month))
                order by month desc, source nulls first
            """,
            chart={
                "kind": "bridge",
                "steps": [
                    "opening_minor",
                    "new_minor",
                    "expansion_minor",
                    "reactivation_minor",
                    "contraction_minor",
                    "churn_minor",
                    "closing_minor",
                ],
            },
            facets=("month", "source"),
            metrics=(
                "mrr",
                "mrr_new",
                "mrr_expansion",
                "mrr_contraction",
                "mrr_churn",
                "mrr_reactivation",
            ),
            marts=("revenue.mrr_movements",),
            per=Words(
                "opening + movements = closing; whole months only",
                "期初 + 变动 = 期末；仅整月",
            ),
            logs=("commerce/subscriptions",),
        ),
        Figure(
            id="ltv",
            title=Words("LTV curves", "LTV 曲线"),
            sql="""
                with sums as (
                    select
                        cohort_month,
                        core_mix,
                        day_n,
                        sum(net_revenue_minor) as net_revenue_minor,
                        sum(eligible) as eligible,
                        sum(persons) as persons,
                        sum(payers) as payers
                    from revenue.ltv
                    group by all
                )

                select
                    cohort_month,
                    core_mix,
                    day_n,
                    net_revenue_minor / nullif(eligible, 0) as ltv_minor,
                    cast(net_revenue_minor as bigint) as net_revenue_minor,
                    cast(eligible as bigint) as eligible,
                    cast(payers as bigint) as payers,
                    eligible = persons as is_complete
                from sums
                order by cohort_month, core_mix, day_n
            """,
            chart={
                "kind": "line",
                "x": "day_n",
                "y": ["ltv_minor"],
                "by": "core_mix",
                "dots": True,
            },
            facets=("cohort_month",),
            metrics=("ltv", "ltv_payers"),
            marts=("revenue.ltv",),
            per=Words(
                "net revenue ÷ persons observed for that long; — is not observable yet",
                "净收入 ÷ 已满该天数的人；— 为尚不可观测",
            ),
            logs=("commerce/orders",),
        ),
        Figure(
            id="arpu",
            title=Words("Group ARPU", "社群 ARPU"),
            sql="""
                select
                    month,
                    source,
                    sum(net_revenue_minor) / nullif(sum(member_days / nullif(days, 0)), 0)
                        as arpu_minor,
                    cast(sum(net_revenue_minor) as bigint) as net_revenue_minor,
                    cast(round(sum(member_days / nullif(days, 0))) as bigint) as mean_members,
                    last_day(month) <= getvariable('as_of') as is_complete
                from revenue.group_arpu_monthly
                where group_id <> '(none)' and member_days is not null
                group by month, source
                order by month, source
            """,
            chart={"kind": "bar", "x": "month", "y": ["arpu_minor"], "by": "source"},
            metrics=("group_arpu", "group_net_revenue"),
            marts=("revenue.group_arpu_monthly",),
            per=Words(
                "net revenue of groups ÷ their mean members of the month",
                "社群净收入 ÷ 当月平均成员",
            ),
            logs=("commerce/orders", "group/memberships"),
        ),
        Figure(
            id="arpu_groups",
            title=Words("Which groups earn", "哪些群在赚钱"),
            sql="""
                select
                    arpu.month,
                    coalesce(groups.name, arpu.group_id) as group_name,
                    arpu.source,
                    arpu.net_revenue_minor,
                    arpu.payers,
                    arpu.member_days / nullif(arpu.days, 0) as mean_members,
                    arpu.net_revenue_minor / nullif(arpu.member_days / nullif(arpu.days, 0), 0)
                        as arpu_minor,
                    last_day(arpu.month) <= getvariable('as_of') as is_complete
                from revenue.group_arpu_monthly as arpu
                left join dim.groups
                    on arpu.source = groups.source and arpu.group_id = groups.group_id
                where arpu.month > getvariable('as_of') - 92
                qualify row_number() over (
                    partition by arpu.month
                    order by arpu.net_revenue_minor desc, arpu.source, arpu.group_id
                ) <= 200
                order by
                    arpu.month desc, arpu.net_revenue_minor desc, arpu.source, arpu.group_id
            """,
            chart={"kind": "list", "search": ["group_name", "source"]},
            facets=("month",),
            metrics=("group_net_revenue", "group_arpu", "group_payers"),
            marts=("revenue.group_arpu_monthly", "dim.groups"),
            per=Words(
                "÷ mean members; the 200 groups of a month that earn most",
                "÷ 平均成员；每月收入最高的 200 个群",
            ),
            note=Words("(none) is revenue that no group earned.", "(none) 为不归属任何群的收入。"),
            logs=("commerce/orders", "group/memberships"),
        ),
        Figure(
            id="attribution",
            title=Words("Attribution by model", "各模型归因"),
            sql="""
                with kinds as (
                    select
                        model,
                        case
                            when touch = '(none)' then touch
                            else split_part(touch, '/', 1) || '/' || split_part(touch, '/', 2)
                        end as touch_kind,
                        cast(sum(credit_minor) as bigint) as credit_minor,
                        count(distinct source || '/' || order_id) as orders
                    from revenue.attribution
                    group by all
                )

                select model, touch_kind, credit_minor, orders
                from kinds
                order by
                    case model
                        when 'first' then 1 when 'last' then 2 when 'linear' then 3
                        when 'position' then 4 when 'time_decay' then 5 when 'markov' then 6
                        else 7
                    end,
                    touch_kind
            """,
            chart={
                "kind": "bar",
                "x": "model",
                "y": ["credit_minor"],
                "by": "touch_kind",
                "stack": True,
            },
            metrics=("attributed_revenue",),
            marts=("revenue.attribution",),
            per=Words("each model divides the same net revenue", "各模型分配同一净收入"),
            note=Words(
                "(none): no touch in the 30 days before the order.",
                "(none)：下单前 30 天内没有触点。",
            ),
            logs=("commerce/orders", "operations/campaign_events"),
        ),
        Figure(
            id="payouts",
            title=Words("Creator shares", "创作者分成"),
            sql="""
                with ranked as (
                    select
                        month,
                        model,
                        payout_minor,
                        row_number() over (
                            partition by month, model order by payout_minor desc, person_id
                        ) as place,
                        is_complete
                    from revenue.creator_payouts
                ),

                bands as (
                    select
                        month,
                        model,
                        case when place <= 3 then 1 when place <= 10 then 2 else 3 end as nth,
                        sum(payout_minor) as payout_minor,
                        count(*) as creators,
                        bool_and(is_complete) as is_complete
                    from ranked
                    group by all
                )

                select
                    month,
                    model,
                    case nth when 1 then 'top 3' when 2 then '4–10' else 'others' end as place,
                    cast(payout_minor as bigint) as payout_minor,
                    payout_minor / nullif(sum(payout_minor) over (partition by month, model), 0)
                        as share_of_pool,
                    creators,
                    is_complete
                from bands
                order by month desc, model, nth
            """,
            chart={
                "kind": "bar",
                "x": "model",
                "y": ["share_of_pool"],
                "by": "place",
                "stack": True,
            },
            facets=("month",),
            formats={"share_of_pool": "ratio"},
            metrics=("creator_payout", "creator_pool"),
            marts=("revenue.creator_payouts",),
            per=Words("÷ the month's pool", "÷ 当月分成池"),
            logs=("commerce/orders", "commerce/share_policies"),
        ),
        Figure(
            id="repurchase",
            title=Words("Repurchase", "复购"),
            sql="""
                select
                    cohort_month,
                    day_n,
                    repeat_buyers / nullif(eligible, 0) as repurchase_rate,
                    repeat_buyers,
                    eligible,
                    buyers,
                    eligible = buyers as is_complete
                from revenue.repurchase
                order by cohort_month, day_n
            """,
            chart={
                "kind": "heat",
                "x": "day_n",
                "y": "cohort_month",
                "value": "repurchase_rate",
                "den": "eligible",
            },
            metrics=("repurchase_rate",),
            marts=("revenue.repurchase",),
            per=Words(
                "repeat buyers ÷ first buyers observed for that long",
                "复购人数 ÷ 已满该天数的首购人数",
            ),
            logs=("commerce/orders",),
        ),
        Figure(
            id="calibration",
            title=Words("LTV model: predicted against observed", "LTV 模型校准"),
            sql="""
                select
                    decile,
                    predicted,
                    cast(observed as double) as observed,
                    persons,
                    holdout_days,
                    predicted_value_minor,
                    observed_value_minor,
                    model
                from revenue.ltv_calibration
                order by decile
            """,
            chart={"kind": "bar", "x": "decile", "y": ["predicted", "observed"]},
            formats={"predicted": "number", "observed": "number"},
            metrics=("ltv_calibration_orders", "ltv_calibration_value"),
            marts=("revenue.ltv_calibration",),
            per=Words(
                "orders in the hold-out window, by decile of prediction",
                "留出窗口内的订单，按预测十分位",
            ),
            logs=("commerce/orders",),
        ),
        Figure(
            id="renewals",
            title=Words("Renewals", "续费"),
            sql="""
                select
                    month,
                    cast(sum(renewed) as bigint) as renewed,
                    cast(sum(eligible) as bigint) as eligible,
                    sum(renewed) / nullif(sum(eligible), 0) as renewal_rate,
                    cast(sum(expiring) as bigint) as expiring,
                    sum(eligible) = sum(expiring) as is_complete
                from revenue.renewals
                group by month
                order by month
            """,
            chart={"kind": "bar", "x": "month", "y": ["renewal_rate"]},
            metrics=("renewal_rate",),
            marts=("revenue.renewals",),
            per=Words(
                "renewed ÷ periods whose 7 days of grace are over",
                "续费 ÷ 宽限 7 天已满的到期",
            ),
            logs=("commerce/subscriptions",),
        ),
        Figure(
            id="exceptions",
            title=Words("What was left out", "未计入的记录"),
            sql="""
                select exception, source, cast(sum(records) as bigint) as records
                from revenue.exceptions
                group by exception, source
                order by exception, source
            """,
            chart={"kind": "list"},
            metrics=("revenue_exceptions",),
            marts=("revenue.exceptions",),
            per=Words("records, a count", "记录数"),
            logs=("commerce/orders",),
        ),
    ),
)
