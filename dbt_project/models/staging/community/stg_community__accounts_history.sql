{{ config(materialized='table') }}

with

raw_accounts as (

    select * from {{ source('raw', 'community__accounts') }}

),

normalised as (

    select
        *,
        {{ normalise_phone('phone') }} as phone_number
    from raw_accounts

),

staged as (

    select
        source,
        account_id,
        updated_at,
        registered_at,
        {{ tokenise('display_name') }} as display_name_token,
        {{ tokenise('phone_number') }} as phone_token,
        {{ tokenise('email') }} as email_token,
        {{ tokenise('union_id') }} as union_id_token,
        birth_year,
        gender,
        region,
        acquisition_channel,
        inviter_account_id,
        coalesce(is_bot, false) as is_bot,
        coalesce(is_staff, false) as is_staff,
        coalesce(is_test, false) as is_test,
        coalesce(consent_audience, false) as consent_audience,
        erased_at,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from normalised
    window states as (
        partition by source, account_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
