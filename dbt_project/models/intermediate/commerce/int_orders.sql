with

orders as (

    select
        orders.source,
        orders.order_id,
        orders.kind,
        coalesce(orders.account_id, orders.member_id) as payer_id,
        case when orders.account_id is null then 'member' else 'account' end as payer_id_kind,
        orders.group_id,
        orders.content_id,
        orders.campaign_id,
        orders.subscription_id,
        orders.currency,
        orders.amount_minor,
        orders.paid_at,
        {{ local_date('orders.paid_at', 'parameters') }} as paid_date
    from {{ ref('stg_commerce__orders') }} as orders
    cross join {{ source('control', 'parameters') }} as parameters

),

refunded as (

    select
        refunds.source,
        refunds.order_id,
        count(*) as refunds,
        cast(sum(refunds.amount_minor) as bigint) as refunded_minor,
        cast(sum(refunds.reporting_minor) as bigint) as refunded_reporting_minor
    from {{ ref('int_refunds') }} as refunds
    cross join {{ source('control', 'parameters') }} as parameters
    where refunds.refunded_date <= parameters.as_of_date
    group by refunds.source, refunds.order_id

),

converted as (

    select
        orders.*,
        {{ reporting_minor('orders.amount_minor', 'rates.numerator', 'rates.denominator') }}
            as reporting_minor
    from orders
    left join {{ ref('int_conversion_rates') }} as rates
        on orders.currency = rates.currency and orders.paid_date = rates.on_date

)

select
    converted.source,
    converted.order_id,
    converted.kind,
    identities.person_id,
    not identities.is_excluded and not identities.is_staff as counts,
    identities.is_erased,
    case when converted.group_id is null then 'community' else 'group' end as core,
    converted.group_id,
    converted.content_id,
    converted.campaign_id,
    converted.subscription_id,
    converted.paid_at,
    converted.paid_date,
    converted.currency,
    converted.amount_minor,
    converted.reporting_minor,
    coalesce(refunded.refunds, 0) as refunds,
    coalesce(refunded.refunded_minor, 0) as refunded_minor,
    case
        when converted.reporting_minor is not null
            then coalesce(refunded.refunded_reporting_minor, 0)
    end as refunded_reporting_minor,
    converted.reporting_minor
    - coalesce(refunded.refunded_reporting_minor, 0) as net_reporting_minor
from converted
inner join {{ ref('int_identities') }} as identities
    on
        converted.source = identities.source
        and converted.payer_id_kind = identities.id_kind
        and converted.payer_id = identities.id
left join refunded
    on converted.source = refunded.source and converted.order_id = refunded.order_id
