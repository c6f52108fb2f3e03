{{ config(materialized=private_view()) }}

with

raw_messages as (

    select * from {{ source('raw', 'group__messages') }}

),

staged as (

    select
        source,
        message_id,
        group_id,
        member_id,
        occurred_at,
        kind,
        reply_to_message_id,
        origin_declared,
        scene_id,
        topic,
        {{ tokenise('text') }} as text_token,
        text_length,
        mentions,
        received_at,
        _batch_id as batch_id
    from raw_messages

)

select * from staged
