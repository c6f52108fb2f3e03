with

raw_exposures as (

    select * from {{ source('raw', 'operations__exposures') }}

),

staged as (

    select
        source,
        event_id,
        experiment_id,
        variant,
        unit_id,
        occurred_at,
        received_at,
        _batch_id as batch_id
    from raw_exposures

)

select * from staged
