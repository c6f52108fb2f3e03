with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

steps as (

    select * from {{ source('control', 'funnel_steps') }}

),

person_events as (

    select
        identities.person_id,
        events.event_kind,
        events.occurred_at
    from {{ ref('int_funnel_events') }} as events
    cross join parameters
    inner join {{ ref('int_identities') }} as identities
        on
            events.source = identities.source
            and events.id_kind = identities.id_kind
            and events.id = identities.id
    where
        not identities.is_excluded
        and not identities.is_staff
        and events.activity_date <= parameters.as_of_date

),

first_events as (

    select
        person_id,
        event_kind,
        min(occurred_at) as occurred_at
    from person_events
    group by person_id, event_kind

),

entered as (

    select
        steps.funnel,
        steps.window_days,
        first_events.person_id,
        first_events.occurred_at as entered_at,
        {{ local_date('first_events.occurred_at', 'parameters') }} as entry_date
    from first_events
    inner join steps on first_events.event_kind = steps.event_kind
    cross join parameters
    where steps.step = 1

),

entries as (

    select
        entered.funnel,
        entered.person_id,
        entered.entered_at,
        entered.entry_date,
        entered.entered_at + interval '24' hour * entered.window_days as ends_at
    from entered
    cross join parameters
    where entered.entry_date + cast(entered.window_days as integer) <= parameters.as_of_date

),

later_events as (

    select
        entries.funnel,
        entries.person_id,
        entries.entry_date,
        steps.step,
        person_events.occurred_at
    from entries
    inner join steps on entries.funnel = steps.funnel
    inner join person_events
        on
            entries.person_id = person_events.person_id
            and steps.event_kind = person_events.event_kind
            and entries.entered_at < person_events.occurred_at
            and entries.ends_at > person_events.occurred_at
    where steps.step > 1 and not steps.is_first

),

later_first_events as (

    select
        entries.funnel,
        entries.person_id,
        entries.entry_date,
        steps.step,
        first_events.occurred_at
    from entries
    inner join steps on entries.funnel = steps.funnel
    inner join first_events
        on
            entries.person_id = first_events.person_id
            and steps.event_kind = first_events.event_kind
            and entries.entered_at < first_events.occurred_at
            and entries.ends_at > first_events.occurred_at
    where steps.step > 1 and steps.is_first

)

select
    funnel,
    person_id,
    entry_date,
    cast(1 as bigint) as step,
    entered_at as occurred_at
from entries
union all
select * from later_events
union all
select * from later_first_events
