{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': ['group/messages']},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

dated_messages as (

    select
        {{ local_date('messages.occurred_at', 'parameters') }} as activity_date,
        {{ hour_band(
            local_hour('messages.occurred_at', 'parameters'), 'parameters'
        ) }} as hour_band,
        messages.source,
        messages.group_id,
        messages.member_id,
        messages.kind
    from {{ ref('stg_group__messages') }} as messages
    cross join parameters
    where
        messages.kind <> 'system'
        and {{ on_dirty_dates(
            local_date('messages.occurred_at', 'parameters'), 'messages.occurred_at'
        ) }}

)

select
    activity_date,
    hour_band,
    source,
    group_id,
    member_id,
    count(*) filter (where kind <> 'reaction') as messages,
    count(*) filter (where kind = 'reaction') as reactions
from dated_messages
group by
    activity_date,
    hour_band,
    source,
    group_id,
    member_id
