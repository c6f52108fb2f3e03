with

redo_days as (

    select * from {{ ref('int_content_redo_days') }}

),

redo_pairs as (

    select distinct
        source,
        account_id,
        content_id,
        person_id
    from redo_days

),

dated_events as (

    select
        redo_pairs.person_id,
        events.source,
        events.account_id,
        events.content_id,
        events.event_id,
        events.event_type,
        events.occurred_at,
        {{ local_date('events.occurred_at', 'parameters') }} as activity_date
    from {{ ref('stg_community__events') }} as events
    inner join redo_pairs
        on
            events.source = redo_pairs.source
            and events.account_id = redo_pairs.account_id
            and events.content_id = redo_pairs.content_id
    left join {{ ref('int_contents') }} as contents
        on events.source = contents.source and events.content_id = contents.content_id
    cross join {{ source('control', 'parameters') }} as parameters
    where contents.deleted_at is null or events.occurred_at < contents.deleted_at

),

redo_events as (

    select dated_events.*
    from dated_events
    inner join redo_days
        on
            dated_events.source = redo_days.source
            and dated_events.account_id = redo_days.account_id
            and dated_events.content_id = redo_days.content_id
            and dated_events.activity_date = redo_days.activity_date

),

touches as (

    select * from redo_events
    where event_type in ('impression', 'click')

),

{{ credited_impressions(
    'touches', ['source', 'person_id', 'content_id'], ['activity_date']
) }},

counted as (

    select
        activity_date,
        source,
        person_id,
        content_id,
        event_type
    from redo_events
    union all
    select
        activity_date,
        source,
        person_id,
        content_id,
        'credit' as event_type
    from credited_impressions

)

select
    activity_date,
    source,
    person_id,
    content_id,
    count(*) filter (where event_type = 'impression') as impressions,
    count(*) filter (where event_type = 'click') as clicks,
    count(*) filter (where event_type = 'credit') as clicks_credited,
    count(*) filter (where event_type = 'read') as reads,
    count(*) filter (where event_type = 'comment') as comments,
    count(*) filter (where event_type = 'share') as shares,
    count(*) filter (where event_type = 'collect') as collects
from counted
group by activity_date, source, person_id, content_id
