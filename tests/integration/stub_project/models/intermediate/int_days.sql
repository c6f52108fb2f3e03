{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    on_schema_change='fail'
) }}

select
    {{ local_date('events.occurred_at', 'parameters') }} as activity_date,
    events.source,
    events.account_id,
    count(*) as active_events
from {{ ref('stg_community__events') }} as events
cross join {{ source('control', 'parameters') }} as parameters
where {{ on_dirty_dates(local_date('events.occurred_at', 'parameters'), 'events.occurred_at') }}
group by 1, 2, 3
