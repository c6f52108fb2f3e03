with

raw_assistant_requests as (

    select * from {{ source('raw', 'operations__assistant_requests') }}

),

staged as (

    select
        source,
        request_id,
        surface,
        occurred_at,
        account_id,
        member_id,
        group_id,
        latency_ms,
        outcome,
        intent,
        received_at,
        _batch_id as batch_id
    from raw_assistant_requests

)

select * from staged
