{{ config(materialized='table') }}

with

raw_groups as (

    select * from {{ source('raw', 'group__groups') }}

),

staged as (

    select
        source,
        group_id,
        updated_at,
        created_at,
        kind,
        name,
        node_id,
        owner_member_id,
        closed_at,
        seed_pack_id,
        observes,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_groups
    window states as (
        partition by source, group_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
