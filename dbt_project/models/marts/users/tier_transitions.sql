with

spans as (
    select * from {{ ref('int_tier_spans') }}
),

-- The last date of each month that has been reached: the month's own, or as_of_date.
months as (
    select
        cast(date_trunc('month', dates.date) as date) as month,
        max(dates.date) as last_date
    from {{ ref('dates') }} as dates
    cross join {{ source('control', 'parameters') }} as parameters
    where
        dates.date <= parameters.as_of_date
        and dates.date >= (select min(valid_from) from spans)
    group by cast(date_trunc('month', dates.date) as date)
),

month_ends as (
    select
        months.month,
        months.last_date,
        spans.person_id,
        spans.tier
    from months
    inner join spans
        on
            months.last_date >= spans.valid_from
            and (months.last_date < spans.valid_to or spans.valid_to is null)
),

moves as (
    select
        month,
        last_date,
        person_id,
        lag(tier) over (
            partition by person_id
            order by month asc nulls first
        ) as from_tier,
        tier as to_tier
    from month_ends
)

select
    month,
    from_tier,
    to_tier,
    count(*) as persons,
    last_date + 1 = cast(date_trunc('month', last_date + 1) as date) as is_complete
from moves
group by month, from_tier, to_tier, last_date
