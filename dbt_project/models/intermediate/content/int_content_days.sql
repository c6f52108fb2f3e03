{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': ['community/events'], 'window_after_days': 1},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

dated_events as {{ not_materialized() }} (

    select
        events.source,
        events.account_id,
        events.content_id,
        events.event_id,
        events.event_type,
        events.occurred_at,
        events.node_id is null and events.event_type <> 'impression' as is_nodeless_active,
        {{ local_date('events.occurred_at', 'parameters') }} as activity_date
    from {{ ref('stg_community__events') }} as events
    cross join parameters
    where
        events.content_id is not null
        and {{ on_dirty_dates(
            local_date('events.occurred_at', 'parameters'), 'events.occurred_at'
        ) }}

),

clicked_pairs as (

    select distinct
        source,
        account_id,
        content_id
    from dated_events
    where event_type = 'click'

),

touches as (

    select
        dated_events.source,
        dated_events.account_id,
        dated_events.content_id,
        dated_events.event_id,
        dated_events.event_type,
        dated_events.occurred_at,
        dated_events.activity_date
    from dated_events
    inner join clicked_pairs
        on
            dated_events.source = clicked_pairs.source
            and dated_events.account_id = clicked_pairs.account_id
            and dated_events.content_id = clicked_pairs.content_id
    where dated_events.event_type in ('impression', 'click')

),

{{ credited_impressions(
    'touches', ['source', 'account_id', 'content_id'], ['activity_date']
) }},

counted as (

    select
        activity_date,
        source,
        account_id,
        content_id,
        event_type,
        is_nodeless_active
    from dated_events
    union all
    select
        activity_date,
        source,
        account_id,
        content_id,
        'credit' as event_type,
        false as is_nodeless_active
    from credited_impressions

)

select
    activity_date,
    source,
    account_id,
    content_id,
    count(*) filter (where event_type = 'impression') as impressions,
    count(*) filter (where event_type = 'click') as clicks,
    count(*) filter (where event_type = 'credit') as clicks_credited,
    count(*) filter (where event_type = 'read') as reads,
    count(*) filter (where event_type = 'comment') as comments,
    count(*) filter (where event_type = 'share') as shares,
    count(*) filter (where event_type = 'collect') as collects,
    count(*) filter (where is_nodeless_active) as nodeless_active_events
from counted
group by activity_date, source, account_id, content_id
