with

-- A group's members are reached by a variant from the group's first exposure to it.
group_arms as (

    select
        source,
        experiment_id,
        unit_id as group_id,
        variant,
        min(occurred_at) as exposed_at,
        max(measured_until) as measured_until
    from {{ ref('int_experiment_exposures') }}
    where unit_kind = 'group' and not is_late
    group by source, experiment_id, unit_id, variant

),

memberships as (

    select
        changes.source,
        changes.group_id,
        changes.person_id,
        changes.delta,
        changes.changed_at as joined_at,
        lead(changes.changed_at) over (
            partition by changes.source, changes.group_id, changes.person_id
            order by changes.changed_at asc nulls first, changes.change_id asc nulls first
        ) as left_at
    from {{ ref('int_membership_changes') }} as changes
    inner join {{ ref('int_persons') }} as persons on changes.person_id = persons.person_id
    where persons.counts

)

select
    group_arms.source,
    group_arms.experiment_id,
    memberships.person_id,
    count(distinct group_arms.variant) as variants
from group_arms
inner join memberships
    on
        group_arms.source = memberships.source
        and group_arms.group_id = memberships.group_id
where
    memberships.delta > 0
    and memberships.joined_at < group_arms.measured_until
    and (memberships.left_at is null or memberships.left_at > group_arms.exposed_at)
group by group_arms.source, group_arms.experiment_id, memberships.person_id
