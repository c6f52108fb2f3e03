with

persons as (

    select * from {{ ref('int_persons') }}
    where counts and not is_erased and not is_mentioned_only

),

identities as (

    select
        source,
        id,
        person_id
    from {{ ref('int_identities') }}
    where id_kind = 'account'

),

parameters as (

    select extract(year from as_of_date) as this_year from {{ source('control', 'parameters') }}

),

-- A year of birth that no living person has says nothing of the person's age.
accounts as (

    select
        accounts.source,
        accounts.account_id,
        coalesce(accounts.consent_audience, false) as consents,
        accounts.erased_at is not null as is_erased,
        case
            when parameters.this_year - accounts.birth_year between 0 and 120
                then parameters.this_year - accounts.birth_year
        end as years
    from {{ ref('stg_community__accounts') }} as accounts
    cross join parameters

),

person_accounts as (

    select
        identities.person_id,
        bool_and(accounts.consents and not accounts.is_erased) as all_consent,
        min(accounts.years) as fewest_years
    from accounts
    inner join identities
        on accounts.source = identities.source and accounts.account_id = identities.id
    group by identities.person_id

)

-- Born in a year that lies 19 back, one is 18 whatever the birthday.
select
    persons.person_id,
    coalesce(person_accounts.all_consent and person_accounts.fewest_years >= 19, false)
        as is_eligible
from persons
left join person_accounts on persons.person_id = person_accounts.person_id
