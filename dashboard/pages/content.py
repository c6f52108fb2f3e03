"""What is written, what is read, who answers."""

from dashboard.model import Figure, Page, Tile, Words

PAGE = Page(
    id="content",
    title=Words("Content", "内容"),
    lead=Words(
        "Is enough written, by whom, and is it read? Are questions answered, and how fast? Does "
        "the community hang on a few creators?",
        "内容够不够、谁在写、有没有人读？提问有没有人答、多快？社区是否依赖少数创作者？",
    ),
    tiles=(
        Tile(
            id="reads_7d",
            title=Words("Reads in 7 dates", "7 天阅读"),
            sql="""
                select
                    sum(reads) filter (where date > getvariable('as_of') - 7) as value,
                    case
                        when
                            (select min(date) from content.daily_performance)
                            <= getvariable('as_of') - 13
                            then sum(reads) filter (where date <= getvariable('as_of') - 7)
                    end as previous,
                    max(date) as at
                from content.daily_performance
                where date > getvariable('as_of') - 14 and date <= getvariable('as_of')
            """,
            format="count",
            metrics=("reads",),
            marts=("content.daily_performance",),
            per=Words("events, not persons", "次数，非人数"),
            than=Words("the 7 dates before", "此前 7 天"),
            up_is_good=True,
        ),
        Tile(
            id="ctr_7d",
            title=Words("Click-through, 7 dates", "7 天点击率"),
            sql="""
                select
                    sum(clicks_credited) / nullif(sum(impressions), 0) as value,
                    sum(clicks_credited) as numerator,
                    sum(impressions) as denominator,
                    max(date) as at
                from content.daily_performance
                where date > getvariable('as_of') - 7 and date <= getvariable('as_of')
            """,
            format="ratio",
            metrics=("ctr",),
            marts=("content.daily_performance",),
            per=Words("credited clicks of impressions", "归因点击 ÷ 曝光"),
            up_is_good=True,
        ),
        Tile(
            id="answered_24h",
            title=Words("Answered within a day", "一日回答率"),
            sql="""
                select
                    sum(answered_24h) / nullif(sum(eligible_24h), 0) as value,
                    sum(answered_24h) as numerator,
                    sum(eligible_24h) as denominator,
                    max(getvariable('as_of')) as at
                from content.response_times
                where node_id = '*' and week_start > getvariable('as_of') - 35
            """,
            format="ratio",
            metrics=("answer_rate_24h",),
            marts=("content.response_times",),
            per=Words("of questions a day old or older, 5 weeks", "近 5 周已满一日的提问"),
            up_is_good=True,
        ),
    ),
    figures=(
        Figure(
            id="supply",
            title=Words("Supply: contents published", "供给：发布内容"),
            sql="""
                select
                    source,
                    week_start,
                    origin,
                    published,
                    authors,
                    week_start + 6 <= getvariable('as_of') as is_complete
                from content.supply_mix
                where node_id = '*' and week_start > getvariable('as_of') - 400
                order by source, week_start, origin
            """,
            chart={
                "kind": "bar",
                "x": "week_start",
                "y": ["published"],
                "by": "origin",
                "stack": True,
            },
            facets=("source",),
            metrics=("supply", "authors"),
            marts=("content.supply_mix",),
            per=Words("contents a week, by origin", "每周发布数，按来源类型"),
            logs=("community/contents",),
        ),
        Figure(
            id="consumption",
            title=Words("Consumption: reads per content in its first week", "消费：篇均首周阅读"),
            sql="""
                select
                    source,
                    week_start,
                    origin,
                    reads_7d / nullif(eligible_7d, 0) as reads_per_content,
                    reads_7d,
                    eligible_7d,
                    published,
                    eligible_7d = published and week_start + 6 <= getvariable('as_of')
                        as is_complete
                from content.supply_mix
                where node_id = '*' and week_start > getvariable('as_of') - 400
                order by source, week_start, origin
            """,
            chart={"kind": "line", "x": "week_start", "y": ["reads_per_content"], "by": "origin"},
            facets=("source",),
            metrics=("reads_7d",),
            marts=("content.supply_mix",),
            per=Words("reads ÷ contents whose seven days are over", "阅读 ÷ 已满七日的内容数"),
            logs=("community/contents", "community/events"),
        ),
        Figure(
            id="funnel_daily",
            title=Words("Click-through rate", "点击率"),
            sql="""
                select
                    date,
                    source,
                    sum(clicks_credited) / nullif(sum(impressions), 0) as ctr,
                    sum(clicks_credited) as clicks_credited,
                    sum(impressions) as impressions,
                    sum(reads) as reads,
                    sum(likes) as likes,
                    sum(comments) as comments,
                    sum(shares) as shares,
                    sum(collects) as collects
                from content.daily_performance
                where date > getvariable('as_of') - 400 and date <= getvariable('as_of')
                group by date, source
                order by date, source
            """,
            chart={"kind": "line", "x": "date", "y": ["ctr"], "by": "source"},
            metrics=("ctr", "impressions", "reads"),
            marts=("content.daily_performance",),
            per=Words(
                "credited clicks ÷ impressions, by impression date", "归因点击 ÷ 曝光，按曝光日"
            ),
            logs=("community/events",),
        ),
        Figure(
            id="pyramid",
            title=Words("Creator pyramid", "创作者金字塔"),
            sql="""
                with tiers as (
                    select
                        tier,
                        count(*) as creators,
                        sum(posts_28d) as posts_28d,
                        sum(reads_28d) as reads_28d,
                        sum(engagements_28d) as engagements_28d,
                        sum(revenue_28d_minor) as revenue_28d_minor
                    from content.creators_28d
                    group by tier
                )
                select
                    tier,
                    creators / nullif(sum(creators) over (), 0) as creators_share,
                    posts_28d / nullif(sum(posts_28d) over (), 0) as posts_share,
                    reads_28d / nullif(sum(reads_28d) over (), 0) as reads_share,
                    creators,
                    posts_28d,
                    reads_28d,
                    engagements_28d,
                    revenue_28d_minor
                from tiers
                order by case tier when 'head' then 1 when 'mid' then 2 else 3 end
            """,
            chart={
                "kind": "hbar",
                "x": "tier",
                "y": ["creators_share", "posts_share", "reads_share"],
            },
            metrics=("creator_posts", "creator_reads", "creator_engagements", "creator_revenue"),
            marts=("content.creators_28d",),
            per=Words(
                "shares of all creators, posts and reads of 28 dates",
                "占 28 天全部创作者、内容、阅读的比例",
            ),
            logs=("community/contents",),
        ),
        Figure(
            id="response",
            title=Words("Response: answered within …", "响应：多久内获答"),
            sql="""
                select
                    source,
                    week_start,
                    answered_1h / nullif(eligible_1h, 0) as answered_1h_rate,
                    answered_24h / nullif(eligible_24h, 0) as answered_24h_rate,
                    answered_7d / nullif(eligible_7d, 0) as answered_7d_rate,
                    questions,
                    eligible_1h,
                    eligible_24h,
                    eligible_7d,
                    eligible_7d = questions and week_start + 6 <= getvariable('as_of')
                        as is_complete
                from content.response_times
                where node_id = '*' and week_start > getvariable('as_of') - 400
                order by source, week_start
            """,
            chart={
                "kind": "line",
                "x": "week_start",
                "y": ["answered_1h_rate", "answered_24h_rate", "answered_7d_rate"],
            },
            facets=("source",),
            metrics=("answer_rate_1h", "answer_rate_24h", "answer_rate_7d"),
            marts=("content.response_times",),
            per=Words("answered ÷ questions at least that old", "已答 ÷ 已满该时长的提问"),
            logs=("community/contents",),
        ),
        Figure(
            id="response_time",
            title=Words("Time to the first answer", "首答时间"),
            sql="""
                select
                    source,
                    week_start,
                    median_seconds_km as median_seconds,
                    p90_seconds_km as p90_seconds,
                    questions,
                    answered,
                    week_start + 6 <= getvariable('as_of') as is_complete
                from content.response_times
                where node_id = '*' and week_start > getvariable('as_of') - 400
                order by source, week_start
            """,
            chart={
                "kind": "line",
                "x": "week_start",
                "y": ["median_seconds", "p90_seconds"],
                "log": True,
            },
            facets=("source",),
            metrics=("median_response", "p90_response"),
            marts=("content.response_times",),
            per=Words(
                "Kaplan–Meier over all questions, the unanswered included",
                "对全部提问（含未答）的 Kaplan–Meier 估计",
            ),
            note=Words(
                "—: fewer than that share were answered, so the time is not observable.",
                "—：获答比例不足，无法观测该时间。",
            ),
            logs=("community/contents",),
        ),
        Figure(
            id="concentration",
            title=Words("Concentration on few creators", "创作集中度"),
            sql="""
                select
                    source,
                    month,
                    top10_share_num / nullif(top10_share_den, 0) as top10_share,
                    gini,
                    bus_factor,
                    creators,
                    contents,
                    last_day(month) <= getvariable('as_of') as is_complete
                from content.concentration
                where node_id = '*'
                order by source, month
            """,
            chart={"kind": "bar", "x": "month", "y": ["top10_share", "gini"]},
            facets=("source",),
            formats={"gini": "number"},
            metrics=("top10_share", "gini", "bus_factor"),
            marts=("content.concentration",),
            per=Words(
                "contents of the ten most productive ÷ all contents of the month",
                "最高产十人的内容 ÷ 当月全部内容",
            ),
            logs=("community/contents",),
        ),
        Figure(
            id="nodes",
            title=Words("Channels and circles", "频道与圈子"),
            sql="""
                with active as (
                    select
                        source,
                        node_id,
                        max(dau) filter (where date = getvariable('as_of')) as dau,
                        sum(dau) / 28 as dau_mean_28d
                    from users.node_daily_active
                    where date > getvariable('as_of') - 28 and date <= getvariable('as_of')
                    group by source, node_id
                )
                select
                    coalesce(nodes.name, active.node_id) as node,
                    active.source,
                    nodes.level,
                    active.dau,
                    active.dau_mean_28d
                from active
                left join dim.nodes
                    on active.source = nodes.source and active.node_id = nodes.node_id
                order by active.dau_mean_28d desc, active.source, active.node_id
            """,
            chart={"kind": "list", "search": ["node", "source"]},
            metrics=("node_dau",),
            marts=("users.node_daily_active", "dim.nodes"),
            per=Words(
                "distinct persons in the node or below it; mean over 28 dates",
                "节点及其下级的去重人数；28 天均值",
            ),
            logs=("community/events", "community/nodes"),
            limit=500,
        ),
        Figure(
            id="assistant",
            title=Words("Assistant", "智能助手"),
            sql="""
                select
                    surface,
                    date,
                    answered / nullif(requests, 0) as answered_rate,
                    handoffs / nullif(requests, 0) as handoff_rate,
                    failed / nullif(requests, 0) as failed_rate,
                    requests,
                    p50_ms,
                    p95_ms
                from engagement.assistant_daily
                where date > getvariable('as_of') - 400
                order by surface, date
            """,
            chart={
                "kind": "line",
                "x": "date",
                "y": ["answered_rate", "handoff_rate", "failed_rate"],
            },
            facets=("surface",),
            metrics=(
                "assistant_answer_rate",
                "assistant_handoff_rate",
                "assistant_failure_rate",
                "assistant_latency",
            ),
            marts=("engagement.assistant_daily",),
            per=Words("÷ requests of the date", "÷ 当日请求数"),
            logs=("operations/assistant_requests",),
            wide=True,
        ),
    ),
)
