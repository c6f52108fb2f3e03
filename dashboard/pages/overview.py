"""Both cores at a glance."""

from dashboard.model import Figure, Page, Tile, Words

WEEK_AGO = Words("same weekday a week ago", "上周同日")
BEFORE_28 = Words("the 28 dates before", "此前 28 天")


def _dau(core: str) -> str:
    return f"""
        with days as (
            select date, dau
            from users.daily_active
            where core = '{core}' and source = '*' and is_complete
        )
        select
            max(dau) filter (where date = getvariable('as_of')) as value,
            max(dau) filter (where date = getvariable('as_of') - 7) as previous,
            max(date) as at,
            list(dau order by date) filter (where date > getvariable('as_of') - 28) as trend
        from days
    """


PAGE = Page(
    id="overview",
    title=Words("Overview", "总览"),
    lead=Words(
        "Are both cores alive against the same weekday a week ago, how many people are in both, "
        "and does money come in?",
        "两个业务核心与上周同日相比是否活跃，多少人同时在两边，收入是否在进账？",
    ),
    tiles=(
        Tile(
            id="dau_all",
            title=Words("Active on the day", "日活跃用户"),
            sql=_dau("all"),
            format="count",
            metrics=("dau",),
            marts=("users.daily_active",),
            per=Words("distinct persons, both cores", "去重人数，双核合计"),
            than=WEEK_AGO,
            up_is_good=True,
        ),
        Tile(
            id="dau_community",
            title=Words("Active in the community", "社区日活"),
            sql=_dau("community"),
            format="count",
            metrics=("dau",),
            marts=("users.daily_active",),
            per=Words("distinct persons", "去重人数"),
            than=WEEK_AGO,
            up_is_good=True,
        ),
        Tile(
            id="dau_group",
            title=Words("Active in groups", "社群日活"),
            sql=_dau("group"),
            format="count",
            metrics=("dau",),
            marts=("users.daily_active",),
            per=Words("distinct persons", "去重人数"),
            than=WEEK_AGO,
            up_is_good=True,
        ),
        Tile(
            id="stickiness",
            title=Words("Stickiness", "用户黏性"),
            sql="""
                with days as (
                    select date, dau, mau28
                    from users.daily_active
                    where core = 'all' and source = '*' and is_complete
                )
                select
                    max(dau / nullif(mau28, 0)) filter (where date = getvariable('as_of')) as value,
                    max(dau) filter (where date = getvariable('as_of')) as numerator,
                    max(mau28) filter (where date = getvariable('as_of')) as denominator,
                    max(dau / nullif(mau28, 0))
                    filter (where date = getvariable('as_of') - 7) as previous,
                    max(date) as at
                from days
            """,
            format="ratio",
            metrics=("stickiness", "dau", "mau28"),
            marts=("users.daily_active",),
            per=Words("DAU of active over 28 days", "日活 ÷ 28 日活跃"),
            than=WEEK_AGO,
            up_is_good=True,
        ),
        Tile(
            id="retention_d7",
            title=Words("Back on day 7", "七日留存"),
            sql="""
                select
                    sum(retained) / nullif(sum(eligible), 0) as value,
                    sum(retained) as numerator,
                    sum(eligible) as denominator,
                    max(cohort_date) as at
                from users.retention
                where core = 'all' and mode = 'on' and day_n = 7 and eligible > 0
                    and cohort_date > getvariable('as_of') - 35
            """,
            format="ratio",
            metrics=("retention_rate",),
            marts=("users.retention",),
            per=Words(
                "of the newcomers of the last 28 whole cohorts", "最近 28 个可观测日新增用户"
            ),
            up_is_good=True,
        ),
        Tile(
            id="net_28d",
            title=Words("Net revenue, 28 dates", "28 天净收入"),
            sql="""
                with days as (
                    select
                        date,
                        sum(net_order_minor) as net
                    from revenue.daily
                    where date > getvariable('as_of') - 56
                    group by date
                )
                select
                    sum(net) filter (where date > getvariable('as_of') - 28) as value,
                    case
                        when (select min(date) from revenue.daily) <= getvariable('as_of') - 55
                            then sum(net) filter (where date <= getvariable('as_of') - 28)
                    end as previous,
                    max(getvariable('as_of')) as at,
                    list(net order by date) filter (where date > getvariable('as_of') - 28) as trend
                from days
            """,
            format="money",
            metrics=("net_order",),
            marts=("revenue.daily",),
            per=Words("after refunds, by order date", "扣除退款，按下单日"),
            than=BEFORE_28,
            up_is_good=True,
        ),
        Tile(
            id="within_15s",
            title=Words("AI answers within 15 s", "AI 15 秒响应率"),
            sql="""
                select
                    sum(within_15s) filter (where date > getvariable('as_of') - 7)
                    / nullif(sum(sessions) filter (where date > getvariable('as_of') - 7), 0)
                        as value,
                    sum(within_15s) filter (where date > getvariable('as_of') - 7) as numerator,
                    sum(sessions) filter (where date > getvariable('as_of') - 7) as denominator,
                    sum(within_15s) filter (where date <= getvariable('as_of') - 7)
                    / nullif(sum(sessions) filter (where date <= getvariable('as_of') - 7), 0)
                        as previous,
                    max(date) as at
                from engagement.consult_service
                where responder = 'ai' and date > getvariable('as_of') - 14
            """,
            format="ratio",
            metrics=("within_15s_rate",),
            marts=("engagement.consult_service",),
            per=Words("of sessions in 7 dates; unanswered breach", "近 7 天会话；未答计为超时"),
            than=Words("the 7 dates before", "此前 7 天"),
            up_is_good=True,
        ),
        Tile(
            id="silent_groups",
            title=Words("Silent groups", "沉默群"),
            sql="""
                select
                    count(*) filter (where is_silent) / nullif(count(*), 0) as value,
                    count(*) filter (where is_silent) as numerator,
                    count(*) as denominator,
                    max(date) as at
                from engagement.group_daily
                where date = getvariable('as_of')
            """,
            format="ratio",
            metrics=("group_speakers_7d", "group_members"),
            marts=("engagement.group_daily",),
            per=Words(
                "of open groups; too few members spoke in 7 dates", "占开放群；七日发言成员过少"
            ),
            up_is_good=False,
        ),
    ),
    figures=(
        Figure(
            id="dau_cores",
            title=Words("Daily active users by core", "双核日活"),
            sql="""
                select date, core, dau, is_complete
                from users.daily_active
                where source = '*' and date > getvariable('as_of') - 400
                order by date, core
            """,
            chart={"kind": "line", "x": "date", "y": ["dau"], "by": "core"},
            metrics=("dau",),
            marts=("users.daily_active",),
            per=Words(
                "distinct persons; a person in both cores is counted once in All",
                "去重人数；同时在两核的人在合计中只计一次",
            ),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="cross_core",
            title=Words("Who is in which core", "双核用户构成"),
            sql="""
                select
                    month,
                    community_only,
                    "both",
                    group_only,
                    last_day(month) <= getvariable('as_of') as is_complete
                from users.cross_core
                order by month
            """,
            chart={
                "kind": "bar",
                "x": "month",
                "y": ["community_only", "both", "group_only"],
                "stack": True,
            },
            metrics=("community_only_mau", "both_cores_mau", "group_only_mau"),
            marts=("users.cross_core",),
            per=Words("distinct persons active in the month", "当月去重活跃人数"),
            logs=("community/events", "group/messages"),
        ),
        Figure(
            id="conversion",
            title=Words("From the community into a group", "社区引流入群"),
            sql="""
                select
                    month,
                    converted / nullif(eligible, 0) as conversion_rate,
                    converted,
                    eligible,
                    last_day(month) <= getvariable('as_of') as is_complete
                from users.cross_core
                order by month
            """,
            chart={"kind": "bar", "x": "month", "y": ["conversion_rate"]},
            metrics=("community_to_group_rate",),
            marts=("users.cross_core",),
            per=Words(
                "first joins ÷ community-active persons never in a group before",
                "首次入群人数 ÷ 此前未入群的社区活跃人数",
            ),
            logs=("community/events", "group/memberships"),
        ),
        Figure(
            id="net_daily",
            title=Words("Net revenue by core", "双核净收入"),
            sql="""
                select date, core, sum(net_order_minor) as net_order_minor, true as is_complete
                from revenue.daily
                where date > getvariable('as_of') - 400
                group by date, core
                order by date, core
            """,
            chart={
                "kind": "bar",
                "x": "date",
                "y": ["net_order_minor"],
                "by": "core",
                "stack": True,
            },
            metrics=("net_order",),
            marts=("revenue.daily",),
            per=Words("money after refunds, by order date", "扣除退款的金额，按下单日"),
            note=Words(
                "Later refunds still lower recent dates.", "近期日期仍可能因后续退款而降低。"
            ),
            logs=("commerce/orders",),
        ),
        Figure(
            id="live",
            title=Words("The last 48 hours", "最近 48 小时"),
            sql="""
                with board as (
                    select
                        *,
                        date_trunc('hour', five_minute_start) as hour_at
                    from engagement.live_board
                ),

                hours as (
                    select hour_at, not bool_or(provisional) as is_complete
                    from board
                    group by hour_at
                ),

                cores as (
                    select distinct core from board
                )

                select
                    hours.hour_at,
                    cores.core,
                    coalesce(sum(board.events), 0) as events,
                    coalesce(sum(board.messages), 0) as messages,
                    coalesce(sum(board.orders), 0) as orders,
                    hours.is_complete
                from hours
                cross join cores
                left join board
                    on hours.hour_at = board.hour_at and cores.core = board.core
                group by hours.hour_at, cores.core, hours.is_complete
                order by hours.hour_at, cores.core
            """,
            chart={"kind": "line", "x": "hour_at", "y": ["events"], "by": "core"},
            metrics=("live_events", "live_messages", "live_orders"),
            marts=("engagement.live_board",),
            per=Words("active events an hour, UTC", "每小时活跃事件数，UTC"),
            logs=("community/events", "group/messages"),
            wide=True,
        ),
    ),
)
