with

raw_fx_rates as (

    select * from {{ source('raw', 'commerce__fx_rates') }}

),

staged as (

    select
        source,
        rate_id,
        rate_date,
        currency,
        try_cast(rate as decimal(38, 18)) as rate,
        received_at,
        _batch_id as batch_id
    from raw_fx_rates

)

select * from staged
