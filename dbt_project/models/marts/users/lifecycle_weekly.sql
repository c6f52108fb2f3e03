with

person_days as (
    select * from {{ ref('int_person_days') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

cores as (
    select 'community' as core
    union all
    select 'group' as core
    union all
    select 'all' as core
),

whole_weeks as (
    select distinct
        cores.core,
        person_days.person_id,
        cast(date_trunc('week', person_days.activity_date) as date) as week_start
    from person_days
    inner join cores on person_days.core = cores.core or cores.core = 'all'
    cross join parameters
    where
        cast(date_trunc('week', person_days.activity_date) as date) + 6
        <= parameters.as_of_date
),

neighbours as (
    select
        core,
        person_id,
        week_start,
        lag(week_start) over (
            partition by core, person_id
            order by week_start asc nulls first
        ) as previous_week,
        lead(week_start) over (
            partition by core, person_id
            order by week_start asc nulls first
        ) as next_week
    from whole_weeks
),

present as (
    select
        core,
        week_start,
        count(*) filter (where previous_week is null) as new_persons,
        count(*) filter (where previous_week = week_start - 7) as came_back,
        count(*) filter (where previous_week < week_start - 7) as resurrected
    from neighbours
    group by core, week_start
),

absent as (
    select
        core,
        week_start + 7 as week_start,
        count(*) as dormant
    from neighbours
    where next_week is null or next_week > week_start + 7
    group by core, week_start
),

weeks as (
    select distinct dates.week_start
    from {{ ref('dates') }} as dates
    cross join parameters
    where
        dates.week_start + 6 <= parameters.as_of_date
        and dates.week_start >= (
            select cast(date_trunc('week', min(activity_date)) as date) from person_days
        )
)

select
    weeks.week_start,
    cores.core,
    coalesce(present.new_persons, 0) as new_persons,
    coalesce(present.came_back, 0) as {{ adapter.quote('returning') }},
    coalesce(present.resurrected, 0) as resurrected,
    coalesce(absent.dormant, 0) as dormant,
    coalesce(present.new_persons + present.came_back + present.resurrected, 0) as active
from weeks
cross join cores
left join present on weeks.week_start = present.week_start and cores.core = present.core
left join absent on weeks.week_start = absent.week_start and cores.core = absent.core
