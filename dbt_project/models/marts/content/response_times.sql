with

questions as (
    select * from {{ ref('int_questions') }}
),

at_nodes as (
    select
        week_start,
        source,
        node_id,
        asked_at,
        answered_at,
        censored_at,
        observed_micros
    from questions
    union all
    select
        week_start,
        source,
        '*' as node_id,
        asked_at,
        answered_at,
        censored_at,
        observed_micros
    from questions
),

counted as (
    select
        week_start,
        source,
        node_id,
        count(*) as questions,
        count(answered_at) as answered,
        count(*) filter (where asked_at + interval '1' hour <= censored_at) as eligible_1h,
        count(*) filter (
            where asked_at + interval '1' hour <= censored_at
            and answered_at < asked_at + interval '1' hour
        ) as answered_1h,
        count(*) filter (where asked_at + interval '24' hour <= censored_at) as eligible_24h,
        count(*) filter (
            where asked_at + interval '24' hour <= censored_at
            and answered_at < asked_at + interval '24' hour
        ) as answered_24h,
        count(*) filter (where asked_at + interval '168' hour <= censored_at) as eligible_7d,
        count(*) filter (
            where asked_at + interval '168' hour <= censored_at
            and answered_at < asked_at + interval '168' hour
        ) as answered_7d
    from at_nodes
    group by week_start, source, node_id
),

-- Kaplan–Meier: at each time, those answered then over those not answered or censored before.
moments as (
    select
        week_start,
        source,
        node_id,
        observed_micros,
        count(*) as leaving,
        count(answered_at) as answered
    from at_nodes
    group by week_start, source, node_id, observed_micros
),

at_risk as (
    select
        week_start,
        source,
        node_id,
        observed_micros,
        answered,
        sum(leaving) over (
            partition by week_start, source, node_id
            order by observed_micros desc nulls last
            rows between unbounded preceding and current row
        ) as at_risk
    from moments
),

survival as (
    select
        week_start,
        source,
        node_id,
        observed_micros,
        -- ln(0) is no number: once everybody at risk is answered, the curve is at 0.
        max(case when answered = at_risk then 1 else 0 end) over passed as is_exhausted,
        exp(sum(
            case
                when answered = at_risk then 0.0
                else ln(1.0 - cast(answered as double) / nullif(at_risk, 0))
            end
        ) over passed) as surviving
    from at_risk
    window passed as (
        partition by week_start, source, node_id
        order by observed_micros asc nulls first
        rows between unbounded preceding and current row
    )
),

-- The tolerance keeps a product such as 2/3 · 3/4, which is ½, from missing its bound by rounding.
quantiles as (
    select
        week_start,
        source,
        node_id,
        min(observed_micros) filter (
            where is_exhausted = 1 or surviving <= 0.5 + 1e-9
        ) as median_micros,
        min(observed_micros) filter (
            where is_exhausted = 1 or surviving <= 0.1 + 1e-9
        ) as p90_micros
    from survival
    group by week_start, source, node_id
)

select
    counted.week_start,
    counted.source,
    counted.node_id,
    counted.questions,
    counted.answered,
    counted.eligible_1h,
    counted.answered_1h,
    counted.eligible_24h,
    counted.answered_24h,
    counted.eligible_7d,
    counted.answered_7d,
    cast(quantiles.median_micros as double) / 1000000 as median_seconds_km,
    cast(quantiles.p90_micros as double) / 1000000 as p90_seconds_km
from counted
inner join quantiles
    on
        counted.week_start = quantiles.week_start
        and counted.source = quantiles.source
        and counted.node_id = quantiles.node_id
