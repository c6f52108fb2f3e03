{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': [
        'community/events',
        'community/contents',
        'group/memberships',
        'group/messages',
        'group/attendance',
        'group/consults',
        'group/deliveries',
        'operations/campaign_events',
        'commerce/orders',
    ]},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

-- Of an event that only opens funnels, or counts once in a life, each date's first is enough.
wanted as (

    select
        event_kind,
        bool_and(step = 1 or is_first) as is_first_enough
    from {{ source('control', 'funnel_steps') }}
    group by event_kind

),

events as (

    select
        source,
        'account' as id_kind,
        account_id as id,
        event_type as event_kind,
        occurred_at
    from {{ ref('stg_community__events') }}
    union all
    select
        source,
        'account' as id_kind,
        author_account_id as id,
        'publish' as event_kind,
        published_at as occurred_at
    from {{ ref('stg_community__contents') }}
    union all
    select
        source,
        'member' as id_kind,
        member_id as id,
        'group_join' as event_kind,
        occurred_at
    from {{ ref('stg_group__memberships') }}
    where action = 'join'
    union all
    select
        source,
        'member' as id_kind,
        member_id as id,
        case when kind = 'reaction' then 'reaction' else 'message' end as event_kind,
        occurred_at
    from {{ ref('stg_group__messages') }}
    where kind <> 'system'
    union all
    select
        source,
        'member' as id_kind,
        member_id as id,
        case when action = 'submit' then 'submit' else 'attend' end as event_kind,
        occurred_at
    from {{ ref('stg_group__attendance') }}
    where action <> 'leave'
    union all
    select
        source,
        'member' as id_kind,
        member_id as id,
        'consult_question' as event_kind,
        occurred_at
    from {{ ref('stg_group__consults') }}
    where action = 'question'
    union all
    select
        source,
        'member' as id_kind,
        member_id as id,
        'broadcast_' || status as event_kind,
        occurred_at
    from {{ ref('stg_group__deliveries') }}
    where status in ('delivered', 'read', 'click')
    union all
    select
        source,
        case when account_id is null then 'member' else 'account' end as id_kind,
        coalesce(account_id, member_id) as id,
        'campaign_' || action as event_kind,
        occurred_at
    from {{ ref('stg_operations__campaign_events') }}
    {%- for kind in ["'order'", "'order:' || kind"] %}
        union all
        select
            source,
            case when account_id is null then 'member' else 'account' end as id_kind,
            coalesce(account_id, member_id) as id,
            {{ kind }} as event_kind,
            paid_at as occurred_at
        from {{ ref('stg_commerce__orders') }}
    {%- endfor %}

),

dated_events as (

    select
        {{ local_date('events.occurred_at', 'parameters') }} as activity_date,
        events.source,
        events.id_kind,
        events.id,
        events.event_kind,
        events.occurred_at,
        case when not wanted.is_first_enough then events.occurred_at end as kept_at
    from events
    inner join wanted on events.event_kind = wanted.event_kind
    cross join parameters
    where {{ on_dirty_dates(
        local_date('events.occurred_at', 'parameters'), 'events.occurred_at'
    ) }}

)

select
    activity_date,
    source,
    id_kind,
    id,
    event_kind,
    min(occurred_at) as occurred_at
from dated_events
group by
    activity_date,
    source,
    id_kind,
    id,
    event_kind,
    kept_at
