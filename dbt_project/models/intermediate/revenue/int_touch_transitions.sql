with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

order_touches as (

    select * from {{ ref('int_order_touches') }}

),

converting_touches as (

    select distinct touch
    from order_touches

),

lost_touches as (

    select
        touches.person_id,
        touches.occurred_at,
        touches.source,
        touches.event_id,
        touches.log,
        touches.campaign_kind
    from {{ ref('int_campaign_touches') }} as touches
    left join converting_touches on touches.touch = converting_touches.touch
    where converting_touches.touch is null

),

spaced_touches as (

    select
        *,
        lag(occurred_at) over (
            partition by person_id
            order by
                occurred_at asc nulls first,
                source asc nulls first,
                event_id asc nulls first,
                log asc nulls first
        ) as previous_at
    from lost_touches

),

-- Touches that no order followed make one path as long as each comes within 30 days of the last.
lost_paths as (

    select
        *,
        sum(case when occurred_at < previous_at + interval '720' hour then 0 else 1 end) over (
            partition by person_id
            order by
                occurred_at asc nulls first,
                source asc nulls first,
                event_id asc nulls first,
                log asc nulls first
            rows between unbounded preceding and current row
        ) as path_number
    from spaced_touches

),

lost_steps as (

    select
        campaign_kind,
        lead(campaign_kind) over (
            partition by person_id, path_number
            order by
                occurred_at asc nulls first,
                source asc nulls first,
                event_id asc nulls first,
                log asc nulls first
        ) as next_kind,
        row_number() over (
            partition by person_id, path_number
            order by
                occurred_at asc nulls first,
                source asc nulls first,
                event_id asc nulls first,
                log asc nulls first
        ) as step,
        max(occurred_at) over (partition by person_id, path_number) as ended_at
    from lost_paths

),

-- A path whose last 30 days are not over may still end in an order.
closed_steps as (

    select
        lost_steps.campaign_kind,
        lost_steps.next_kind,
        lost_steps.step
    from lost_steps
    cross join parameters
    where
        lost_steps.ended_at + interval '720' hour
        <= {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}

),

order_steps as (

    select
        campaign_kind,
        lead(campaign_kind) over (
            partition by order_number
            order by touch_number asc nulls first
        ) as next_kind,
        touch_number as step
    from order_touches

),

moves as (

    select
        campaign_kind as from_state,
        coalesce(next_kind, '(order)') as to_state
    from order_steps
    union all
    select
        campaign_kind as from_state,
        coalesce(next_kind, '(lost)') as to_state
    from closed_steps
    union all
    select
        '(start)' as from_state,
        campaign_kind as to_state
    from order_steps
    where step = 1
    union all
    select
        '(start)' as from_state,
        campaign_kind as to_state
    from closed_steps
    where step = 1

)

select
    from_state,
    to_state,
    count(*) as moves
from moves
group by from_state, to_state
