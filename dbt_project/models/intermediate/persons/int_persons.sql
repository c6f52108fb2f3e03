with

identities as (

    select * from {{ ref('int_identities') }}

),

accounts as (

    select * from {{ ref('stg_community__accounts') }}

),

persons as (

    select
        person_id,
        bool_or(is_excluded) as is_excluded,
        bool_or(is_staff) as is_staff,
        bool_or(is_erased) as is_erased,
        bool_and(is_mentioned_only) as is_mentioned_only
    from identities
    group by person_id

),

person_accounts as (

    select
        identities.person_id,
        accounts.acquisition_channel,
        accounts.region,
        accounts.birth_year,
        accounts.registered_at,
        row_number() over (
            partition by identities.person_id
            order by
                accounts.registered_at asc nulls last,
                accounts.source asc nulls last,
                accounts.account_id asc nulls last
        ) as oldest_first
    from accounts
    inner join identities
        on
            accounts.source = identities.source
            and accounts.account_id = identities.id
            and identities.id_kind = 'account'

),

profiles as (

    select
        person_id,
        min_by(acquisition_channel, oldest_first) filter (
            where acquisition_channel is not null
        ) as acquisition_channel,
        min_by(region, oldest_first) filter (where region is not null) as region,
        min_by(birth_year, oldest_first) filter (where birth_year is not null) as birth_year,
        min(registered_at) as first_registered_at
    from person_accounts
    group by person_id

)

select
    persons.person_id,
    persons.is_excluded,
    persons.is_staff,
    persons.is_erased,
    not persons.is_excluded and not persons.is_staff as counts,
    persons.is_mentioned_only,
    profiles.acquisition_channel,
    profiles.region,
    profiles.birth_year,
    profiles.first_registered_at
from persons
left join profiles
    on persons.person_id = profiles.person_id
