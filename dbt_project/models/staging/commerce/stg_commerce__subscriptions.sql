with

raw_subscriptions as (

    select * from {{ source('raw', 'commerce__subscriptions') }}

),

staged as (

    select
        source,
        event_id,
        subscription_id,
        plan_id,
        action,
        occurred_at,
        period_start,
        period_end,
        amount_minor,
        currency,
        account_id,
        member_id,
        group_id,
        received_at,
        _batch_id as batch_id
    from raw_subscriptions

)

select * from staged
