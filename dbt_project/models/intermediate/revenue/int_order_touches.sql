{%- set kinds = ['fission', 'theme', 'daily', '(unknown)'] -%}

with

touches as (

    select * from {{ ref('int_campaign_touches') }}

),

-- One number instead of (source, order_id) makes the windows below, and those of the mart, cheap.
orders as (

    select
        source,
        order_id,
        person_id,
        paid_at,
        net_minor,
        row_number() over (
            order by source asc nulls first, order_id asc nulls first
        ) as order_number
    from {{ ref('int_orders_counted') }}
    where has_amount

),

matched as (

    select
        orders.order_number,
        orders.source,
        orders.order_id,
        orders.net_minor,
        touches.source as touch_source,
        touches.event_id,
        touches.log,
        touches.touch,
        touches.occurred_at,
        touches.campaign_kind,
        {{ micros_between('touches.occurred_at', 'orders.paid_at') }} as age_micros
    from orders
    inner join touches
        on
            orders.person_id = touches.person_id
            and orders.paid_at >= touches.occurred_at
            and orders.paid_at < touches.occurred_at + interval '720' hour

),

numbered as (

    select
        order_number,
        source,
        order_id,
        net_minor,
        touch,
        campaign_kind,
        age_micros,
        row_number() over (
            partition by order_number
            order by
                occurred_at asc nulls first,
                touch_source asc nulls first,
                event_id asc nulls first,
                log asc nulls first
        ) as touch_number,
        count(*) over (partition by order_number) as touches
    from matched

),

kinds as (

    select
        {% for kind in kinds %}
            greatest(count(*) filter (where campaign_kind = '{{ kind }}'), 1)
                as touches_{{ loop.index }},
        {% endfor %}
        order_number
    from matched
    group by order_number

)

-- The touches of the other kinds, multiplied, are what 1 / (touches of this kind) is over a
-- denominator that all touches of the order share.
select
    numbered.order_number,
    numbered.source,
    numbered.order_id,
    numbered.net_minor,
    numbered.touch,
    numbered.campaign_kind,
    numbered.age_micros,
    numbered.touch_number,
    numbered.touches,
    1
    {% for kind in kinds %}
        * case
            when numbered.campaign_kind = '{{ kind }}' then 1
            else kinds.touches_{{ loop.index }}
        end
    {% endfor %}
        as other_touches
from numbered
inner join kinds on numbered.order_number = kinds.order_number
