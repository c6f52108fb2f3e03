with

orders as (

    select * from {{ ref('int_orders_counted') }}

),

groupless_orders as (

    select * from orders
    where group_id is null

),

payers as (

    select distinct person_id
    from groupless_orders

),

payer_ids as (

    select
        identities.source,
        identities.id_kind,
        identities.id,
        identities.person_id
    from {{ ref('int_identities') }} as identities
    inner join payers on identities.person_id = payers.person_id

),

group_events as (

    select
        payer_ids.person_id,
        activity.occurred_at,
        activity.source,
        activity.event_id,
        activity.log,
        activity.group_id
    from {{ ref('int_activity') }} as activity
    inner join payer_ids
        on
            activity.source = payer_ids.source
            and activity.id_kind = payer_ids.id_kind
            and activity.id = payer_ids.id
    where activity.core = 'group' and activity.group_id is not null

),

timeline as (

    select
        person_id,
        occurred_at,
        0 as is_order,
        source,
        event_id as id,
        log,
        group_id
    from group_events
    union all
    select
        person_id,
        paid_at as occurred_at,
        1 as is_order,
        source,
        order_id as id,
        'commerce/orders' as log,
        cast(null as string) as group_id
    from groupless_orders

),

-- The number of events up to an order is the number of the last event before it: one sort finds
-- them all. At one instant events come first.
numbered as (

    select
        person_id,
        occurred_at,
        is_order,
        source,
        id,
        group_id,
        sum(1 - is_order) over (
            partition by person_id
            order by
                occurred_at asc nulls first,
                is_order asc nulls first,
                source asc nulls first,
                id asc nulls first,
                log asc nulls first
            rows between unbounded preceding and current row
        ) as event_number
    from timeline

),

last_groups as (

    select
        payments.source,
        payments.id as order_id,
        events.source as group_source,
        events.group_id
    from numbered as payments
    inner join numbered as events
        on
            payments.person_id = events.person_id
            and payments.event_number = events.event_number
    where
        payments.is_order = 1
        and events.is_order = 0
        and payments.occurred_at < events.occurred_at + interval '720' hour

)

select
    orders.source,
    orders.order_id,
    orders.month,
    orders.person_id,
    orders.net_minor,
    case
        when orders.group_id is not null then 'named'
        when last_groups.group_id is not null then 'last_event'
        else 'none'
    end as allocation,
    case
        when orders.group_id is null then coalesce(last_groups.group_source, orders.source)
        else orders.source
    end as group_source,
    coalesce(orders.group_id, last_groups.group_id, '(none)') as group_id
from orders
left join last_groups
    on orders.source = last_groups.source and orders.order_id = last_groups.order_id
