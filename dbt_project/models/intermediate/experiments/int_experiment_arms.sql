with

members as (

    select
        source,
        experiment_id,
        {{ json_object_members('variants') }} as member
    from {{ ref('stg_operations__experiments') }}

),

-- JSON may name a member twice; its first mention counts.
arms as (

    select
        members.source,
        members.experiment_id,
        members.member.name as variant,
        min(members.member.place) as place,
        min_by(members.member.value, members.member.place) as weight
    from members
    group by members.source, members.experiment_id, members.member.name

)

select
    source,
    experiment_id,
    variant,
    case when weight > 0 and weight < 1e300 then weight else 0.0 end as weight,
    row_number() over (
        partition by source, experiment_id
        order by place asc nulls first
    ) = 1 as is_control
from arms
