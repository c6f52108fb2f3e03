with

history as (

    select * from {{ ref('stg_group__members_history') }}

),

current_states as (

    select
        source,
        member_id,
        updated_at,
        display_name_token,
        phone_token,
        union_id_token,
        is_bot,
        is_staff,
        is_test,
        is_kol,
        erased_at,
        received_at,
        batch_id
    from history
    where valid_to is null

)

select * from current_states
