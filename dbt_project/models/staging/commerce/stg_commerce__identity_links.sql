with

raw_identity_links as (

    select * from {{ source('raw', 'commerce__identity_links') }}

),

staged as (

    select
        source,
        link_id,
        account_source,
        account_id,
        member_source,
        member_id,
        action,
        method,
        occurred_at,
        received_at,
        _batch_id as batch_id
    from raw_identity_links

)

select * from staged
