{#- Logs whose records the board counts, with their time. Nothing but times is read of all their
    history; everything else is bounded by a time that the engine pushes down into the scans. -#}
{%- set logs = [
    ('stg_community__events', 'occurred_at'),
    ('stg_group__messages', 'occurred_at'),
    ('stg_group__attendance', 'occurred_at'),
    ('stg_group__consults', 'occurred_at'),
    ('stg_group__deliveries', 'occurred_at'),
    ('stg_commerce__orders', 'paid_at'),
] -%}

with

parameters as (

    select
        timezone,
        utc_offset_least,
        utc_offset_greatest,
        as_of_date,
        batch_id
    from {{ source('control', 'parameters') }}

),

-- Read from raw: a live build must see states that came after staging's histories were built.
raw_contents as (

    select * from {{ source('raw', 'community__contents') }}

),

identities as (

    select
        source,
        id_kind,
        id,
        person_id,
        not is_excluded and not is_staff as counts
    from {{ ref('int_identities') }}

),

-- A record says that a moment has passed, unless it was received before it claims to occur.
moments as (

    {% for log, time in logs %}
        select max(least({{ time }}, received_at)) as passed_at
        from {{ ref(log) }}
        union all
    {% endfor %}
    select max(least(published_at, updated_at, received_at)) as passed_at
    from raw_contents

),

newest as (

    select {{ five_minute_start('max(passed_at)') }} + interval '5' minute as ends_at
    from moments

),

board as (

    select
        ends_at,
        ends_at - interval '48' hour as starts_at
    from newest

),

contents_touched as (

    select distinct
        raw_contents.source,
        raw_contents.content_id
    from raw_contents
    inner join board
        on
            raw_contents.published_at >= board.starts_at
            and raw_contents.published_at < board.ends_at

),

content_states as (

    select
        raw_contents.source,
        raw_contents.author_account_id,
        raw_contents.published_at,
        raw_contents._batch_id as batch_id,
        row_number() over (
            partition by raw_contents.source, raw_contents.content_id
            order by
                raw_contents.updated_at desc nulls last,
                raw_contents._state_sha256 desc nulls last
        ) as newest_first
    from raw_contents
    inner join contents_touched
        on
            raw_contents.source = contents_touched.source
            and raw_contents.content_id = contents_touched.content_id

),

actions as (

    select
        core,
        source,
        occurred_at,
        id_kind,
        id,
        action = 'message' as is_message,
        batch_id
    from {{ ref('int_activity') }}
    where action != 'publish'
    union all
    select
        'community' as core,
        source,
        published_at as occurred_at,
        'account' as id_kind,
        author_account_id as id,
        false as is_message,
        batch_id
    from content_states
    where newest_first = 1

),

-- An id that the last full build did not know is an ordinary person of its own.
active_spans as (

    select
        {{ five_minute_start('actions.occurred_at') }} as five_minute_start,
        actions.source,
        actions.core,
        count(*) as events,
        count(distinct coalesce(
            identities.person_id,
            {{ id_key('actions.id_kind', 'actions.source', 'actions.id') }}
        )) as persons,
        count(*) filter (where actions.is_message) as messages,
        max(actions.batch_id) as batch_id
    from actions
    inner join board
        on actions.occurred_at >= board.starts_at and actions.occurred_at < board.ends_at
    left join identities
        on
            actions.source = identities.source
            and actions.id_kind = identities.id_kind
            and actions.id = identities.id
    where coalesce(identities.counts, true)
    group by {{ five_minute_start('actions.occurred_at') }}, actions.source, actions.core

),

paid_spans as (

    select
        {{ five_minute_start('orders.paid_at') }} as five_minute_start,
        orders.source,
        case when orders.group_id is null then 'community' else 'group' end as core,
        orders.batch_id,
        coalesce(orders.account_id, orders.member_id) as id,
        case when orders.account_id is null then 'member' else 'account' end as id_kind
    from {{ ref('stg_commerce__orders') }} as orders
    inner join board
        on orders.paid_at >= board.starts_at and orders.paid_at < board.ends_at

),

-- Sessions stay open across the board's start, so the marks before it are read too.
consult_marks as (

    select
        consults.source,
        consults.session_id,
        consults.event_id,
        consults.occurred_at,
        consults.member_id,
        consults.action,
        consults.batch_id,
        sum(case when consults.action = 'question' then 1 else 0 end) over (
            partition by consults.source, consults.session_id
            order by consults.occurred_at asc nulls first, consults.event_id asc nulls first
            rows between unbounded preceding and current row
        ) as questions
    from {{ ref('stg_group__consults') }} as consults
    inner join board
        on consults.occurred_at < board.ends_at
    where consults.action in ('question', 'close', 'reopen')

),

-- The first question opens a session; before it there is none, and a later one reopens nothing.
session_marks as (

    select
        source,
        session_id,
        occurred_at,
        batch_id,
        action != 'close' as is_open,
        lag(action != 'close', 1, false) over marks as was_open,
        first_value(member_id) over marks as asker_id
    from consult_marks
    where questions > 0 and (action != 'question' or questions = 1)
    window marks as (
        partition by source, session_id
        order by occurred_at asc nulls first, event_id asc nulls first
    )

),

session_changes as (

    select
        marks.source,
        {{ five_minute_start('greatest(marks.occurred_at, board.starts_at)') }}
            as five_minute_start,
        sum(case when marks.is_open then 1 else -1 end) as opened,
        max(marks.batch_id) as batch_id
    from session_marks as marks
    cross join board
    left join identities
        on
            marks.source = identities.source
            and marks.asker_id = identities.id
            and identities.id_kind = 'member'
    where marks.is_open != marks.was_open and coalesce(identities.counts, true)
    group by
        marks.source,
        {{ five_minute_start('greatest(marks.occurred_at, board.starts_at)') }}

),

spine as (

    select {{ five_minute_spine('starts_at', 'ends_at') }} as five_minute_start
    from board

),

session_sources as (

    select distinct source from session_changes

),

open_spans as (

    select
        spine.five_minute_start,
        session_sources.source,
        cast(sum(coalesce(changes.opened, 0)) over spans as bigint) as consults_open,
        max(changes.batch_id) over spans as batch_id
    from spine
    cross join session_sources
    left join session_changes as changes
        on
            spine.five_minute_start = changes.five_minute_start
            and session_sources.source = changes.source
    window spans as (
        partition by session_sources.source
        order by spine.five_minute_start asc nulls first
        rows between unbounded preceding and current row
    )

),

counted as (

    select
        five_minute_start,
        source,
        core,
        events,
        persons,
        messages,
        0 as consults_open,
        0 as orders,
        batch_id
    from active_spans
    union all
    select
        five_minute_start,
        source,
        'group' as core,
        0 as events,
        0 as persons,
        0 as messages,
        consults_open,
        0 as orders,
        batch_id
    from open_spans
    union all
    select
        paid_spans.five_minute_start,
        paid_spans.source,
        paid_spans.core,
        0 as events,
        0 as persons,
        0 as messages,
        0 as consults_open,
        1 as orders,
        paid_spans.batch_id
    from paid_spans
    left join identities
        on
            paid_spans.source = identities.source
            and paid_spans.id_kind = identities.id_kind
            and paid_spans.id = identities.id
    where coalesce(identities.counts, true)

),

totals as (

    select
        five_minute_start,
        source,
        core,
        cast(sum(events) as bigint) as events,
        cast(sum(persons) as bigint) as persons,
        cast(sum(messages) as bigint) as messages,
        cast(sum(consults_open) as bigint) as consults_open,
        cast(sum(orders) as bigint) as orders,
        max(batch_id) as batch_id
    from counted
    group by five_minute_start, source, core
    having sum(events) + sum(consults_open) + sum(orders) > 0

)

select
    totals.five_minute_start,
    totals.source,
    totals.core,
    totals.events,
    totals.persons,
    totals.messages,
    totals.consults_open,
    totals.orders,
    totals.five_minute_start + interval '5' minute = board.ends_at
    or coalesce(
        {{ local_date('totals.five_minute_start', 'parameters') }}
        > parameters.as_of_date,
        true
    )
    or coalesce(totals.batch_id > parameters.batch_id, false) as provisional
from totals
cross join board
cross join parameters
