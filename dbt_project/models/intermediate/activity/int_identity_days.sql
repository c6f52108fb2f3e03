{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': [
        'community/events',
        'community/contents',
        'group/messages',
        'group/attendance',
        'group/consults',
        'group/deliveries',
    ]},
) }}

with

activity as (

    select
        activity_date,
        core,
        source,
        id_kind,
        id,
        is_contribution,
        is_reaction,
        occurred_at
    from {{ ref('int_activity') }}
    where {{ on_dirty_dates('activity_date', 'occurred_at') }}

)

select
    activity_date,
    core,
    source,
    id_kind,
    id,
    count(*) as active_events,
    count(*) filter (where is_contribution) as contributions,
    count(*) filter (where is_reaction) as reactions,
    min(occurred_at) as first_active_at,
    max(occurred_at) as last_active_at
from activity
group by
    activity_date,
    core,
    source,
    id_kind,
    id
