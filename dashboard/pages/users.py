"""Who is active, who stays, who moves."""

from dashboard.model import Figure, Page, Tile, Words

PERSONS = Words("distinct persons", "去重人数")

PAGE = Page(
    id="users",
    title=Words("Users", "用户"),
    lead=Words(
        "Do people come back, and from which week on fewer? Who moves up to core, who falls "
        "asleep, which buyers are worth a call?",
        "用户会回来吗，从哪一周开始变少？谁升为核心、谁在沉睡，哪些买家值得联系？",
    ),
    tiles=(
        Tile(
            id="mau28",
            title=Words("Active over 28 days", "28 日活跃"),
            sql="""
                select
                    max(mau28) filter (where date = getvariable('as_of')) as value,
                    case
                        when min(date) <= getvariable('as_of') - 55
                            then max(mau28) filter (where date = getvariable('as_of') - 28)
                    end as previous,
                    max(date) as at,
                    list(mau28 order by date)
                    filter (where date > getvariable('as_of') - 28) as trend
                from users.daily_active
                where core = 'all' and source = '*' and is_complete
            """,
            format="count",
            metrics=("mau28",),
            marts=("users.daily_active",),
            per=PERSONS,
            than=Words("28 dates ago", "28 天前"),
            up_is_good=True,
        ),
        Tile(
            id="new_7d",
            title=Words("New in 7 dates", "7 天新增"),
            sql="""
                select
                    sum(new_persons) filter (where date > getvariable('as_of') - 7) as value,
                    case
                        when min(date) <= getvariable('as_of') - 13
                            then sum(new_persons) filter (
                                where date between getvariable('as_of') - 13
                                and getvariable('as_of') - 7
                            )
                    end as previous,
                    max(date) as at
                from users.daily_active
                where core = 'all' and source = '*' and is_complete
            """,
            format="count",
            metrics=("new_active_persons",),
            marts=("users.daily_active",),
            per=Words("first active ever", "首次活跃"),
            than=Words("the 7 dates before", "此前 7 天"),
            up_is_good=True,
        ),
        Tile(
            id="core_tier",
            title=Words("Core users", "核心用户"),
            sql="""
                select
                    sum(persons) filter (where tier = 'core') / nullif(sum(persons), 0) as value,
                    sum(persons) filter (where tier = 'core') as numerator,
                    sum(persons) as denominator,
                    max(date) as at
                from users.tier_daily
                where date = getvariable('as_of')
            """,
            format="ratio",
            metrics=("tier_persons",),
            marts=("users.tier_daily",),
            per=Words("of everyone ever active", "占曾活跃的人"),
            up_is_good=True,
        ),
        Tile(
            id="dormant_tier",
            title=Words("Dormant", "沉睡用户"),
            sql="""
                select
                    sum(persons) filter (where tier = 'dormant') / nullif(sum(persons), 0)
                        as value,
                    sum(persons) filter (where tier = 'dormant') as numerator,
                    sum(persons) as denominator,
                    max(date) as at
                from users.tier_daily
                where date = getvariable('as_of')
            """,
            format="ratio",
            metrics=("tier_persons",),
            marts=("users.tier_daily",),
            per=Words("of everyone ever active", "占曾活跃的人"),
            up_is_good=False,
        ),
    ),
    figures=(
        Figure(
            id="actives",
            title=Words("Active users", "活跃用户"),
            sql="""
                select core, source, date, dau, wau, mau28, new_persons, is_complete
                from users.daily_active
                where date > getvariable('as_of') - 400
                order by core, source, date
            """,
            chart={"kind": "line", "x": "date", "y": ["dau", "wau", "mau28"]},
            facets=("core", "source"),
            first={"core": "all", "source": "*"},
            metrics=("dau", "wau", "mau28", "new_active_persons"),
            marts=("users.daily_active",),
            per=Words(
                "distinct persons in 1, 7 and 28 dates; days do not add up",
                "1、7、28 天去重人数；不可按日相加",
            ),
            note=Words(
                "The first dates look back on fewer than 7 and 28.",
                "最初几天的回看期不足 7 天或 28 天。",
            ),
            logs=("community/events", "group/messages"),
            limit=30_000,
            wide=True,
        ),
        Figure(
            id="lifecycle",
            title=Words("Lifecycle by week", "周生命周期"),
            sql="""
                select
                    core,
                    week_start,
                    new_persons,
                    "returning",
                    resurrected,
                    -dormant as dormant
                from users.lifecycle_weekly
                order by core, week_start
            """,
            chart={
                "kind": "bar",
                "x": "week_start",
                "y": ["returning", "new_persons", "resurrected", "dormant"],
                "stack": True,
            },
            facets=("core",),
            first={"core": "all"},
            metrics=("weekly_new", "weekly_returning", "weekly_resurrected", "weekly_dormant"),
            marts=("users.lifecycle_weekly",),
            per=Words(
                "distinct persons in whole weeks; the dormant are drawn below zero",
                "整周去重人数；流失画在零线以下",
            ),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="stickiness",
            title=Words("Stickiness", "用户黏性"),
            sql="""
                with days as (
                    select
                        date,
                        core,
                        dau / nullif(mau28, 0) as stickiness,
                        dau,
                        mau28,
                        is_complete and date >= min(date) over (partition by core) + 27
                            as is_complete
                    from users.daily_active
                    where source = '*'
                )

                select date, core, stickiness, dau, mau28, is_complete
                from days
                where date > getvariable('as_of') - 400
                order by date, core
            """,
            chart={"kind": "line", "x": "date", "y": ["stickiness"], "by": "core"},
            metrics=("stickiness",),
            marts=("users.daily_active",),
            per=Words("DAU ÷ active over 28 days, same date", "同日日活 ÷ 28 日活跃"),
            note=Words(
                "The first 28 dates look back on fewer dates.", "最初 28 天的回看期不足 28 天。"
            ),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="retention",
            title=Words("Retention triangle", "留存三角"),
            sql="""
                with weeks as (
                    select
                        core,
                        mode,
                        cast(date_trunc('week', cohort_date) as date) as week_start,
                        day_n,
                        cast(sum(retained) as bigint) as retained,
                        cast(sum(eligible) as bigint) as eligible,
                        cast(sum(cohort_size) as bigint) as cohort_size
                    from users.retention
                    where cohort_date > getvariable('as_of') - 182
                    group by all
                )

                select
                    core,
                    mode,
                    week_start,
                    day_n,
                    retained / nullif(eligible, 0) as retention_rate,
                    retained,
                    eligible,
                    cohort_size,
                    eligible = cohort_size and week_start + 6 <= getvariable('as_of')
                        as is_complete
                from weeks
                order by core, mode, week_start desc, day_n
            """,
            chart={
                "kind": "heat",
                "x": "day_n",
                "y": "week_start",
                "value": "retention_rate",
                "den": "eligible",
            },
            facets=("core", "mode"),
            first={"core": "all", "mode": "on"},
            metrics=("retention_rate",),
            marts=("users.retention",),
            per=Words(
                "retained ÷ eligible persons of the week's cohorts; — is not observable yet",
                "留存人数 ÷ 当周可观测新增；— 为尚不可观测",
            ),
            note=Words(
                "Hatched: some of the week's cohorts are not old enough yet.",
                "斜线：当周部分新增尚未满观测期。",
            ),
            logs=("community/events", "group/messages"),
            limit=6_000,
        ),
        Figure(
            id="tiers",
            title=Words("Persons by tier", "用户分层"),
            sql="""
                select date, tier, persons
                from users.tier_daily
                where date > getvariable('as_of') - 400
                order by
                    date,
                    case tier
                        when 'core' then 1 when 'active' then 2 when 'lurker' then 3 else 4
                    end
            """,
            chart={
                "kind": "line",
                "x": "date",
                "y": ["persons"],
                "by": "tier",
                "stack": True,
                "area": True,
            },
            metrics=("tier_persons",),
            marts=("users.tier_daily",),
            per=Words("everyone ever active, each in one tier", "曾活跃的人，各属一层"),
            note=Words("Tiers fall on the first of a month only.", "降级只在每月一日生效。"),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="tier_flow",
            title=Words("Tier flow", "层级流转"),
            sql="""
                select
                    month,
                    coalesce(from_tier, '(new)') as from_tier,
                    to_tier,
                    persons,
                    is_complete
                from users.tier_transitions
                order by month desc, persons desc, from_tier, to_tier
            """,
            chart={"kind": "sankey", "from": "from_tier", "to": "to_tier", "value": "persons"},
            facets=("month",),
            metrics=("tier_moves",),
            marts=("users.tier_transitions",),
            per=Words(
                "persons, from the end of the month before to the end of this one",
                "人数，自上月末至本月末",
            ),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="rfm",
            title=Words("RFM segments", "RFM 分群"),
            sql="""
                select
                    segment,
                    count(*) as persons,
                    sum(monetary_minor) as monetary_minor,
                    count(*) / nullif(sum(count(*)) over (), 0) as share_of_buyers
                from users.rfm
                group by segment
                order by segment desc
            """,
            chart={"kind": "hbar", "x": "segment", "y": ["persons"]},
            metrics=("rfm_recency", "rfm_frequency", "rfm_monetary"),
            marts=("users.rfm",),
            per=Words("persons with an order in the last 365 dates", "近 365 天有订单的人数"),
            logs=("commerce/orders",),
        ),
    ),
)
