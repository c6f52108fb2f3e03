{{ config(materialized='table') }}

with

raw_contents as (

    select * from {{ source('raw', 'community__contents') }}

),

staged as (

    select
        source,
        content_id,
        updated_at,
        author_account_id,
        node_id,
        kind,
        published_at,
        parent_content_id,
        title,
        topic,
        origin_declared,
        origin_label,
        coalesce(is_paid, false) as is_paid,
        deleted_at,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_contents
    window states as (
        partition by source, content_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
