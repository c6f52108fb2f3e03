with

periods as (

    select * from {{ ref('int_subscription_periods') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

plans as (

    select
        source,
        plan_id
    from periods
    union distinct
    select
        source,
        '*' as plan_id
    from periods

),

-- The month that as_of_date + 1 lies in is the first that is not over.
spans as (

    select
        periods.source,
        cast(date_trunc('month', min(periods.period_start)) as date) as first_date,
        cast(date_trunc('month', min(parameters.as_of_date) + 1) as date) - 1 as last_date
    from periods
    cross join parameters
    group by periods.source

),

dates as (

    select
        source,
        {{ date_spine('first_date', 'last_date') }} as date
    from spans

),

grid as (

    select
        plans.source,
        plans.plan_id,
        dates.date as month
    from plans
    inner join dates on plans.source = dates.source
    where extract(day from dates.date) = 1

),

monthly as (

    select
        source,
        plan_id,
        person_id,
        month,
        mrr_minor,
        cast(month - interval 1 month as date) as previous_month,
        cast(month + interval 1 month as date) as next_month,
        lag(month) over (
            partition by source, plan_id, person_id
            order by month asc nulls first
        ) as earlier_month,
        lag(mrr_minor) over (
            partition by source, plan_id, person_id
            order by month asc nulls first
        ) as earlier_minor,
        lead(month) over (
            partition by source, plan_id, person_id
            order by month asc nulls first
        ) as later_month
    from {{ ref('int_mrr_months') }}

),

movements as (

    select
        source,
        plan_id,
        month,
        case when earlier_month = previous_month then earlier_minor else 0 end as opening_minor,
        case when earlier_month is null then mrr_minor else 0 end as new_minor,
        case
            when earlier_month = previous_month then greatest(mrr_minor - earlier_minor, 0)
            else 0
        end as expansion_minor,
        case
            when earlier_month = previous_month then least(mrr_minor - earlier_minor, 0)
            else 0
        end as contraction_minor,
        0 as churn_minor,
        case when earlier_month < previous_month then mrr_minor else 0 end as reactivation_minor,
        mrr_minor as closing_minor
    from monthly
    union all
    select
        source,
        plan_id,
        next_month as month,
        mrr_minor as opening_minor,
        0 as new_minor,
        0 as expansion_minor,
        0 as contraction_minor,
        -mrr_minor as churn_minor,
        0 as reactivation_minor,
        0 as closing_minor
    from monthly
    where later_month is null or later_month > next_month

)

select
    grid.month,
    grid.source,
    grid.plan_id,
    cast(coalesce(sum(movements.opening_minor), 0) as bigint) as opening_minor,
    cast(coalesce(sum(movements.new_minor), 0) as bigint) as new_minor,
    cast(coalesce(sum(movements.expansion_minor), 0) as bigint) as expansion_minor,
    cast(coalesce(sum(movements.contraction_minor), 0) as bigint) as contraction_minor,
    cast(coalesce(sum(movements.churn_minor), 0) as bigint) as churn_minor,
    cast(coalesce(sum(movements.reactivation_minor), 0) as bigint) as reactivation_minor,
    cast(coalesce(sum(movements.closing_minor), 0) as bigint) as closing_minor
from grid
left join movements
    on
        grid.source = movements.source
        and grid.plan_id = movements.plan_id
        and grid.month = movements.month
group by grid.month, grid.source, grid.plan_id
