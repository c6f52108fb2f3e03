{{ config(materialized='table') }}

with

raw_experiments as (

    select * from {{ source('raw', 'operations__experiments') }}

),

staged as (

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
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_experiments
    window states as (
        partition by source, experiment_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
