with

shared_keys as (

    select * from {{ ref('int_identity_keys') }}

)

select distinct
    key_kind,
    key_token,
    ids
from shared_keys
where is_overshared
