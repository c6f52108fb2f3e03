with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

groups as (

    select * from {{ ref('int_groups') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member' and not is_excluded and not is_staff

),

calendar as (

    select
        source,
        group_id,
        observes_leave,
        {{ date_spine('first_date', 'last_date') }} as date
    from groups

),

changes as (

    select
        changes.source,
        changes.group_id,
        changes.changed_date as date,
        count(*) filter (where changes.kind = 'join') as joins,
        count(*) filter (where changes.kind = 'inferred_join') as inferred_joins,
        count(*) filter (where changes.kind = 'leave') as leaves
    from {{ ref('int_membership_changes') }} as changes
    inner join {{ ref('int_persons') }} as persons on changes.person_id = persons.person_id
    where persons.counts
    group by changes.source, changes.group_id, changes.changed_date

),

member_days as (

    select
        days.activity_date as date,
        days.source,
        days.group_id,
        identities.person_id,
        days.messages,
        days.reactions,
        days.ugc_messages,
        days.unknown_origin_messages,
        case when members.is_kol then days.messages else 0 end as kol_messages
    from {{ ref('int_group_days') }} as days
    inner join identities
        on days.source = identities.source and days.member_id = identities.id
    left join {{ ref('stg_group__members') }} as members
        on days.source = members.source and days.member_id = members.member_id

),

talk as (

    select
        source,
        group_id,
        date,
        count(distinct case when messages > 0 then person_id end) as speakers,
        sum(messages) as messages,
        sum(reactions) as reactions,
        sum(kol_messages) as kol_messages,
        sum(ugc_messages) as ugc_messages,
        sum(unknown_origin_messages) as unknown_origin_messages
    from member_days
    group by source, group_id, date

),

speaker_days as (

    select distinct
        source,
        group_id,
        person_id,
        date
    from member_days
    where messages > 0

),

-- A speaking date counts for seven dates, or until the person's next one.
speaking_spans as (

    select
        source,
        group_id,
        date as entered_on,
        least(date + 7, coalesce(lead(date) over (
            partition by source, group_id, person_id
            order by date asc nulls first
        ), date + 7)) as left_on
    from speaker_days

),

speaker_deltas as (

    select
        source,
        group_id,
        entered_on as date,
        count(*) as delta
    from speaking_spans
    group by source, group_id, entered_on
    union all
    select
        source,
        group_id,
        left_on as date,
        -count(*) as delta
    from speaking_spans
    group by source, group_id, left_on

),

speaker_changes as (

    select
        source,
        group_id,
        date,
        sum(delta) as delta
    from speaker_deltas
    group by source, group_id, date

),

daily as (

    select
        calendar.date,
        calendar.source,
        calendar.group_id,
        calendar.observes_leave,
        coalesce(changes.joins, 0) as joins,
        coalesce(changes.inferred_joins, 0) as inferred_joins,
        coalesce(changes.leaves, 0) as leaves,
        coalesce(talk.speakers, 0) as speakers,
        coalesce(talk.messages, 0) as messages,
        coalesce(talk.reactions, 0) as reactions,
        coalesce(talk.kol_messages, 0) as kol_messages,
        coalesce(talk.ugc_messages, 0) as ugc_messages,
        coalesce(talk.unknown_origin_messages, 0) as unknown_origin_messages,
        sum(
            coalesce(changes.joins + changes.inferred_joins - changes.leaves, 0)
        ) over (
            partition by calendar.source, calendar.group_id
            order by calendar.date asc nulls first
            rows between unbounded preceding and current row
        ) as members_close,
        sum(coalesce(speaker_changes.delta, 0)) over (
            partition by calendar.source, calendar.group_id
            order by calendar.date asc nulls first
            rows between unbounded preceding and current row
        ) as speakers_7d
    from calendar
    left join changes
        on
            calendar.source = changes.source
            and calendar.group_id = changes.group_id
            and calendar.date = changes.date
    left join talk
        on
            calendar.source = talk.source
            and calendar.group_id = talk.group_id
            and calendar.date = talk.date
    left join speaker_changes
        on
            calendar.source = speaker_changes.source
            and calendar.group_id = speaker_changes.group_id
            and calendar.date = speaker_changes.date

)

select
    date,
    source,
    group_id,
    cast(members_close - joins - inferred_joins + leaves as bigint) as members_open,
    joins,
    inferred_joins,
    case when observes_leave then leaves end as leaves,
    cast(members_close as bigint) as members_close,
    speakers,
    cast(messages as bigint) as messages,
    cast(reactions as bigint) as reactions,
    cast(messages + reactions as bigint) as interactions,
    cast(kol_messages as bigint) as kol_messages,
    cast(ugc_messages as bigint) as ugc_messages,
    cast(unknown_origin_messages as bigint) as unknown_origin_messages,
    cast(speakers_7d as bigint) as speakers_7d,
    speakers_7d * 100 < parameters.group_silent_percent * members_close as is_silent
from daily
cross join parameters
