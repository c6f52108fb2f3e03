with

history as (

    select * from {{ ref('stg_community__accounts_history') }}

),

current_states as (

    select
        source,
        account_id,
        updated_at,
        registered_at,
        display_name_token,
        phone_token,
        email_token,
        union_id_token,
        birth_year,
        gender,
        region,
        acquisition_channel,
        inviter_account_id,
        is_bot,
        is_staff,
        is_test,
        consent_audience,
        erased_at,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
