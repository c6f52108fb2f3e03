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
        messages.source,
        messages.group_id,
        messages.member_id,
        messages.message_id,
        messages.occurred_at,
        messages.kind,
        {{ origin('messages.origin_declared') }} as origin,
        {{ local_date('messages.occurred_at', 'parameters') }} as activity_date
    from {{ ref('stg_group__messages') }} as messages
    cross join parameters
    where {{ on_dirty_dates(
        local_date('messages.occurred_at', 'parameters'), 'messages.occurred_at'
    ) }}

),

counted as (

    select
        activity_date,
        source,
        group_id,
        member_id,
        count(*) filter (where kind not in ('reaction', 'system')) as messages,
        count(*) filter (where kind = 'reaction') as reactions,
        count(*) filter (where kind = 'system') as system_messages,
        count(*) filter (
            where kind not in ('reaction', 'system') and origin = 'ugc'
        ) as ugc_messages,
        count(*) filter (
            where kind not in ('reaction', 'system') and origin = 'unknown'
        ) as unknown_origin_messages,
        min(occurred_at) filter (where kind <> 'system') as first_seen_at
    from dated_messages
    group by activity_date, source, group_id, member_id

),

first_ids as (

    select
        counted.activity_date,
        counted.source,
        counted.group_id,
        counted.member_id,
        min(dated_messages.message_id) as first_seen_id
    from counted
    inner join dated_messages
        on
            counted.source = dated_messages.source
            and counted.group_id = dated_messages.group_id
            and counted.member_id = dated_messages.member_id
            and counted.first_seen_at = dated_messages.occurred_at
    where dated_messages.kind <> 'system'
    group by
        counted.activity_date,
        counted.source,
        counted.group_id,
        counted.member_id

)

select
    counted.activity_date,
    counted.source,
    counted.group_id,
    counted.member_id,
    counted.messages,
    counted.reactions,
    counted.system_messages,
    counted.ugc_messages,
    counted.unknown_origin_messages,
    counted.first_seen_at,
    first_ids.first_seen_id
from counted
left join first_ids
    on
        counted.activity_date = first_ids.activity_date
        and counted.source = first_ids.source
        and counted.group_id = first_ids.group_id
        and counted.member_id = first_ids.member_id
