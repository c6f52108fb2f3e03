with

orders as (
    select * from {{ ref('int_orders') }}
),

refunds as (
    select * from {{ ref('int_refunds') }}
),

persons as (
    select * from {{ ref('int_persons') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

refunded as (
    select
        refunds.source,
        refunds.order_id,
        cast(sum(refunds.amount_minor) as bigint) as refund_minor,
        cast(sum(refunds.reporting_minor) as bigint) as refund_reporting_minor
    from refunds
    cross join parameters
    where refunds.refunded_date <= parameters.as_of_date
    group by refunds.source, refunds.order_id
),

counted as (
    select
        orders.person_id,
        orders.paid_date,
        parameters.as_of_date,
        coalesce(refunded.refund_minor, 0) >= orders.amount_minor as is_fully_refunded,
        coalesce(orders.reporting_minor, 0)
        - coalesce(refunded.refund_reporting_minor, 0) as net_minor
    from orders
    inner join persons on orders.person_id = persons.person_id
    left join refunded
        on orders.source = refunded.source and orders.order_id = refunded.order_id
    cross join parameters
    where
        persons.counts
        and not persons.is_erased
        and orders.paid_date <= parameters.as_of_date
        and orders.paid_date > parameters.as_of_date - 365
),

scored as (
    select
        person_id,
        {{ days_between('max(paid_date)', 'as_of_date') }} as recency_days,
        count(*) filter (where not is_fully_refunded) as frequency,
        cast(sum(net_minor) as bigint) as monetary_minor
    from counted
    group by person_id, as_of_date
),

flagged as (
    select
        scored.person_id,
        scored.recency_days,
        scored.frequency,
        scored.monetary_minor,
        scored.recency_days <= parameters.rfm_recency_days as r_high,
        scored.frequency >= parameters.rfm_frequency_orders as f_high,
        scored.monetary_minor >= parameters.rfm_monetary_minor as m_high
    from scored
    cross join parameters
)

select
    person_id,
    recency_days,
    frequency,
    monetary_minor,
    r_high,
    f_high,
    m_high,
    case when r_high then '1' else '0' end
    || case when f_high then '1' else '0' end
    || case when m_high then '1' else '0' end as segment
from flagged
