with

records as (

    select * from {{ ref('int_id_records') }}

),

parameters as (

    select identity_max_ids from {{ source('control', 'parameters') }}

),

held_keys as (

    select
        'union_id' as key_kind,
        union_id_token as key_token,
        id_key
    from records
    where union_id_token is not null
    union all
    select
        'phone' as key_kind,
        phone_token as key_token,
        id_key
    from records
    where phone_token is not null

),

shared_keys as (

    select
        key_kind,
        key_token,
        count(*) as ids,
        min(id_key) as first_id_key
    from held_keys
    group by
        key_kind,
        key_token
    having count(*) > 1

)

select
    held_keys.key_kind,
    held_keys.key_token,
    held_keys.id_key,
    shared_keys.first_id_key,
    shared_keys.ids,
    shared_keys.ids > parameters.identity_max_ids as is_overshared
from held_keys
inner join shared_keys
    on
        held_keys.key_kind = shared_keys.key_kind
        and held_keys.key_token = shared_keys.key_token
cross join parameters
