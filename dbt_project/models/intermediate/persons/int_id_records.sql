with

accounts as (

    select
        source,
        'account' as id_kind,
        account_id as id,
        union_id_token,
        phone_token,
        is_bot,
        is_test,
        is_staff,
        erased_at,
        acquisition_channel,
        region,
        birth_year,
        registered_at
    from {{ ref('stg_community__accounts') }}

),

members as (

    select
        source,
        'member' as id_kind,
        member_id as id,
        union_id_token,
        phone_token,
        is_bot,
        is_test,
        is_staff,
        erased_at,
        cast(null as string) as acquisition_channel,
        cast(null as string) as region,
        cast(null as bigint) as birth_year,
        cast(null as timestamp) as registered_at
    from {{ ref('stg_group__members') }}

),

records as (

    select * from accounts
    union all
    select * from members

)

select
    {{ id_key('id_kind', 'source', 'id') }} as id_key,
    records.*
from records
