with

history as (

    select * from {{ ref('stg_group__scenes_history') }}

),

current_states as (

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
        batch_id
    from history
    where valid_to is null

)

select * from current_states
