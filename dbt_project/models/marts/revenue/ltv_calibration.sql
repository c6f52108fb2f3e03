with

cutoffs as (

    select * from {{ ref('int_ltv_cutoffs') }}
    where fit = 'holdout'

),

ranked as (

    select
        scores.person_id,
        scores.expected_orders,
        scores.expected_value_minor,
        scores.model,
        cutoffs.cutoff_date,
        cutoffs.horizon_days,
        ntile(10) over (
            order by scores.expected_orders asc nulls last, scores.person_id asc nulls last
        ) as decile
    from {{ ref('int_ltv_scores') }} as scores
    inner join cutoffs on scores.fit = cutoffs.fit
    where scores.expected_orders is not null

),

bought as (

    select
        days.person_id,
        count(*) as orders,
        cast(sum(days.net_minor) as bigint) as value_minor
    from {{ ref('int_purchase_days') }} as days
    inner join cutoffs on days.paid_date > cutoffs.cutoff_date
    where days.fit = 'forecast'
    group by days.person_id

)

select
    cast(ranked.decile as bigint) as decile,
    ranked.horizon_days as holdout_days,
    count(*) as persons,
    -- A sum of doubles depends on the order of its terms; one of integers does not.
    cast(sum(cast(round(ranked.expected_orders * 1000000000) as bigint)) as double)
    / 1000000000 as predicted,
    cast(coalesce(sum(bought.orders), 0) as bigint) as observed,
    cast(sum(ranked.expected_value_minor) as bigint) as predicted_value_minor,
    cast(coalesce(sum(bought.value_minor), 0) as bigint) as observed_value_minor,
    ranked.model
from ranked
left join bought on ranked.person_id = bought.person_id
group by ranked.decile, ranked.horizon_days, ranked.model
