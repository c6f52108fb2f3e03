with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

orders as (

    select * from {{ ref('int_orders') }}

),

refunds as (

    select
        refunds.source,
        refunds.order_id,
        refunds.refunded_at,
        {{ local_date('refunds.refunded_at', 'parameters') }} as refunded_date
    from {{ ref('stg_commerce__refunds') }} as refunds
    cross join parameters

),

periods as (

    select
        subscriptions.source,
        subscriptions.currency,
        subscriptions.action,
        subscriptions.period_start,
        subscriptions.period_end,
        {{ local_date('subscriptions.occurred_at', 'parameters') }} as occurred_date,
        max(case
            when subscriptions.period_start < subscriptions.period_end
                then subscriptions.period_end
        end) over (
            partition by subscriptions.source, subscriptions.subscription_id
            order by
                subscriptions.period_start asc nulls first,
                subscriptions.occurred_at asc nulls first,
                subscriptions.event_id asc nulls first
            rows between unbounded preceding and 1 preceding
        ) as covered_until
    from {{ ref('stg_commerce__subscriptions') }} as subscriptions
    cross join parameters
    where subscriptions.action in ('start', 'renew', 'change')

),

policies as (

    select
        source,
        scope,
        scope_id,
        valid_from,
        row_number() over (
            partition by source, scope, scope_id, valid_from
            order by policy_id desc nulls last
        ) as newest_first
    from {{ ref('stg_commerce__share_policies') }}

),

rates as (

    select * from {{ ref('int_conversion_rates') }}

),

found as (

    select
        'order_without_rate' as exception,
        source,
        paid_date as date
    from orders
    where reporting_minor is null
    union all
    select
        'order_of_amount_zero' as exception,
        source,
        paid_date as date
    from orders
    where amount_minor = 0
    union all
    select
        'order_refunded_beyond_amount' as exception,
        source,
        paid_date as date
    from orders
    where refunded_minor > amount_minor
    union all
    select
        'refund_of_unknown_order' as exception,
        refunds.source,
        refunds.refunded_date as date
    from refunds
    left join orders
        on refunds.source = orders.source and refunds.order_id = orders.order_id
    where orders.order_id is null
    union all
    select
        'refund_before_order' as exception,
        refunds.source,
        refunds.refunded_date as date
    from refunds
    inner join orders
        on refunds.source = orders.source and refunds.order_id = orders.order_id
    where refunds.refunded_at < orders.paid_at
    union all
    select
        'subscription_without_rate' as exception,
        periods.source,
        periods.occurred_date as date
    from periods
    left join rates
        on periods.currency = rates.currency and periods.occurred_date = rates.on_date
    where rates.currency is null
    union all
    select
        'subscription_period_empty' as exception,
        source,
        occurred_date as date
    from periods
    where period_start >= period_end
    union all
    select
        'subscription_period_overlap' as exception,
        source,
        occurred_date as date
    from periods
    where
        action <> 'change'
        and period_start < period_end
        and period_start < covered_until
    union all
    select
        'subscription_gap' as exception,
        source,
        occurred_date as date
    from periods
    where period_start < period_end and period_start > covered_until
    union all
    select
        'spend_without_rate' as exception,
        spend.source,
        spend.spent_on as date
    from {{ ref('stg_operations__spend') }} as spend
    left join rates on spend.currency = rates.currency and spend.spent_on = rates.on_date
    where rates.currency is null
    union all
    select
        'policy_of_the_same_day' as exception,
        source,
        valid_from as date
    from policies
    where newest_first > 1
    union all
    select
        'node_policy_without_node' as exception,
        source,
        valid_from as date
    from policies
    where scope = 'node' and scope_id is null

)

select
    cast(date_trunc('month', found.date) as date) as month,
    found.source,
    found.exception,
    count(*) as records
from found
cross join parameters
where found.date <= parameters.as_of_date
group by cast(date_trunc('month', found.date) as date), found.source, found.exception
