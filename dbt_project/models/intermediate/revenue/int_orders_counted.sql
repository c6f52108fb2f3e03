{{ config(materialized='view') }}

with

orders as (

    select * from {{ ref('int_orders') }}
    where counts

),

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    orders.source,
    orders.order_id,
    orders.kind,
    orders.person_id,
    orders.group_id,
    orders.content_id,
    orders.paid_at,
    orders.paid_date,
    cast(date_trunc('month', orders.paid_date) as date) as month,
    orders.reporting_minor is not null as has_amount,
    coalesce(orders.net_reporting_minor, 0) as net_minor
from orders
cross join parameters
where orders.paid_date <= parameters.as_of_date
