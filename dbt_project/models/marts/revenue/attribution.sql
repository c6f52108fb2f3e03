{%- set half_life_micros = 7 * 86400000000 -%}

with

touches as (

    select
        order_touches.*,
        removal_effects.weight as removal_weight
    from {{ ref('int_order_touches') }} as order_touches
    inner join {{ ref('int_kind_removal_effects') }} as removal_effects
        on order_touches.campaign_kind = removal_effects.campaign_kind

),

models as (

    {% for model in [
        'first', 'last', 'linear', 'position', 'time_decay', 'markov', 'shapley'
    ] -%}
        select '{{ model }}' as model
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- Whole numbers in proportion to the credits, so that shares are exact. Decay has 52 binary
-- digits, as many as the power itself; a kind's weight is split evenly over its touches.
weighted as (

    select
        touches.order_number,
        touches.source,
        touches.order_id,
        touches.net_minor,
        touches.touch,
        touches.touch_number,
        models.model,
        {{ wide_integer("case
            when models.model = 'first' then case when touches.touch_number = 1 then 1 else 0 end
            when models.model = 'last'
                then case when touches.touch_number = touches.touches then 1 else 0 end
            when models.model = 'position' and touches.touches > 2
                then case
                    when touches.touch_number in (1, touches.touches)
                        then 2 * (touches.touches - 2)
                    else 1
                end
            when models.model = 'time_decay'
                then cast(round(
                    4503599627370496.0 * pow(2.0, -touches.age_micros / " ~ half_life_micros ~ ".0)
                ) as bigint)
            when models.model = 'markov' then touches.removal_weight
            else 1
        end") }}
        * case
            when models.model in ('markov', 'shapley') then touches.other_touches
            else 1
        end as weight
    from touches
    cross join models

),

totals as (

    select
        *,
        sum(weight) over (partition by order_number, model) as total_weight
    from weighted

),

floored as (

    select
        order_number,
        source,
        order_id,
        net_minor,
        touch,
        touch_number,
        model,
        {{ floor_divide('net_minor * weight', 'total_weight') }} as floor_minor,
        net_minor * weight
        - {{ floor_divide('net_minor * weight', 'total_weight') }} * total_weight as remainder
    from totals

),

ranked as (

    select
        source,
        order_id,
        touch,
        model,
        floor_minor,
        net_minor - sum(floor_minor) over (partition by order_number, model) as left_over,
        row_number() over (
            partition by order_number, model
            order by remainder desc nulls last, touch_number asc nulls last
        ) as remainder_rank
    from floored

),

touched_orders as (

    select distinct
        source,
        order_id
    from touches

)

select
    source,
    order_id,
    touch,
    model,
    cast(
        floor_minor + case when remainder_rank <= left_over then 1 else 0 end as bigint
    ) as credit_minor
from ranked
union all
select
    orders.source,
    orders.order_id,
    '(none)' as touch,
    models.model,
    orders.net_minor as credit_minor
from {{ ref('int_orders_counted') }} as orders
cross join models
left join touched_orders
    on
        orders.source = touched_orders.source
        and orders.order_id = touched_orders.order_id
where orders.has_amount and touched_orders.order_id is null
