"""Groups: health, members, overlap, reach, service."""

from dashboard.model import Figure, Page, Tile, Words

PAGE = Page(
    id="groups",
    title=Words("Groups", "社群"),
    lead=Words(
        "Which groups need a host today? Where did members come from and go, are we talking to "
        "the same people in ten groups, how far do broadcasts reach, is 15 s kept?",
        "今天哪些群需要运营介入？成员从哪来到哪去、是否在十个群里对同一批人说话、"
        "群发触达多远、15 秒是否达标？",
    ),
    tiles=(
        Tile(
            id="groups_open",
            title=Words("Open groups", "开放群"),
            sql="""
                select
                    count(*) filter (where date = getvariable('as_of')) as value,
                    count(*) filter (where date = getvariable('as_of') - 28) as previous,
                    max(date) as at
                from engagement.group_daily
                where date in (getvariable('as_of'), getvariable('as_of') - 28)
            """,
            format="count",
            metrics=("group_members",),
            marts=("engagement.group_daily",),
            per=Words("groups with a row on the date", "当日存续的群"),
            than=Words("28 dates ago", "28 天前"),
        ),
        Tile(
            id="memberships",
            title=Words("Memberships", "在群人次"),
            sql="""
                select
                    memberships as value,
                    getvariable('as_of') as at
                from engagement.overlap_summary
            """,
            format="count",
            metrics=("persons_in_groups", "memberships_per_person"),
            marts=("engagement.overlap_summary",),
            per=Words("a person counts once a group", "每人每群计一次"),
        ),
        Tile(
            id="multi_group",
            title=Words("In several groups", "多群用户"),
            sql="""
                select
                    persons_in_2plus / nullif(persons_in_1plus, 0) as value,
                    persons_in_2plus as numerator,
                    persons_in_1plus as denominator,
                    getvariable('as_of') as at
                from engagement.overlap_summary
            """,
            format="ratio",
            metrics=("multi_group_share",),
            marts=("engagement.overlap_summary",),
            per=Words("of persons in any group", "占在群人数"),
        ),
        Tile(
            id="speaking",
            title=Words("Members who spoke in 7 dates", "七日发言成员"),
            sql="""
                select
                    sum(speakers_7d) / nullif(sum(members_close), 0) as value,
                    sum(speakers_7d) as numerator,
                    sum(members_close) as denominator,
                    max(date) as at
                from engagement.group_daily
                where date = getvariable('as_of')
            """,
            format="ratio",
            metrics=("group_speakers_7d", "group_members"),
            marts=("engagement.group_daily",),
            per=Words("of memberships", "占在群人次"),
            up_is_good=True,
        ),
    ),
    figures=(
        Figure(
            id="health",
            title=Words("Group health", "群健康榜"),
            sql="""
                with recent as (
                    select
                        source,
                        group_id,
                        sum(interactions) as interactions_28d,
                        sum(joins + inferred_joins) as joins_28d,
                        sum(leaves) as leaves_28d
                    from engagement.group_daily
                    where date > getvariable('as_of') - 28 and date <= getvariable('as_of')
                    group by source, group_id
                ),

                today as (
                    select
                        source,
                        group_id,
                        members_close,
                        speakers_7d,
                        is_silent
                    from engagement.group_daily
                    where date = getvariable('as_of')
                )

                select
                    coalesce(groups.name, today.group_id) as group_name,
                    today.source,
                    groups.kind,
                    today.members_close,
                    today.speakers_7d,
                    today.speakers_7d / nullif(today.members_close, 0) as speaking_share,
                    today.is_silent,
                    recent.interactions_28d,
                    recent.joins_28d,
                    recent.leaves_28d
                from today
                inner join recent
                    on today.source = recent.source and today.group_id = recent.group_id
                left join dim.groups
                    on today.source = groups.source and today.group_id = groups.group_id
                order by
                    today.is_silent desc, today.members_close desc, today.source, today.group_id
            """,
            chart={"kind": "list", "search": ["group_name", "source", "kind"]},
            metrics=(
                "group_members",
                "group_speakers_7d",
                "group_interactions",
                "group_joins",
                "group_leaves",
            ),
            marts=("engagement.group_daily", "dim.groups"),
            per=Words(
                "speaking share: speakers of 7 dates ÷ members; silent groups first",
                "发言占比：七日发言人数 ÷ 成员；沉默群在前",
            ),
            note=Words(
                "— under Leaves: the platform does not tell who leaves.",
                "退群为 —：该平台不提供退群记录。",
            ),
            logs=("group/groups", "group/memberships", "group/messages"),
            limit=100_000,
            deferred=True,
            wide=True,
        ),
        Figure(
            id="roll_forward",
            title=Words("Members roll-forward", "成员滚动"),
            sql="""
                with days as (
                    select
                        source,
                        group_id,
                        cast(date_trunc('month', date) as date) as month,
                        date,
                        members_open,
                        joins,
                        inferred_joins,
                        leaves,
                        members_close,
                        row_number() over (
                            partition by source, group_id, date_trunc('month', date)
                            order by date
                        ) as nth,
                        row_number() over (
                            partition by source, group_id, date_trunc('month', date)
                            order by date desc
                        ) as nth_last,
                        least(last_day(date), getvariable('as_of')) as month_end
                    from engagement.group_daily
                    where date <= getvariable('as_of')
                )

                select
                    month,
                    coalesce(source, '*') as source,
                    coalesce(sum(members_open) filter (where nth = 1), 0) as members_open,
                    sum(joins) as joins,
                    sum(inferred_joins) as inferred_joins,
                    -sum(coalesce(leaves, 0)) as leaves,
                    -coalesce(
                        sum(members_close) filter (where nth_last = 1 and date < month_end), 0
                    ) as closed_groups,
                    coalesce(
                        sum(members_close) filter (where nth_last = 1 and date = month_end), 0
                    ) as members_close,
                    last_day(month) <= getvariable('as_of') as is_complete
                from days
                group by grouping sets ((month, source), (month))
                order by month desc, days.source nulls first
            """,
            chart={
                "kind": "bridge",
                "steps": [
                    "members_open",
                    "joins",
                    "inferred_joins",
                    "leaves",
                    "closed_groups",
                    "members_close",
                ],
            },
            facets=("month", "source"),
            metrics=("group_members", "group_joins", "group_inferred_joins", "group_leaves"),
            marts=("engagement.group_daily",),
            per=Words(
                "memberships; opening + joins − leaves − closed groups = closing",
                "人次；期初 + 入群 − 退群 − 解散 = 期末",
            ),
            note=Words(
                "Groups that do not tell who leaves take none away.",
                "不提供退群记录的群不计退群。",
            ),
            logs=("group/memberships",),
        ),
        Figure(
            id="reach",
            title=Words("Reach ladder of broadcasts", "群发触达阶梯"),
            sql="""
                with observing as (
                    select funnel.*
                    from engagement.broadcast_funnel as funnel
                    inner join dim.groups
                        on
                            funnel.source = groups.source
                            and funnel.group_id = groups.group_id
                            and groups.has_record
                ),

                rungs as (
                    unpivot observing
                    on sent, delivered, read, clicked, converted, leaves_24h
                    into name rung value persons
                ),

                sums as (
                    select
                        source,
                        rung,
                        cast(sum(persons) as bigint) as persons,
                        cast(sum(targeted) as bigint) as targeted,
                        count(*) as broadcasts_observed
                    from rungs
                    group by source, rung
                ),

                every as (
                    select sources.source, names.rung, names.nth, sources.broadcasts
                    from (
                        select source, count(*) as broadcasts
                        from observing
                        group by source
                    ) as sources
                    cross join (
                        values ('sent', 1), ('delivered', 2), ('read', 3), ('clicked', 4),
                        ('converted', 5), ('leaves_24h', 6)
                    ) as names (rung, nth)
                )

                select
                    every.source,
                    every.rung,
                    sums.persons / nullif(sums.targeted, 0) as reach_rate,
                    sums.persons,
                    sums.targeted,
                    coalesce(sums.broadcasts_observed, 0) as broadcasts_observed,
                    every.broadcasts
                from every
                left join sums on every.source = sums.source and every.rung = sums.rung
                order by every.source, every.nth
            """,
            chart={"kind": "hbar", "x": "rung", "y": ["reach_rate"]},
            facets=("source",),
            metrics=(
                "send_rate",
                "delivery_rate",
                "read_rate",
                "broadcast_click_rate",
                "broadcast_conversion",
                "broadcast_leave_rate",
            ),
            marts=("engagement.broadcast_funnel", "dim.groups"),
            per=Words(
                "÷ persons targeted in the groups that observe the rung",
                "÷ 可观测该级的群中被触达的目标人数",
            ),
            note=Words(
                "A rung that a platform does not observe is —, not 0. Groups without a record are "
                "left out: what they observe is not known.",
                "平台无法观测的一级显示 —，不是 0。无档案的群不计入：不知其可观测哪些级。",
            ),
            logs=("group/broadcasts", "group/deliveries"),
        ),
        Figure(
            id="overlap_map",
            title=Words("Overlap of the largest groups", "大群重合图"),
            sql="""
                with largest as (
                    select source, group_id, members_close
                    from engagement.group_daily
                    where date = getvariable('as_of')
                    order by members_close desc, source, group_id
                    limit 12
                ),

                named as (
                    select
                        largest.source || '/' || largest.group_id as group_key,
                        coalesce(groups.name, largest.group_id) || ' · ' || largest.source
                            as group_name,
                        row_number() over (
                            order by largest.members_close desc, largest.source, largest.group_id
                        ) as place
                    from largest
                    left join dim.groups
                        on largest.source = groups.source and largest.group_id = groups.group_id
                ),

                pairs as (
                    select group_a, group_b, members_a, members_b, "both"
                    from engagement.group_overlap
                    union all
                    select group_b, group_a, members_b, members_a, "both"
                    from engagement.group_overlap
                )

                select
                    one.group_name as group_one,
                    other.group_name as group_other,
                    coalesce(
                        pairs."both" / nullif(least(pairs.members_a, pairs.members_b), 0), 0
                    ) as containment,
                    coalesce(pairs."both", 0) as "both",
                    pairs.members_a,
                    pairs.members_b
                from named as one
                cross join named as other
                left join pairs
                    on one.group_key = pairs.group_a and other.group_key = pairs.group_b
                where one.group_key <> other.group_key
                order by one.place, other.place
            """,
            chart={
                "kind": "heat",
                "x": "group_other",
                "y": "group_one",
                "value": "containment",
                "names": True,
            },
            formats={"containment": "ratio"},
            metrics=("group_containment", "group_jaccard"),
            marts=("engagement.group_overlap", "engagement.group_daily", "dim.groups"),
            per=Words(
                "members in both ÷ members of the smaller group; the 12 largest groups",
                "共同成员 ÷ 较小群成员；最大的 12 个群",
            ),
            logs=("group/memberships",),
        ),
        Figure(
            id="overlap_pairs",
            title=Words("Pairs that overlap most", "重合最高的群对"),
            sql="""
                select
                    coalesce(a.name, group_a) as group_one,
                    coalesce(b.name, group_b) as group_other,
                    "both" / nullif(least(members_a, members_b), 0) as containment,
                    "both" / nullif(members_a + members_b - "both", 0) as jaccard,
                    "both",
                    members_a,
                    members_b
                from engagement.group_overlap
                left join dim.groups as a on a.source || '/' || a.group_id = group_a
                left join dim.groups as b on b.source || '/' || b.group_id = group_b
                where least(members_a, members_b) >= 5
                order by containment desc, "both" desc, group_a, group_b
            """,
            chart={"kind": "list", "search": ["group_one", "group_other"]},
            metrics=("group_containment", "group_jaccard"),
            marts=("engagement.group_overlap", "dim.groups"),
            per=Words(
                "÷ the smaller group, and ÷ members of either; groups of 5 and more",
                "÷ 较小群，及 ÷ 任一群成员；仅 5 人及以上的群",
            ),
            logs=("group/memberships",),
            formats={"jaccard": "ratio", "containment": "ratio"},
            limit=500,
        ),
        Figure(
            id="service",
            title=Words("Service times against 15 s", "服务时长对 15 秒"),
            sql="""
                select responder, date, p50_seconds, p90_seconds, p95_seconds, answered, sessions
                from engagement.consult_service
                where date > getvariable('as_of') - 400
                order by responder, date
            """,
            chart={
                "kind": "line",
                "x": "date",
                "y": ["p50_seconds", "p90_seconds", "p95_seconds"],
                "log": True,
                "mark": 15,
            },
            facets=("responder",),
            metrics=("consult_response_time",),
            marts=("engagement.consult_service",),
            per=Words("percentiles over answered sessions of the date", "当日已答会话的分位数"),
            logs=("group/consults",),
        ),
        Figure(
            id="service_rates",
            title=Words("Service quality", "服务质量"),
            sql="""
                select
                    responder,
                    date,
                    within_15s / nullif(sessions, 0) as within_15s_rate,
                    contained / nullif(eligible_72h, 0) as contained_rate,
                    handoffs / nullif(sessions, 0) as handoff_rate,
                    csat_sum / nullif(csat_n, 0) as csat,
                    sessions,
                    eligible_72h,
                    csat_n,
                    unanswered,
                    date + 3 <= getvariable('as_of') as is_complete
                from engagement.consult_service
                where date > getvariable('as_of') - 400
                order by responder, date
            """,
            chart={
                "kind": "line",
                "x": "date",
                "y": ["within_15s_rate", "contained_rate", "handoff_rate"],
            },
            facets=("responder",),
            formats={"csat": "number"},
            metrics=("within_15s_rate", "containment_rate", "handoff_rate", "csat"),
            marts=("engagement.consult_service",),
            per=Words(
                "÷ sessions; contained ÷ sessions closed 72 h ago",
                "÷ 会话；自助解决 ÷ 已关闭满 72 小时的会话",
            ),
            note=Words("The last three dates may still change.", "最近三天仍可能变化。"),
            logs=("group/consults",),
        ),
    ),
)
