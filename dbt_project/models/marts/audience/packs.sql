with

packs as (

    select * from {{ source('control', 'audience_packs') }}

)

select
    pack,
    version,
    kind,
    purpose,
    population,
    created_at,
    expires_at,
    epsilon,
    delta,
    beta,
    k,
    l,
    alpha,
    t,
    spec_sha256,
    snapshot_id,
    status
from packs
