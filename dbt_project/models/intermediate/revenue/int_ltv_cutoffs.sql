with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

bounds as (

    select
        parameters.as_of_date,
        parameters.ltv_holdout_days,
        {{ days_between('min(orders.paid_date)', 'parameters.as_of_date') }} + 1 as history_days
    from {{ ref('int_orders') }} as orders
    cross join parameters
    where orders.counts and orders.amount_minor > 0 and orders.paid_date <= parameters.as_of_date
    group by parameters.as_of_date, parameters.ltv_holdout_days

),

holdouts as (

    select
        as_of_date,
        least(ltv_holdout_days, cast(floor(history_days / 3.0) as bigint)) as holdout_days
    from bounds

)

select
    'forecast' as fit,
    as_of_date as cutoff_date,
    cast(90 as bigint) as horizon_days
from bounds
union all
select
    'holdout' as fit,
    as_of_date - cast(holdout_days as integer) as cutoff_date,
    holdout_days as horizon_days
from holdouts
where holdout_days > 0
