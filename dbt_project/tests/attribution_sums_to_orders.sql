-- In every model the credits of an order with an amount are its net revenue, and no order is lost.
with

models as (
    select distinct model
    from {{ ref('attribution') }}
),

orders as (
    select
        orders.source,
        orders.order_id,
        orders.net_minor,
        models.model
    from {{ ref('int_orders_counted') }} as orders
    cross join models
    where orders.has_amount
),

credits as (
    select
        source,
        order_id,
        model,
        sum(credit_minor) as credit_minor
    from {{ ref('attribution') }}
    group by source, order_id, model
)

select
    coalesce(orders.source, credits.source) as source,
    coalesce(orders.order_id, credits.order_id) as order_id,
    coalesce(orders.model, credits.model) as model
from orders
full outer join credits
    on
        orders.source = credits.source
        and orders.order_id = credits.order_id
        and orders.model = credits.model
where
    orders.net_minor is null
    or credits.credit_minor is null
    or orders.net_minor <> credits.credit_minor
