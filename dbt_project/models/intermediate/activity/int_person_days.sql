with

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

identities as (

    select
        source,
        id_kind,
        id,
        person_id
    from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

)

select
    identity_days.activity_date,
    identity_days.core,
    identity_days.source,
    identities.person_id,
    cast(sum(identity_days.active_events) as bigint) as active_events,
    cast(sum(identity_days.contributions) as bigint) as contributions,
    cast(sum(identity_days.reactions) as bigint) as reactions,
    min(identity_days.first_active_at) as first_active_at,
    max(identity_days.last_active_at) as last_active_at
from identity_days
inner join identities
    on
        identity_days.source = identities.source
        and identity_days.id_kind = identities.id_kind
        and identity_days.id = identities.id
group by
    identity_days.activity_date,
    identity_days.core,
    identity_days.source,
    identities.person_id
