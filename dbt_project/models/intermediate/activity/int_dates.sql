with

bounds as (

    select
        first_date,
        cast(date_trunc('year', last_date) + interval 1 year - interval 1 day as date) as last_date
    from {{ ref('int_date_bounds') }}

),

parameters as (

    select as_of_date from {{ source('control', 'parameters') }}

),

exceptions as (

    select * from {{ ref('cn_calendar') }}

),

known_years as (

    select
        cast(date_trunc('year', min(date)) as date) as first_date,
        cast(date_trunc('year', max(date)) + interval 1 year as date) as end_date
    from exceptions

),

spine as (

    select {{ date_spine('first_date', 'last_date') }} as date
    from bounds

),

weeks as (

    select
        date,
        cast(date_trunc('week', date) as date) as week_start,
        cast(date_trunc('month', date) as date) as month
    from spine

)

select
    weeks.date,
    weeks.week_start,
    weeks.month,
    case
        when exceptions.day_type is not null then exceptions.day_type
        when weeks.date >= weeks.week_start + 5 then 'weekend'
        else 'workday'
    end as day_type,
    coalesce(weeks.date <= parameters.as_of_date, false) as is_complete,
    weeks.date >= known_years.first_date and weeks.date < known_years.end_date as is_calendar_known
from weeks
cross join parameters
cross join known_years
left join exceptions
    on weeks.date = exceptions.date
