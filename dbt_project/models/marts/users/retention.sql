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

horizons as (
    select 1 as day_n
    union all
    select 3 as day_n
    union all
    select 7 as day_n
    union all
    select 14 as day_n
    union all
    select 28 as day_n
),

active_dates as (
    select distinct
        cores.core,
        person_days.person_id,
        person_days.activity_date
    from person_days
    inner join cores on person_days.core = cores.core or cores.core = 'all'
    cross join parameters
    where person_days.activity_date <= parameters.as_of_date
),

with_cohorts as (
    select
        core,
        person_id,
        activity_date,
        min(activity_date) over (partition by core, person_id) as cohort_date
    from active_dates
),

-- One row a person, with its active dates among the horizons.
persons as (
    select
        core,
        person_id,
        cohort_date,
        max(activity_date) as last_date,
        max(case when activity_date = cohort_date + 1 then 1 else 0 end) as on_1,
        max(case when activity_date = cohort_date + 3 then 1 else 0 end) as on_3,
        max(case when activity_date = cohort_date + 7 then 1 else 0 end) as on_7,
        max(case when activity_date = cohort_date + 14 then 1 else 0 end) as on_14,
        max(case when activity_date = cohort_date + 28 then 1 else 0 end) as on_28
    from with_cohorts
    group by core, person_id, cohort_date
),

counted as (
    select
        persons.core,
        persons.cohort_date,
        horizons.day_n,
        count(*) as cohort_size,
        cast(sum(
            case horizons.day_n
                when 1 then persons.on_1
                when 3 then persons.on_3
                when 7 then persons.on_7
                when 14 then persons.on_14
                else persons.on_28
            end
        ) as bigint) as retained_on,
        count(*) filter (
            where persons.last_date >= persons.cohort_date + horizons.day_n
        ) as retained_on_or_after
    from persons
    cross join horizons
    group by persons.core, persons.cohort_date, horizons.day_n
),

modes as (
    select 'on' as retention_mode
    union all
    select 'on_or_after' as retention_mode
)

select
    counted.cohort_date,
    counted.core,
    modes.retention_mode as mode,
    cast(counted.day_n as bigint) as day_n,
    counted.cohort_size,
    case
        when counted.cohort_date + counted.day_n <= parameters.as_of_date
            then counted.cohort_size
        else 0
    end as eligible,
    case
        when counted.cohort_date + counted.day_n > parameters.as_of_date then null
        when modes.retention_mode = 'on' then counted.retained_on
        else counted.retained_on_or_after
    end as retained
from counted
cross join modes
cross join parameters
