with

person_days as (
    select * from {{ ref('int_person_days') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

first_joins as (
    select
        identities.person_id,
        min(memberships.occurred_at) as joined_at
    from {{ ref('stg_group__memberships') }} as memberships
    inner join {{ ref('int_identities') }} as identities
        on
            memberships.source = identities.source
            and memberships.member_id = identities.id
            and identities.id_kind = 'member'
    where memberships.action = 'join'
    group by identities.person_id
),

dated_joins as (
    select
        first_joins.person_id,
        first_joins.joined_at,
        {{ local_date('first_joins.joined_at', 'parameters') }} as joined_date
    from first_joins
    inner join {{ ref('int_persons') }} as persons
        on first_joins.person_id = persons.person_id
    cross join parameters
    where persons.counts
),

months as (
    select distinct cast(date_trunc('month', dates.date) as date) as month
    from {{ ref('dates') }} as dates
    cross join parameters
    where
        dates.date <= parameters.as_of_date
        and cast(date_trunc('month', dates.date) as date) >= (
            select cast(date_trunc('month', min(activity_date)) as date) from person_days
        )
),

active_months as (
    select
        person_days.person_id,
        cast(date_trunc('month', person_days.activity_date) as date) as month,
        max(case when person_days.core = 'community' then 1 else 0 end) as in_community,
        max(case when person_days.core = 'group' then 1 else 0 end) as in_group
    from person_days
    cross join parameters
    where person_days.activity_date <= parameters.as_of_date
    group by
        person_days.person_id,
        cast(date_trunc('month', person_days.activity_date) as date)
),

activity as (
    select
        active_months.month,
        count(*) filter (where in_community = 1 and in_group = 0) as community_only,
        count(*) filter (where in_community = 0 and in_group = 1) as group_only,
        count(*) filter (where in_community = 1 and in_group = 1) as both_cores,
        count(*) filter (
            where
            in_community = 1
            and (dated_joins.joined_date is null or dated_joins.joined_date >= active_months.month)
        ) as eligible
    from active_months
    left join dated_joins on active_months.person_id = dated_joins.person_id
    group by active_months.month
),

-- A day's first and last active instant decide the window exactly: only the day of the join and
-- the day thirty days before it can hold events on both sides of a bound.
conversions as (
    select
        cast(date_trunc('month', dated_joins.joined_date) as date) as month,
        count(distinct dated_joins.person_id) as converted
    from dated_joins
    inner join person_days
        on
            dated_joins.person_id = person_days.person_id
            and person_days.core = 'community'
            and dated_joins.joined_at >= person_days.first_active_at
            and dated_joins.joined_at < person_days.last_active_at + interval '720' hour
    cross join parameters
    where dated_joins.joined_date <= parameters.as_of_date
    group by cast(date_trunc('month', dated_joins.joined_date) as date)
)

select
    months.month,
    coalesce(activity.community_only, 0) as community_only,
    coalesce(activity.group_only, 0) as group_only,
    coalesce(activity.both_cores, 0) as {{ adapter.quote('both') }},
    coalesce(conversions.converted, 0) as converted,
    coalesce(activity.eligible, 0) as eligible
from months
left join activity on months.month = activity.month
left join conversions on months.month = conversions.month
