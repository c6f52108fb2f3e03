with

orders as (

    select * from {{ ref('int_orders') }}
    where counts

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

entries as (

    select
        paid_date as date,
        core,
        person_id as payer,
        1 as orders,
        coalesce(reporting_minor, 0) as gmv_minor,
        0 as refunds_cash_minor,
        coalesce(refunded_reporting_minor, 0) as refunds_order_minor
    from orders
    union all
    select
        refunds.refunded_date as date,
        orders.core,
        null as payer,
        0 as orders,
        0 as gmv_minor,
        coalesce(refunds.reporting_minor, 0) as refunds_cash_minor,
        0 as refunds_order_minor
    from {{ ref('int_refunds') }} as refunds
    inner join orders
        on refunds.source = orders.source and refunds.order_id = orders.order_id

)

select
    entries.date,
    entries.core,
    cast(sum(entries.orders) as bigint) as orders,
    count(distinct entries.payer) as payers,
    cast(sum(entries.gmv_minor) as bigint) as gmv_minor,
    cast(sum(entries.refunds_cash_minor) as bigint) as refunds_cash_minor,
    cast(sum(entries.refunds_order_minor) as bigint) as refunds_order_minor,
    cast(sum(entries.gmv_minor - entries.refunds_cash_minor) as bigint) as net_cash_minor,
    cast(sum(entries.gmv_minor - entries.refunds_order_minor) as bigint) as net_order_minor
from entries
cross join parameters
where entries.date <= parameters.as_of_date
group by entries.date, entries.core
