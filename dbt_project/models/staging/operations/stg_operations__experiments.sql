with

history as (

    select * from {{ ref('stg_operations__experiments_history') }}

),

current_states as (

    select
        source,
        experiment_id,
        updated_at,
        unit,
        starts_at,
        variants,
        ends_at,
        hypothesis,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
