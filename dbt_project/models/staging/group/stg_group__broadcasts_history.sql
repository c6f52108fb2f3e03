{{ config(materialized='table') }}

with

raw_broadcasts as (

    select * from {{ source('raw', 'group__broadcasts') }}

),

staged as (

    select
        source,
        broadcast_id,
        updated_at,
        sent_at,
        campaign_id,
        content_id,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_broadcasts
    window states as (
        partition by source, broadcast_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
