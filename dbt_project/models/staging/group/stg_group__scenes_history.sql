{{ config(materialized='table') }}

with

raw_scenes as (

    select * from {{ source('raw', 'group__scenes') }}

),

staged as (

    select
        source,
        scene_id,
        updated_at,
        group_id,
        kind,
        starts_at,
        ends_at,
        kol_member_id,
        campaign_id,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_scenes
    window states as (
        partition by source, scene_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
