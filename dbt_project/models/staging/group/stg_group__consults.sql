with

raw_consults as (

    select * from {{ source('raw', 'group__consults') }}

),

staged as (

    select
        source,
        event_id,
        session_id,
        member_id,
        action,
        occurred_at,
        group_id,
        topic,
        score,
        received_at,
        _batch_id as batch_id
    from raw_consults

)

select * from staged
