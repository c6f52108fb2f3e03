with

groups as (

    select * from {{ ref('int_groups') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    groups.source,
    groups.group_id,
    groups.name,
    groups.kind,
    groups.node_id,
    case when not identities.is_erased then identities.person_id end as owner_person_id,
    groups.created_at,
    {{ local_date('groups.created_at', 'parameters') }} as created_date,
    groups.closed_at,
    {{ local_date('groups.closed_at', 'parameters') }} as closed_date,
    groups.first_date,
    groups.seed_pack_id,
    groups.observes_delivered,
    groups.observes_read,
    groups.observes_click,
    groups.observes_leave,
    groups.observes_reaction,
    groups.has_record
from groups
cross join parameters
left join {{ ref('int_identities') }} as identities
    on
        groups.source = identities.source
        and groups.owner_member_id = identities.id
        and identities.id_kind = 'member'
