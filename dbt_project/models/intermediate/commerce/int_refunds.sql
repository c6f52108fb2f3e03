with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

orders as (

    select
        orders.source,
        orders.order_id,
        orders.currency,
        {{ local_date('orders.paid_at', 'parameters') }} as paid_date
    from {{ ref('stg_commerce__orders') }} as orders
    cross join parameters

)

select
    refunds.source,
    refunds.refund_id,
    refunds.order_id,
    refunds.refunded_at,
    {{ local_date('refunds.refunded_at', 'parameters') }} as refunded_date,
    orders.currency,
    refunds.amount_minor,
    {{ reporting_minor('refunds.amount_minor', 'rates.numerator', 'rates.denominator') }}
        as reporting_minor
from {{ ref('stg_commerce__refunds') }} as refunds
cross join parameters
inner join orders
    on refunds.source = orders.source and refunds.order_id = orders.order_id
left join {{ ref('int_conversion_rates') }} as rates
    on orders.currency = rates.currency and orders.paid_date = rates.on_date
