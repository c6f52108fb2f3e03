with

cutoffs as (

    select * from {{ ref('int_ltv_cutoffs') }}

),

refunded as (

    select
        cutoffs.fit,
        refunds.source,
        refunds.order_id,
        cast(sum(refunds.amount_minor) as bigint) as refunded_minor,
        cast(sum(refunds.reporting_minor) as bigint) as refunded_reporting_minor
    from {{ ref('int_refunds') }} as refunds
    inner join cutoffs on refunds.refunded_date <= cutoffs.cutoff_date
    group by cutoffs.fit, refunds.source, refunds.order_id

),

purchases as (

    select
        cutoffs.fit,
        orders.person_id,
        orders.paid_date,
        orders.reporting_minor
        - coalesce(refunded.refunded_reporting_minor, 0) as net_minor
    from {{ ref('int_orders') }} as orders
    inner join cutoffs on orders.paid_date <= cutoffs.cutoff_date
    left join refunded
        on
            cutoffs.fit = refunded.fit
            and orders.source = refunded.source
            and orders.order_id = refunded.order_id
    where orders.counts and orders.amount_minor > coalesce(refunded.refunded_minor, 0)

)

select
    fit,
    person_id,
    paid_date,
    case
        when count(net_minor) = count(*) then cast(sum(net_minor) as bigint)
    end as net_minor
from purchases
group by fit, person_id, paid_date
