with

periods as (

    select * from {{ ref('int_subscription_periods') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

spans as (

    select
        min(periods.period_start) as first_date,
        min(parameters.as_of_date) as last_date
    from periods
    cross join parameters

),

dates as (

    select {{ date_spine('first_date', 'last_date') }} as date
    from spans

),

month_ends as (

    select date
    from dates
    where extract(day from date + 1) = 1

),

held as (

    select
        periods.source,
        periods.subscription_id,
        periods.plan_id,
        periods.person_id,
        periods.monthly_minor,
        month_ends.date as month_end,
        row_number() over (
            partition by periods.source, periods.subscription_id, month_ends.date
            order by periods.occurred_at desc nulls last, periods.event_id desc nulls last
        ) as newest_first
    from periods
    inner join month_ends
        on
            periods.period_start <= month_ends.date
            and periods.period_end > month_ends.date

),

in_force as (

    select
        source,
        plan_id,
        person_id,
        cast(date_trunc('month', month_end) as date) as month,
        monthly_minor
    from held
    where newest_first = 1 and monthly_minor > 0

)

select
    source,
    plan_id,
    person_id,
    month,
    cast(sum(monthly_minor) as bigint) as mrr_minor
from in_force
group by source, plan_id, person_id, month
union all
select
    source,
    '*' as plan_id,
    person_id,
    month,
    cast(sum(monthly_minor) as bigint) as mrr_minor
from in_force
group by source, person_id, month
