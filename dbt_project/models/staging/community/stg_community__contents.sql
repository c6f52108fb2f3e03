with

history as (

    select * from {{ ref('stg_community__contents_history') }}

),

current_states as (

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
        is_paid,
        deleted_at,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
