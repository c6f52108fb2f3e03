with

group_members as (

    select * from {{ ref('int_group_members') }}

),

-- Numbers in the order of the keys make the pairs' join and count cheap.
numbered_groups as (

    select
        source,
        group_id,
        source || '/' || group_id as group_key,
        count(*) as members,
        row_number() over (
            order by source || '/' || group_id asc nulls first, source asc nulls first
        ) as group_number
    from group_members
    group by source, group_id

),

shared_persons as (

    select
        person_id,
        row_number() over (order by person_id asc nulls first) as person_number
    from group_members
    group by person_id
    having count(*) > 1

),

numbered_members as (

    select
        shared_persons.person_number,
        numbered_groups.group_number
    from group_members
    inner join numbered_groups
        on
            group_members.source = numbered_groups.source
            and group_members.group_id = numbered_groups.group_id
    inner join shared_persons on group_members.person_id = shared_persons.person_id

),

-- Person by person over that person's groups: pairs that share nobody never arise.
pairs as (

    select
        members_a.group_number as number_a,
        members_b.group_number as number_b,
        count(*) as both_groups
    from numbered_members as members_a
    inner join numbered_members as members_b
        on
            members_a.person_number = members_b.person_number
            and members_a.group_number < members_b.group_number
    group by members_a.group_number, members_b.group_number

)

select
    groups_a.group_key as group_a,
    groups_b.group_key as group_b,
    groups_a.members as members_a,
    groups_b.members as members_b,
    pairs.both_groups as {{ adapter.quote('both') }}
from pairs
inner join numbered_groups as groups_a on pairs.number_a = groups_a.group_number
inner join numbered_groups as groups_b on pairs.number_b = groups_b.group_number
