with

raw_orders as (

    select * from {{ source('raw', 'commerce__orders') }}

),

staged as (

    select
        source,
        order_id,
        kind,
        amount_minor,
        currency,
        paid_at,
        account_id,
        member_id,
        group_id,
        content_id,
        campaign_id,
        subscription_id,
        received_at,
        _batch_id as batch_id
    from raw_orders

)

select * from staged
