with

scenes as (

    select * from {{ ref('stg_group__scenes') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    scenes.source,
    scenes.scene_id,
    scenes.group_id,
    scenes.kind,
    scenes.starts_at,
    {{ local_date('scenes.starts_at', 'parameters') }} as start_date,
    scenes.ends_at,
    scenes.campaign_id,
    case when not identities.is_erased then identities.person_id end as kol_person_id
from scenes
cross join parameters
left join {{ ref('int_identities') }} as identities
    on
        scenes.source = identities.source
        and scenes.kol_member_id = identities.id
        and identities.id_kind = 'member'
