{{ config(materialized='table') }}

with

raw_members as (

    select * from {{ source('raw', 'group__members') }}

),

normalised as (

    select
        *,
        {{ normalise_phone('phone') }} as phone_number
    from raw_members

),

staged as (

    select
        source,
        member_id,
        updated_at,
        {{ tokenise('display_name') }} as display_name_token,
        {{ tokenise('phone_number') }} as phone_token,
        {{ tokenise('union_id') }} as union_id_token,
        coalesce(is_bot, false) as is_bot,
        coalesce(is_staff, false) as is_staff,
        coalesce(is_test, false) as is_test,
        coalesce(is_kol, false) as is_kol,
        erased_at,
        received_at,
        _batch_id as batch_id,
        updated_at as valid_from,
        lead(updated_at) over states as valid_to,
        row_number() over states as version
    from normalised
    window states as (
        partition by source, member_id
        order by updated_at asc nulls first, _state_sha256 asc nulls first
    )

)

select * from staged
