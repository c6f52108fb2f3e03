with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

windows as (

    select cast(30 as bigint) as day_n
    union all
    select cast(90 as bigint) as day_n
    union all
    select cast(180 as bigint) as day_n
    union all
    select cast(365 as bigint) as day_n

),

cohort_persons as (

    select
        person_days.person_id,
        min(person_days.first_active_at) as first_active_at,
        cast(date_trunc('month', min(person_days.activity_date)) as date) as cohort_month,
        case
            when not bool_or(person_days.core = 'group') then 'community_only'
            when not bool_or(person_days.core = 'community') then 'group_only'
            else 'both'
        end as core_mix,
        {{ micros_between(
            'min(person_days.first_active_at)',
            local_midnight('min(parameters.as_of_date) + 1', 'min(parameters.timezone)')
        ) }} as observed_micros
    from {{ ref('int_person_days') }} as person_days
    cross join parameters
    where person_days.activity_date <= parameters.as_of_date
    group by person_days.person_id

),

eligible_persons as (

    select
        cohort_persons.*,
        windows.day_n,
        cohort_persons.observed_micros >= windows.day_n * 86400000000 as is_eligible
    from cohort_persons
    cross join windows

),

earned as (

    select
        orders.person_id,
        windows.day_n,
        cast(sum(orders.net_minor) as bigint) as net_minor
    from {{ ref('int_orders_counted') }} as orders
    inner join cohort_persons
        on
            orders.person_id = cohort_persons.person_id
            and orders.paid_at >= cohort_persons.first_active_at
    inner join windows
        on
            {{ micros_between('cohort_persons.first_active_at', 'orders.paid_at') }}
            < windows.day_n * 86400000000
    group by orders.person_id, windows.day_n

)

select
    persons.cohort_month,
    persons.core_mix,
    persons.day_n,
    count(*) as persons,
    count(*) filter (where persons.is_eligible) as eligible,
    case
        when count(*) filter (where persons.is_eligible) > 0
            then count(earned.person_id) filter (where persons.is_eligible)
    end as payers,
    case
        when count(*) filter (where persons.is_eligible) > 0
            then cast(
                coalesce(sum(earned.net_minor) filter (where persons.is_eligible), 0) as bigint
            )
    end as net_revenue_minor
from eligible_persons as persons
left join earned
    on persons.person_id = earned.person_id and persons.day_n = earned.day_n
group by persons.cohort_month, persons.core_mix, persons.day_n
