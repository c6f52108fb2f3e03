with

raw_deliveries as (

    select * from {{ source('raw', 'group__deliveries') }}

),

staged as (

    select
        source,
        event_id,
        broadcast_id,
        group_id,
        member_id,
        status,
        occurred_at,
        received_at,
        _batch_id as batch_id
    from raw_deliveries

)

select * from staged
