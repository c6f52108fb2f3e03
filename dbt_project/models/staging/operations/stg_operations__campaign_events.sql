with

raw_campaign_events as (

    select * from {{ source('raw', 'operations__campaign_events') }}

),

staged as (

    select
        source,
        event_id,
        campaign_id,
        action,
        occurred_at,
        account_id,
        member_id,
        inviter_account_id,
        inviter_member_id,
        group_id,
        received_at,
        _batch_id as batch_id
    from raw_campaign_events

)

select * from staged
