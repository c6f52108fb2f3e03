with

raw_spend as (

    select * from {{ source('raw', 'operations__spend') }}

),

staged as (

    select
        source,
        spend_id,
        spent_on,
        target,
        target_id,
        amount_minor,
        currency,
        received_at,
        _batch_id as batch_id
    from raw_spend

)

select * from staged
