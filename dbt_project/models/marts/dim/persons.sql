with

persons as (

    select *
    from {{ ref('int_persons') }}
    where not is_excluded and not is_erased and not is_mentioned_only

),

identities as (

    select
        source,
        id_kind,
        id,
        person_id
    from {{ ref('int_identities') }}

),

identity_days as (

    select
        activity_date,
        core,
        source,
        id_kind,
        id
    from {{ ref('int_identity_days') }}

),

parameters as (

    select as_of_date from {{ source('control', 'parameters') }}

),

first_dates as (

    select
        identities.person_id,
        min(identity_days.activity_date) as first_active_date,
        min(identity_days.activity_date) filter (
            where identity_days.core = 'community'
        ) as community_first_date,
        min(identity_days.activity_date) filter (
            where identity_days.core = 'group'
        ) as group_first_date
    from identity_days
    cross join parameters
    inner join identities
        on
            identity_days.source = identities.source
            and identity_days.id_kind = identities.id_kind
            and identity_days.id = identities.id
    where identity_days.activity_date <= parameters.as_of_date
    group by identities.person_id

),

aged_persons as (

    select
        persons.*,
        extract(year from parameters.as_of_date) - persons.birth_year as age
    from persons
    cross join parameters

)

select
    aged_persons.person_id,
    first_dates.first_active_date,
    first_dates.community_first_date,
    first_dates.group_first_date,
    aged_persons.acquisition_channel,
    aged_persons.region,
    case
        when aged_persons.age is null then null
        when aged_persons.age < 0 or aged_persons.age > 120 then null
        when aged_persons.age < 18 then 'under_18'
        when aged_persons.age < 25 then '18_24'
        when aged_persons.age < 35 then '25_34'
        when aged_persons.age < 45 then '35_44'
        when aged_persons.age < 55 then '45_54'
        else '55_plus'
    end as age_band,
    aged_persons.is_staff
from aged_persons
left join first_dates
    on aged_persons.person_id = first_dates.person_id
