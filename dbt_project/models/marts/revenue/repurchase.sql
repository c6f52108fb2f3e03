with

orders as (

    select * from {{ ref('int_orders_counted') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

windows as (

    select cast(30 as bigint) as day_n
    union all
    select cast(90 as bigint) as day_n

),

ordered as (

    select
        person_id,
        paid_at,
        month,
        row_number() over (
            partition by person_id
            order by paid_at asc nulls first, source asc nulls first, order_id asc nulls first
        ) as order_number,
        lead(paid_at) over (
            partition by person_id
            order by paid_at asc nulls first, source asc nulls first, order_id asc nulls first
        ) as next_paid_at
    from orders

),

buyers as (

    select
        ordered.month as cohort_month,
        {{ micros_between('ordered.paid_at', 'ordered.next_paid_at') }} as repeat_micros,
        {{ micros_between(
            'ordered.paid_at', local_midnight('parameters.as_of_date + 1', 'parameters.timezone')
        ) }} as observed_micros
    from ordered
    cross join parameters
    where ordered.order_number = 1

),

measured as (

    select
        buyers.cohort_month,
        windows.day_n,
        buyers.observed_micros >= windows.day_n * 86400000000 as is_eligible,
        coalesce(buyers.repeat_micros < windows.day_n * 86400000000, false) as is_repeated
    from buyers
    cross join windows

)

select
    cohort_month,
    day_n,
    count(*) as buyers,
    count(*) filter (where is_eligible) as eligible,
    case
        when count(*) filter (where is_eligible) > 0
            then count(*) filter (where is_eligible and is_repeated)
    end as repeat_buyers
from measured
group by cohort_month, day_n
