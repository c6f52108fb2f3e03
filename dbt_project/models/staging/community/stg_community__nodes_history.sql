{{ config(materialized='table') }}

with

raw_nodes as (

    select * from {{ source('raw', 'community__nodes') }}

),

staged as (

    select
        source,
        node_id,
        updated_at,
        level,
        parent_node_id,
        name,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_nodes
    window states as (
        partition by source, node_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
