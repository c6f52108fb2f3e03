with

spans as (
    select * from {{ ref('int_tier_spans') }}
),

tiers as (
    select 'core' as tier
    union all
    select 'active' as tier
    union all
    select 'lurker' as tier
    union all
    select 'dormant' as tier
),

deltas as (
    select
        tier,
        valid_from as change_date,
        1 as delta
    from spans
    union all
    select
        tier,
        valid_to as change_date,
        -1 as delta
    from spans
    where valid_to is not null
),

changes as (
    select
        tier,
        change_date,
        sum(delta) as delta
    from deltas
    group by tier, change_date
),

calendar as (
    select dates.date
    from {{ ref('dates') }} as dates
    cross join {{ source('control', 'parameters') }} as parameters
    where
        dates.date <= parameters.as_of_date
        and dates.date >= (select min(valid_from) from spans)
)

select
    calendar.date,
    tiers.tier,
    cast(sum(coalesce(changes.delta, 0)) over (
        partition by tiers.tier
        order by calendar.date asc nulls first
        rows between unbounded preceding and current row
    ) as bigint) as persons
from calendar
cross join tiers
left join changes on calendar.date = changes.change_date and tiers.tier = changes.tier
