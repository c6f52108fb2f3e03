{{ config(materialized='view') }}

with

parameters as (

    select
        timezone,
        utc_offset_least,
        utc_offset_greatest
    from {{ source('control', 'parameters') }}

),

community_events as (

    select
        'community' as core,
        source,
        'community/events' as log,
        event_id,
        occurred_at,
        'account' as id_kind,
        account_id as id,
        event_type as action,
        event_type in ('comment', 'share', 'checkin', 'vote') as is_contribution,
        event_type in ('like', 'collect', 'follow') as is_reaction,
        content_id,
        node_id,
        cast(null as string) as group_id,
        batch_id
    from {{ ref('stg_community__events') }}
    where event_type != 'impression'

),

publications as (

    select
        'community' as core,
        source,
        'community/contents' as log,
        content_id as event_id,
        published_at as occurred_at,
        'account' as id_kind,
        author_account_id as id,
        'publish' as action,
        true as is_contribution,
        false as is_reaction,
        content_id,
        node_id,
        cast(null as string) as group_id,
        batch_id
    from {{ ref('stg_community__contents') }}

),

messages as (

    select
        'group' as core,
        source,
        'group/messages' as log,
        message_id as event_id,
        occurred_at,
        'member' as id_kind,
        member_id as id,
        case when kind = 'reaction' then 'reaction' else 'message' end as action,
        kind != 'reaction' as is_contribution,
        kind = 'reaction' as is_reaction,
        cast(null as string) as content_id,
        cast(null as string) as node_id,
        group_id,
        batch_id
    from {{ ref('stg_group__messages') }}
    where kind != 'system'

),

scenes as (

    select
        source,
        scene_id,
        group_id
    from {{ ref('stg_group__scenes') }}

),

attendance as (

    select
        'group' as core,
        attended.source,
        'group/attendance' as log,
        attended.event_id,
        attended.occurred_at,
        'member' as id_kind,
        attended.member_id as id,
        case when attended.action = 'submit' then 'submit' else 'attend' end as action,
        attended.action = 'submit' as is_contribution,
        false as is_reaction,
        cast(null as string) as content_id,
        cast(null as string) as node_id,
        scenes.group_id,
        attended.batch_id
    from {{ ref('stg_group__attendance') }} as attended
    left join scenes
        on
            attended.source = scenes.source
            and attended.scene_id = scenes.scene_id

),

consult_questions as (

    select
        'group' as core,
        source,
        'group/consults' as log,
        event_id,
        occurred_at,
        'member' as id_kind,
        member_id as id,
        'question' as action,
        false as is_contribution,
        false as is_reaction,
        cast(null as string) as content_id,
        cast(null as string) as node_id,
        group_id,
        batch_id
    from {{ ref('stg_group__consults') }}
    where action = 'question'

),

deliveries_opened as (

    select
        'group' as core,
        source,
        'group/deliveries' as log,
        event_id,
        occurred_at,
        'member' as id_kind,
        member_id as id,
        status as action,
        false as is_contribution,
        false as is_reaction,
        cast(null as string) as content_id,
        cast(null as string) as node_id,
        group_id,
        batch_id
    from {{ ref('stg_group__deliveries') }}
    where status in ('read', 'click')

),

active_events as (

    select * from community_events
    union all
    select * from publications
    union all
    select * from messages
    union all
    select * from attendance
    union all
    select * from consult_questions
    union all
    select * from deliveries_opened

)

select
    active_events.core,
    active_events.source,
    active_events.log,
    active_events.event_id,
    active_events.occurred_at,
    {{ local_date('active_events.occurred_at', 'parameters') }} as activity_date,
    active_events.id_kind,
    active_events.id,
    active_events.action,
    active_events.is_contribution,
    active_events.is_reaction,
    active_events.content_id,
    active_events.node_id,
    active_events.group_id,
    active_events.batch_id
from active_events
cross join parameters
