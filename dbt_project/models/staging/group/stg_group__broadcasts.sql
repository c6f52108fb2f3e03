with

history as (

    select * from {{ ref('stg_group__broadcasts_history') }}

),

current_states as (

    select
        source,
        broadcast_id,
        updated_at,
        sent_at,
        campaign_id,
        content_id,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
