{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': ['community/events']},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

dated_events as (

    select
        events.source,
        events.account_id,
        events.node_id,
        {{ local_date('events.occurred_at', 'parameters') }} as activity_date
    from {{ ref('stg_community__events') }} as events
    cross join parameters
    where
        events.node_id is not null
        and events.event_type <> 'impression'
        and {{ on_dirty_dates(
            local_date('events.occurred_at', 'parameters'), 'events.occurred_at'
        ) }}

)

select
    activity_date,
    source,
    account_id,
    node_id,
    count(*) as active_events
from dated_events
group by activity_date, source, account_id, node_id
