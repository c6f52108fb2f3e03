{%- set window_micros = 90 * 86400000000 -%}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

orders as (

    select * from {{ ref('int_orders_counted') }}

),

acquisitions as (

    select * from {{ ref('int_acquisitions') }}

),

spend as (

    select
        spend.target as channel_kind,
        spend.source,
        spend.target_id,
        cast(date_trunc('month', spend.spent_on) as date) as month,
        cast(coalesce(sum(
            {{ reporting_minor('spend.amount_minor', 'rates.numerator', 'rates.denominator') }}
        ), 0) as bigint) as spend_minor
    from {{ ref('stg_operations__spend') }} as spend
    cross join parameters
    left join {{ ref('int_conversion_rates') }} as rates
        on spend.currency = rates.currency and spend.spent_on = rates.on_date
    where spend.spent_on <= parameters.as_of_date
    group by
        spend.target,
        spend.source,
        spend.target_id,
        cast(date_trunc('month', spend.spent_on) as date)

),

first_orders as (

    select
        person_id,
        min(paid_at) as paid_at,
        min(month) as month
    from orders
    group by person_id

),

payers as (

    select
        acquisitions.channel_kind,
        acquisitions.source,
        acquisitions.target_id,
        first_orders.month,
        count(*) as new_payers
    from acquisitions
    inner join first_orders
        on
            acquisitions.person_id = first_orders.person_id
            and acquisitions.acquired_at <= first_orders.paid_at
    group by
        acquisitions.channel_kind,
        acquisitions.source,
        acquisitions.target_id,
        first_orders.month

),

earned as (

    select
        acquisitions.channel_kind,
        acquisitions.person_id,
        cast(sum(orders.net_minor) as bigint) as net_minor
    from acquisitions
    inner join orders
        on
            acquisitions.person_id = orders.person_id
            and acquisitions.acquired_at <= orders.paid_at
    where
        {{ micros_between('acquisitions.acquired_at', 'orders.paid_at') }} < {{ window_micros }}
        and acquisitions.observed_micros >= {{ window_micros }}
    group by acquisitions.channel_kind, acquisitions.person_id

),

members as (

    select
        acquisitions.channel_kind,
        acquisitions.source,
        acquisitions.target_id,
        cast(date_trunc('month', acquisitions.acquired_date) as date) as month,
        count(*) as new_members,
        count(*) filter (
            where acquisitions.observed_micros >= {{ window_micros }}
        ) as eligible_90d,
        cast(coalesce(sum(earned.net_minor), 0) as bigint) as net_revenue_90d_minor
    from acquisitions
    left join earned
        on
            acquisitions.channel_kind = earned.channel_kind
            and acquisitions.person_id = earned.person_id
    group by
        acquisitions.channel_kind,
        acquisitions.source,
        acquisitions.target_id,
        cast(date_trunc('month', acquisitions.acquired_date) as date)

),

measures as (

    select
        month,
        source,
        channel_kind,
        target_id,
        spend_minor,
        0 as new_members,
        0 as new_payers,
        0 as eligible_90d,
        0 as net_revenue_90d_minor
    from spend
    union all
    select
        month,
        source,
        channel_kind,
        target_id,
        0 as spend_minor,
        new_members,
        0 as new_payers,
        eligible_90d,
        net_revenue_90d_minor
    from members
    union all
    select
        month,
        source,
        channel_kind,
        target_id,
        0 as spend_minor,
        0 as new_members,
        new_payers,
        0 as eligible_90d,
        0 as net_revenue_90d_minor
    from payers

)

-- Nothing says which content made a person join, so that members stay unknown there.
select
    month,
    source,
    channel_kind,
    target_id,
    cast(sum(spend_minor) as bigint) as spend_minor,
    case when channel_kind <> 'content' then cast(sum(new_members) as bigint) end as new_members,
    cast(sum(new_payers) as bigint) as new_payers,
    cast(sum(eligible_90d) as bigint) as eligible_90d,
    case
        when sum(eligible_90d) > 0 then cast(sum(net_revenue_90d_minor) as bigint)
    end as net_revenue_90d_minor
from measures
group by month, source, channel_kind, target_id
