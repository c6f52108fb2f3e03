with

raw_attendance as (

    select * from {{ source('raw', 'group__attendance') }}

),

staged as (

    select
        source,
        event_id,
        scene_id,
        member_id,
        action,
        occurred_at,
        received_at,
        _batch_id as batch_id
    from raw_attendance

)

select * from staged
