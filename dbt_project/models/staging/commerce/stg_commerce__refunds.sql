with

raw_refunds as (

    select * from {{ source('raw', 'commerce__refunds') }}

),

staged as (

    select
        source,
        refund_id,
        order_id,
        amount_minor,
        refunded_at,
        received_at,
        _batch_id as batch_id
    from raw_refunds

)

select * from staged
