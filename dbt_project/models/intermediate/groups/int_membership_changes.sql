with

groups as (

    select * from {{ ref('int_groups') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member'

),

memberships as (

    select
        memberships.source,
        memberships.group_id,
        identities.person_id,
        memberships.event_id,
        memberships.action,
        memberships.role,
        memberships.occurred_at
    from {{ ref('stg_group__memberships') }} as memberships
    inner join identities
        on memberships.source = identities.source and memberships.member_id = identities.id

),

joiners as (

    select distinct
        source,
        group_id,
        person_id
    from memberships
    where action = 'join'

),

-- An owner's sighting by the group's creation has no record of its own and comes first.
sightings as (

    select
        days.source,
        days.group_id,
        identities.person_id,
        days.first_seen_at as changed_at,
        days.first_seen_id as change_id
    from {{ ref('int_group_days') }} as days
    inner join identities
        on days.source = identities.source and days.member_id = identities.id
    where days.first_seen_at is not null
    union all
    select
        groups.source,
        groups.group_id,
        identities.person_id,
        groups.created_at as changed_at,
        '' as change_id
    from groups
    inner join identities
        on groups.source = identities.source and groups.owner_member_id = identities.id
    union all
    select
        source,
        group_id,
        person_id,
        occurred_at as changed_at,
        event_id as change_id
    from memberships
    where action = 'role' and role = 'owner'

),

ranked_sightings as (

    select
        sightings.source,
        sightings.group_id,
        sightings.person_id,
        sightings.changed_at,
        sightings.change_id,
        row_number() over (
            partition by sightings.source, sightings.group_id, sightings.person_id
            order by sightings.changed_at asc nulls first, sightings.change_id asc nulls first
        ) as sighting
    from sightings
    left join joiners
        on
            sightings.source = joiners.source
            and sightings.group_id = joiners.group_id
            and sightings.person_id = joiners.person_id
    where joiners.person_id is null

),

steps as (

    select
        source,
        group_id,
        person_id,
        changed_at,
        change_id,
        'inferred_join' as kind
    from ranked_sightings
    where sighting = 1
    union all
    select
        memberships.source,
        memberships.group_id,
        memberships.person_id,
        memberships.occurred_at as changed_at,
        memberships.event_id as change_id,
        memberships.action as kind
    from memberships
    inner join groups
        on memberships.source = groups.source and memberships.group_id = groups.group_id
    where
        memberships.action = 'join'
        or (memberships.action = 'leave' and groups.observes_leave)

),

-- After any join the person is in, after any leave out: the step before says whether one changes.
neighbours as (

    select
        source,
        group_id,
        person_id,
        changed_at,
        change_id,
        kind,
        coalesce(lag(kind) over (
            partition by source, group_id, person_id
            order by changed_at asc nulls first, change_id asc nulls first
        ), 'leave') as kind_before
    from steps

)

select
    neighbours.source,
    neighbours.group_id,
    neighbours.person_id,
    neighbours.changed_at,
    neighbours.change_id,
    {{ local_date('neighbours.changed_at', 'parameters') }} as changed_date,
    neighbours.kind,
    cast(case when neighbours.kind = 'leave' then -1 else 1 end as bigint) as delta
from neighbours
cross join {{ source('control', 'parameters') }} as parameters
where (neighbours.kind = 'leave') <> (neighbours.kind_before = 'leave')
