with

raw_share_policies as (

    select * from {{ source('raw', 'commerce__share_policies') }}

),

staged as (

    select
        source,
        policy_id,
        scope,
        share_bps,
        valid_from,
        scope_id,
        received_at,
        _batch_id as batch_id
    from raw_share_policies

)

select * from staged
