{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': ['community/events']},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    {{ local_date('events.occurred_at', 'parameters') }} as activity_date,
    events.source,
    events.event_id,
    events.account_id,
    events.content_id,
    events.occurred_at,
    cast(case when events.event_type = 'like' then 1 else -1 end as bigint) as delta
from {{ ref('stg_community__events') }} as events
cross join parameters
where
    events.event_type in ('like', 'unlike')
    and events.content_id is not null
    and {{ on_dirty_dates(
        local_date('events.occurred_at', 'parameters'), 'events.occurred_at'
    ) }}
