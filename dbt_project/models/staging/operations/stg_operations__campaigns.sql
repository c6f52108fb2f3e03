with

history as (

    select * from {{ ref('stg_operations__campaigns_history') }}

),

current_states as (

    select
        source,
        campaign_id,
        updated_at,
        kind,
        starts_at,
        ends_at,
        name,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
