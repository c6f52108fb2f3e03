with

persons as (

    select
        person_id,
        count(*) as memberships
    from {{ ref('int_group_members') }}
    group by person_id

)

select
    count(*) as persons_in_1plus,
    count(*) filter (where memberships >= 2) as persons_in_2plus,
    cast(coalesce(sum(memberships), 0) as bigint) as memberships
from persons
