-- On every date the tiers together hold each person once who was active by then.
with

tiers as (
    select
        date,
        sum(persons) as persons
    from {{ ref('tier_daily') }}
    group by date
),

first_dates as (
    select
        person_id,
        min(activity_date) as first_date
    from {{ ref('int_person_days') }}
    group by person_id
),

newcomers as (
    select
        first_date,
        count(*) as persons
    from first_dates
    group by first_date
),

expected as (
    select
        tiers.date,
        tiers.persons,
        sum(coalesce(newcomers.persons, 0)) over (
            order by tiers.date asc nulls first
            rows between unbounded preceding and current row
        ) as expected_persons
    from tiers
    left join newcomers on tiers.date = newcomers.first_date
)

select date
from expected
where persons != expected_persons
