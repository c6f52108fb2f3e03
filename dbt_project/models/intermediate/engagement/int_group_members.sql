with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

-- The groups with a group_daily row on as_of_date.
open_groups as (

    select
        groups.source,
        groups.group_id
    from {{ ref('int_groups') }} as groups
    cross join parameters
    where
        groups.first_date <= parameters.as_of_date
        and groups.last_date = parameters.as_of_date

)

select
    changes.source,
    changes.group_id,
    changes.person_id
from {{ ref('int_membership_changes') }} as changes
inner join open_groups
    on changes.source = open_groups.source and changes.group_id = open_groups.group_id
inner join {{ ref('int_persons') }} as persons on changes.person_id = persons.person_id
cross join parameters
where persons.counts and changes.changed_date <= parameters.as_of_date
group by changes.source, changes.group_id, changes.person_id
having sum(changes.delta) > 0
