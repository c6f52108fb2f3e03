with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

),

events as (

    select
        events.source,
        identities.person_id,
        events.event_id,
        events.event_type,
        events.occurred_at,
        {{ local_date('events.occurred_at', 'parameters') }} as date
    from {{ ref('stg_community__events') }} as events
    cross join parameters
    inner join identities
        on
            events.source = identities.source
            and events.account_id = identities.id
            and identities.id_kind = 'account'
    where events.event_type in ('vote', 'space_enter', 'space_exit')

),

complete_events as (

    select events.*
    from events
    cross join parameters
    where events.date <= parameters.as_of_date

),

-- The next exit of the person, by any of the person's accounts.
followed_events as (

    select
        source,
        person_id,
        event_type,
        date,
        occurred_at,
        min(case when event_type = 'space_exit' then occurred_at end) over (
            partition by source, person_id
            order by occurred_at asc nulls first, event_id asc nulls first
            rows between 1 following and unbounded following
        ) as next_exit_at
    from complete_events

),

measured as (

    select
        source,
        person_id,
        date,
        count(*) filter (where event_type = 'vote') as votes,
        count(*) filter (where event_type = 'space_enter') as visits,
        sum({{ micros_between('occurred_at', 'next_exit_at') }}) filter (
            where
            event_type = 'space_enter'
            and next_exit_at < occurred_at + interval '12' hour
        ) as visit_micros
    from followed_events
    where event_type in ('vote', 'space_enter')
    group by source, person_id, date

),

dao_groups as (

    select
        source,
        group_id
    from {{ ref('int_groups') }}
    where kind = 'dao'

),

dao_days as (

    select distinct
        identities.person_id,
        activity.activity_date
    from {{ ref('int_activity') }} as activity
    inner join dao_groups
        on activity.source = dao_groups.source and activity.group_id = dao_groups.group_id
    inner join identities
        on
            activity.source = identities.source
            and activity.id_kind = identities.id_kind
            and activity.id = identities.id
    where activity.core = 'group'

),

-- Persons are one over all sources, and the groups' platform is seldom the community's.
dual_mode as (

    select
        measured.source,
        measured.date,
        count(distinct measured.person_id) as dual_mode_persons
    from measured
    inner join dao_days
        on
            measured.person_id = dao_days.person_id
            and measured.date >= dao_days.activity_date
            and measured.date - 28 < dao_days.activity_date
    where measured.visits > 0
    group by measured.source, measured.date

),

daily as (

    select
        date,
        source,
        count(*) filter (where votes > 0) as voters,
        cast(sum(votes) as bigint) as votes,
        count(*) filter (where visits > 0) as visitors,
        coalesce(cast(sum(visit_micros) as double) / 1000000, 0) as visit_seconds
    from measured
    group by date, source

)

select
    daily.date,
    daily.source,
    daily.voters,
    daily.votes,
    daily.visitors,
    daily.visit_seconds,
    coalesce(dual_mode.dual_mode_persons, 0) as dual_mode_persons
from daily
left join dual_mode
    on daily.source = dual_mode.source and daily.date = dual_mode.date
