{{ config(materialized=private_view()) }}

with

raw_events as (

    select * from {{ source('raw', 'community__events') }}

),

staged as (

    select
        source,
        event_id,
        account_id,
        event_type,
        occurred_at,
        content_id,
        node_id,
        target_account_id,
        impression_id,
        dwell_ms,
        {{ tokenise('query') }} as query_token,
        topic,
        platform,
        {{ tokenise('device_id') }} as device_id_token,
        campaign_id,
        assistant_session_id,
        properties,
        received_at,
        _batch_id as batch_id
    from raw_events

)

select * from staged
