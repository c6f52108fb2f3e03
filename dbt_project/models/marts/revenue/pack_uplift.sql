with

arms as (

    select
        *,
        groups > 0 or is_randomised as is_observed
    from {{ ref('int_pack_arms') }}

),

inference as (

    select * from {{ ref('int_pack_inference') }}

)

select
    arms.source,
    arms.pack_id,
    arms.arm,
    arms.is_randomised,
    arms.groups,
    case
        when arms.is_observed or arms.arm = 'pack'
            then arms.pack_spend_minor + arms.group_spend_minor
    end as spend_minor,
    case when arms.is_observed then arms.new_members end as new_members,
    case when arms.is_observed then arms.members_naming_pack end as members_naming_pack,
    inference.cac,
    inference.ci_low,
    inference.ci_high,
    inference.cac_difference,
    inference.difference_ci_low,
    inference.difference_ci_high
from arms
left join inference
    on
        arms.source = inference.source
        and arms.pack_id = inference.pack_id
        and arms.arm = inference.arm
