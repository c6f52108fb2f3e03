"""Campaigns, scenes, experiments, funnels and the value loop."""

from dashboard.model import Figure, Page, Words

CAMPAIGNS = Page(
    id="campaigns",
    title=Words("Campaigns", "活动"),
    lead=Words(
        "Which campaign brought people that stayed, what did one cost, and does inviting feed "
        "itself?",
        "哪些活动带来了留下的人、一个人花了多少、邀请能否自我增长？",
    ),
    tiles=(),
    figures=(
        Figure(
            id="campaigns",
            title=Words("Campaigns", "活动一览"),
            sql="""
                select
                    coalesce(dim.name, campaigns.campaign_id) as campaign,
                    campaigns.source,
                    dim.kind,
                    dim.start_date,
                    dim.end_date,
                    campaigns.targeted,
                    campaigns.participants,
                    campaigns.participants / nullif(campaigns.targeted, 0) as participation_rate,
                    (campaigns.invites / nullif(campaigns.participants, 0))
                    * (campaigns.accepted / nullif(campaigns.invites, 0)) as k_factor,
                    campaigns.valid_new_d7 / nullif(campaigns.eligible_d7, 0) as valid_new_rate,
                    campaigns.eligible_d7,
                    campaigns.orders,
                    campaigns.net_revenue_minor,
                    campaigns.spend_minor,
                    campaigns.net_revenue_minor / nullif(campaigns.spend_minor, 0)
                        as revenue_per_spend,
                    coalesce(dim.end_date <= getvariable('as_of'), false) as is_complete
                from engagement.campaigns
                left join dim.campaigns as dim
                    on
                        campaigns.source = dim.source
                        and campaigns.campaign_id = dim.campaign_id
                order by dim.start_date desc nulls last, campaigns.source, campaigns.campaign_id
            """,
            chart={"kind": "list", "search": ["campaign", "source", "kind"]},
            formats={"k_factor": "number", "revenue_per_spend": "number"},
            metrics=(
                "campaign_participation",
                "k_factor",
                "valid_new_rate",
                "campaign_orders",
                "campaign_roi",
            ),
            marts=("engagement.campaigns", "dim.campaigns"),
            per=Words(
                "participants ÷ targeted; K per participant; valid ÷ joiners a week old",
                "参与 ÷ 目标；K 按参与者；有效新增 ÷ 已满一周的入群者",
            ),
            logs=("operations/campaigns", "operations/campaign_events"),
            limit=1_000,
            wide=True,
        ),
        Figure(
            id="generations",
            title=Words("Referral generations", "裂变层级"),
            sql="""
                with all_rows as (
                    select
                        coalesce(dim.name, generations.campaign_id) || ' · ' || generations.source
                            as campaign,
                        generations.generation,
                        generations.persons,
                        max(generations.generation) over (
                            partition by generations.source, generations.campaign_id
                        ) as depth
                    from engagement.referral_generations as generations
                    left join dim.campaigns as dim
                        on
                            generations.source = dim.source
                            and generations.campaign_id = dim.campaign_id
                )

                select campaign, generation, persons
                from all_rows
                order by depth desc, campaign, generation
            """,
            chart={"kind": "bar", "x": "generation", "y": ["persons"]},
            facets=("campaign",),
            metrics=("referral_persons",),
            marts=("engagement.referral_generations", "dim.campaigns"),
            per=Words("persons; generation 0 had no inviter", "人数；第 0 代无邀请人"),
            logs=("operations/campaign_events",),
        ),
        Figure(
            id="touchpoints",
            title=Words("1 + N touchpoints", "1+N 触点转化"),
            sql="""
                select
                    source,
                    n_scenes,
                    converted_7d / nullif(persons, 0) as conversion_rate,
                    converted_7d,
                    persons,
                    early_buyers
                from engagement.touchpoints
                where campaign_id = '*'
                order by source, n_scenes
            """,
            chart={"kind": "bar", "x": "n_scenes", "y": ["conversion_rate"]},
            facets=("source",),
            metrics=("touchpoint_conversion", "touchpoint_early_buyers"),
            marts=("engagement.touchpoints",),
            per=Words(
                "buyers after the landmark ÷ persons with that many scenes",
                "界标后购买人数 ÷ 触达该场景数的人数",
            ),
            note=Words(
                "Not causal: who comes to more scenes was keener to begin with.",
                "非因果：参加更多场景的人本就更积极。",
            ),
            logs=("group/scenes", "group/attendance"),
        ),
        Figure(
            id="streaks",
            title=Words("Check-in streaks", "打卡连续天数"),
            sql="""
                with bands as (
                    select
                        case
                            when longest_streak >= 30 then 6
                            when longest_streak >= 14 then 5
                            when longest_streak >= 7 then 4
                            when longest_streak >= 3 then 3
                            when longest_streak = 2 then 2
                            else 1
                        end as nth,
                        count(*) as persons,
                        count(*) filter (where current_streak > 0) as still_running
                    from engagement.checkin_streaks
                    where campaign_id = '*'
                    group by nth
                )

                select
                    case nth
                        when 1 then '1' when 2 then '2' when 3 then '3–6' when 4 then '7–13'
                        when 5 then '14–29' else '30+'
                    end as longest_streak_days,
                    persons,
                    still_running
                from bands
                order by nth
            """,
            chart={"kind": "bar", "x": "longest_streak_days", "y": ["persons"]},
            metrics=("longest_streak", "current_streak"),
            marts=("engagement.checkin_streaks",),
            per=Words(
                "persons and platforms with a community check-in", "有社区打卡的人（按平台）"
            ),
            logs=("community/events",),
        ),
        Figure(
            id="acquisition",
            title=Words("What a new member cost", "获客成本"),
            sql="""
                with kinds as (
                    select
                        month,
                        channel_kind,
                        sum(spend_minor) as spend_minor,
                        sum(new_members) as new_members,
                        sum(new_payers) as new_payers
                    from revenue.acquisition
                    group by month, channel_kind
                )

                select
                    month,
                    channel_kind,
                    spend_minor / nullif(new_members, 0) as cost_per_member_minor,
                    spend_minor,
                    new_members,
                    new_payers,
                    last_day(month) <= getvariable('as_of') as is_complete
                from kinds
                where spend_minor > 0
                order by month, channel_kind
            """,
            chart={
                "kind": "bar",
                "x": "month",
                "y": ["cost_per_member_minor"],
                "by": "channel_kind",
            },
            metrics=("cost_per_member", "acquisition_spend"),
            marts=("revenue.acquisition",),
            per=Words("spend ÷ new members the channel is named for", "花费 ÷ 该渠道带来的新成员"),
            logs=("operations/spend",),
        ),
    ),
)

SCENES = Page(
    id="scenes",
    title=Words("Scenes", "场景"),
    lead=Words(
        "On what kind of day and at which hour do groups talk, so that we speak then?",
        "群在哪类日子、哪个时段最活跃，好让我们在那时发声？",
    ),
    tiles=(),
    figures=(
        Figure(
            id="heat",
            title=Words("Interactions per group day", "每群日互动"),
            sql="""
                select
                    group_kind,
                    day_type,
                    hour_band,
                    interactions / nullif(group_days, 0) as interactions_per_group_day,
                    interactions,
                    group_days,
                    speakers
                from engagement.scenarios
                order by
                    group_kind,
                    case hour_band
                        when 'night' then 1 when 'morning' then 2 when 'afternoon' then 3 else 4
                    end,
                    case day_type
                        when 'workday' then 1 when 'weekend' then 2 when 'holiday' then 3 else 4
                    end
            """,
            chart={
                "kind": "heat",
                "x": "hour_band",
                "y": "day_type",
                "value": "interactions_per_group_day",
                "den": "group_days",
            },
            facets=("group_kind",),
            metrics=("scene_interactions_per_group_day", "scene_speakers"),
            marts=("engagement.scenarios",),
            per=Words(
                "messages and reactions ÷ days that groups were open",
                "消息与表态 ÷ 群存续天数",
            ),
            logs=("group/messages",),
            wide=True,
        ),
        Figure(
            id="held",
            title=Words("Scenes held", "举办的场景"),
            sql="""
                select
                    cast(date_trunc('week', start_date) as date) as week_start,
                    coalesce(kind, 'other') as kind,
                    count(*) as scenes,
                    cast(date_trunc('week', start_date) as date) + 6 <= getvariable('as_of')
                        as is_complete
                from dim.scenes
                where start_date <= getvariable('as_of')
                    and start_date > getvariable('as_of') - 400
                group by all
                order by week_start, kind
            """,
            chart={
                "kind": "bar",
                "x": "week_start",
                "y": ["scenes"],
                "by": "kind",
                "stack": True,
            },
            metrics=("scene_speakers",),
            marts=("dim.scenes",),
            per=Words("scenes a week, a count", "每周场次"),
            logs=("group/scenes",),
        ),
        Figure(
            id="visits",
            title=Words("Visits to the space and votes", "空间到访与投票"),
            sql="""
                select
                    source,
                    date,
                    visitors,
                    dual_mode_persons,
                    voters,
                    visit_seconds / nullif(visitors, 0) as seconds_per_visitor
                from engagement.governance_daily
                where date > getvariable('as_of') - 400
                order by source, date
            """,
            chart={"kind": "line", "x": "date", "y": ["visitors", "dual_mode_persons", "voters"]},
            facets=("source",),
            formats={"seconds_per_visitor": "seconds"},
            metrics=("visit_duration", "dual_mode_share", "governance_voters"),
            marts=("engagement.governance_daily",),
            per=Words("distinct persons of the date", "当日去重人数"),
            logs=("community/events",),
        ),
    ),
)

EXPERIMENTS = Page(
    id="experiments",
    title=Words("Experiments", "实验"),
    lead=Words(
        "Health first: may I believe it? Then: how large is the effect, and how sure?",
        "先看健康：可信吗？再看：效果多大、多确定？",
    ),
    tiles=(),
    figures=(
        Figure(
            id="health",
            title=Words("Health", "健康检查"),
            sql="""
                select
                    experiment_id,
                    source,
                    is_valid,
                    srm_p,
                    units,
                    multi_exposed / nullif(units, 0) as multi_exposed_share,
                    multi_exposed,
                    contaminated / nullif(reached, 0) as contaminated_share,
                    contaminated,
                    reached,
                    late_exposures,
                    undeclared_units
                from engagement.experiment_health
                order by is_valid, source, experiment_id
            """,
            chart={"kind": "list", "search": ["experiment_id", "source"]},
            formats={"srm_p": "p"},
            metrics=("experiment_srm", "experiment_multi_exposed", "experiment_contamination"),
            marts=("engagement.experiment_health",),
            per=Words(
                "÷ units; contamination ÷ persons reached through groups",
                "÷ 实验单位；污染 ÷ 经群触达的人",
            ),
            logs=("operations/experiments", "operations/exposures"),
            limit=1_000,
            wide=True,
        ),
        Figure(
            id="effects",
            title=Words("Effects with 95 % intervals", "效果与 95% 区间"),
            sql="""
                select
                    results.metric,
                    results.experiment_id || ' · ' || results.variant as arm,
                    results.source,
                    case
                        when results.metric in ('ctr', 'retained_d7') then 'points'
                        when results.metric = 'revenue' then 'money'
                        else 'number'
                    end as unit,
                    case
                        when results.metric in ('ctr', 'retained_d7') then 'ratio'
                        when results.metric = 'revenue' then 'money'
                        else 'number'
                    end as mean_unit,
                    results.difference,
                    results.ci_low,
                    results.ci_high,
                    results.p_value,
                    results.p_holm,
                    results.difference_cuped,
                    results.sequential_low,
                    results.sequential_high,
                    results.control_mean,
                    results.units,
                    coalesce(health.is_valid, false) as is_valid
                from engagement.experiment_results as results
                left join engagement.experiment_health as health
                    on
                        results.source = health.source
                        and results.experiment_id = health.experiment_id
                where results.control_mean is not null or results.difference is not null
                order by results.metric, results.source, results.experiment_id, results.variant
            """,
            chart={
                "kind": "interval",
                "label": "arm",
                "mid": "difference",
                "low": "ci_low",
                "high": "ci_high",
                "valid": "is_valid",
            },
            facets=("metric",),
            formats={
                "difference": "@unit",
                "ci_low": "@unit",
                "ci_high": "@unit",
                "difference_cuped": "@unit",
                "sequential_low": "@unit",
                "sequential_high": "@unit",
                "control_mean": "@mean_unit",
                "p_value": "p",
                "p_holm": "p",
            },
            hidden=("unit", "mean_unit"),
            metrics=(
                "experiment_effect",
                "experiment_effect_cuped",
                "experiment_effect_sequential",
                "experiment_p_adjusted",
            ),
            marts=("engagement.experiment_results", "engagement.experiment_health"),
            per=Words(
                "difference to control per unit; grey and hollow: health says do not believe it",
                "与对照的单位差；灰色空心：健康检查不可信",
            ),
            logs=("operations/experiments", "operations/exposures"),
            limit=2_000,
            wide=True,
        ),
    ),
)

FUNNELS = Page(
    id="funnels",
    title=Words("Funnels and loop", "漏斗与价值循环"),
    lead=Words(
        "Where do people drop out? Which topics are asked for and not written about?",
        "人们在哪一步流失？哪些主题有人问却没人写？",
    ),
    tiles=(),
    figures=(
        Figure(
            id="funnel",
            title=Words("Conversion funnel", "转化漏斗"),
            sql="""
                with steps as (
                    select
                        funnel,
                        step,
                        any_value(step_kind) as step_kind,
                        cast(sum(persons) as bigint) as persons
                    from engagement.funnels
                    where entry_date > getvariable('as_of') - 400
                    group by funnel, step
                )

                select
                    funnel,
                    step_kind,
                    persons,
                    persons / nullif(first_value(persons) over (
                        partition by funnel order by step
                    ), 0) as of_first,
                    persons / nullif(lag(persons) over (
                        partition by funnel order by step
                    ), 0) as of_previous
                from steps
                order by funnel, step
            """,
            chart={"kind": "steps", "x": "step_kind", "y": "persons", "rate": "of_first"},
            facets=("funnel",),
            first={"funnel": "default"},
            formats={"of_first": "ratio", "of_previous": "ratio"},
            metrics=("funnel_persons",),
            marts=("engagement.funnels",),
            per=Words(
                "÷ persons who entered, and ÷ those of the step before; whole windows only",
                "÷ 进入人数，及 ÷ 上一步人数；仅含窗口已满者",
            ),
            logs=("community/events",),
        ),
        Figure(
            id="funnel_weekly",
            title=Words("Conversion by entry week", "按进入周的转化"),
            sql="""
                with weeks as (
                    select
                        funnel,
                        cast(date_trunc('week', entry_date) as date) as week_start,
                        step,
                        any_value(step_kind) as step_kind,
                        sum(persons) as persons,
                        max(entry_date) as last_entry
                    from engagement.funnels
                    where entry_date > getvariable('as_of') - 400
                    group by all
                )

                select
                    later.funnel,
                    later.week_start,
                    later.step_kind,
                    later.persons / nullif(entered.persons, 0) as of_first,
                    cast(later.persons as bigint) as persons,
                    cast(entered.persons as bigint) as entered,
                    later.last_entry >= later.week_start + 6 as is_complete
                from weeks as later
                inner join weeks as entered
                    on
                        later.funnel = entered.funnel
                        and later.week_start = entered.week_start
                        and entered.step = 1
                where later.step > 1
                order by later.funnel, later.week_start, later.step
            """,
            chart={"kind": "line", "x": "week_start", "y": ["of_first"], "by": "step_kind"},
            facets=("funnel",),
            first={"funnel": "default"},
            formats={"of_first": "ratio"},
            metrics=("funnel_persons",),
            marts=("engagement.funnels",),
            per=Words("÷ persons who entered in the week", "÷ 当周进入人数"),
            logs=("community/events",),
        ),
        Figure(
            id="loop_weekly",
            title=Words("Needs and supply by week", "每周需求与供给"),
            sql="""
                select
                    week_start,
                    cast(sum(needs) as bigint) as needs,
                    cast(sum(eligible_14d) as bigint) as eligible_14d,
                    cast(sum(supplied) as bigint) as supplied,
                    sum(supplied) / nullif(sum(eligible_14d), 0) as supply_rate,
                    sum(eligible_14d) = sum(needs) as is_complete
                from engagement.value_loop
                where week_start > getvariable('as_of') - 400
                group by week_start
                order by week_start
            """,
            chart={"kind": "line", "x": "week_start", "y": ["supply_rate"]},
            metrics=("loop_needs", "loop_supply_rate"),
            marts=("engagement.value_loop",),
            per=Words("needs supplied ÷ needs whose 14 days are over", "已供给 ÷ 已满 14 天的需求"),
            logs=("community/events", "community/contents"),
        ),
        Figure(
            id="loop_topics",
            title=Words("Topics", "主题"),
            sql="""
                select
                    topic,
                    cast(sum(needs) as bigint) as needs,
                    sum(supplied) / nullif(sum(eligible_14d), 0) as supply_rate,
                    cast(sum(supplied) as bigint) as supplied,
                    cast(sum(eligible_14d) as bigint) as eligible_14d,
                    sum(reads_after_7d) / nullif(sum(reads_before_7d), 0) as reads_lift,
                    cast(sum(reads_before_7d) as bigint) as reads_before_7d,
                    cast(sum(reads_after_7d) as bigint) as reads_after_7d
                from engagement.value_loop
                group by topic
                order by needs desc, topic
            """,
            chart={"kind": "list", "search": ["topic"]},
            formats={"reads_lift": "number"},
            metrics=("loop_needs", "loop_supply_rate", "loop_reads_lift"),
            marts=("engagement.value_loop",),
            per=Words(
                "supplied ÷ needs 14 days old; reads after ÷ before",
                "已供给 ÷ 满 14 天的需求；供给后 ÷ 前阅读",
            ),
            logs=("community/events", "community/contents"),
            limit=500,
        ),
    ),
)
