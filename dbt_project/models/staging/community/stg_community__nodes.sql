with

history as (

    select * from {{ ref('stg_community__nodes_history') }}

),

current_states as (

    select
        source,
        node_id,
        updated_at,
        level,
        parent_node_id,
        name,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
