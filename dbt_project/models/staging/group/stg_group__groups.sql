with

history as (

    select * from {{ ref('stg_group__groups_history') }}

),

current_states as (

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
        batch_id
    from history
    where valid_to is null

)

select * from current_states
