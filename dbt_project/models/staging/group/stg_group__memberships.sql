with

raw_memberships as (

    select * from {{ source('raw', 'group__memberships') }}

),

staged as (

    select
        source,
        event_id,
        group_id,
        member_id,
        action,
        occurred_at,
        role,
        inviter_member_id,
        via,
        campaign_id,
        pack_id,
        received_at,
        _batch_id as batch_id
    from raw_memberships

)

select * from staged
