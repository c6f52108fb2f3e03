{{ config(materialized='table') }}

with

raw_campaigns as (

    select * from {{ source('raw', 'operations__campaigns') }}

),

staged as (

    select
        source,
        campaign_id,
        updated_at,
        kind,
        starts_at,
        ends_at,
        name,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from raw_campaigns
    window states as (
        partition by source, campaign_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
