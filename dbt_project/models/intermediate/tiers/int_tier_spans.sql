with

person_days as (
    select * from {{ ref('int_person_days') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

days as (
    select
        person_days.person_id,
        person_days.activity_date,
        max(case when person_days.contributions > 0 then 1 else 0 end) as contributed,
        max(case
            when person_days.contributions + person_days.reactions > 0 then 1
            else 0
        end) as engaged
    from person_days
    cross join parameters
    where person_days.activity_date <= parameters.as_of_date
    group by person_days.person_id, person_days.activity_date
),

-- An active date counts for 28 dates: it enters on its own and leaves on the 28th after it.
deltas as (
    select
        person_id,
        activity_date as change_date,
        1 as active_delta,
        contributed as contributed_delta,
        engaged as engaged_delta
    from days
    union all
    select
        person_id,
        activity_date + 28 as change_date,
        -1 as active_delta,
        -contributed as contributed_delta,
        -engaged as engaged_delta
    from days
    union all
    -- Downgrades apply on the first of a month, so every month start is a point of change.
    select
        firsts.person_id,
        month_starts.month_start as change_date,
        0 as active_delta,
        0 as contributed_delta,
        0 as engaged_delta
    from (
        select
            person_id,
            min(activity_date) as first_date
        from days
        group by person_id
    ) as firsts
    inner join (
        select distinct cast(date_trunc('month', dates.date) as date) as month_start
        from {{ ref('int_dates') }} as dates
    ) as month_starts on firsts.first_date < month_starts.month_start
),

changes as (
    select
        deltas.person_id,
        deltas.change_date,
        sum(deltas.active_delta) as active_delta,
        sum(deltas.contributed_delta) as contributed_delta,
        sum(deltas.engaged_delta) as engaged_delta
    from deltas
    cross join parameters
    where deltas.change_date <= parameters.as_of_date
    group by deltas.person_id, deltas.change_date
),

windows as (
    select
        person_id,
        change_date,
        sum(active_delta) over running as active_days,
        sum(contributed_delta) over running as contributed_days,
        sum(engaged_delta) over running as engaged_days
    from changes
    window running as (
        partition by person_id
        order by change_date asc nulls first
        rows between unbounded preceding and current row
    )
),

ranked as (
    select
        windows.person_id,
        windows.change_date,
        case
            when windows.contributed_days >= parameters.tier_core_contribution_days then 3
            when
                windows.active_days >= parameters.tier_active_days
                and windows.engaged_days >= 1
                then 2
            when windows.active_days >= 1 then 1
            else 0
        end as raw_rank
    from windows
    cross join parameters
),

-- Within a month a tier only rises; the first of the month takes that day's raw tier.
held as (
    select
        person_id,
        change_date,
        max(raw_rank) over (
            partition by person_id, date_trunc('month', change_date)
            order by change_date asc nulls first
            rows between unbounded preceding and current row
        ) as tier_rank
    from ranked
),

compared as (
    select
        person_id,
        change_date,
        tier_rank,
        lag(tier_rank) over (
            partition by person_id
            order by change_date asc nulls first
        ) as previous_rank
    from held
)

select
    person_id,
    tier_rank,
    case tier_rank
        when 3 then 'core'
        when 2 then 'active'
        when 1 then 'lurker'
        else 'dormant'
    end as tier,
    change_date as valid_from,
    lead(change_date) over (
        partition by person_id
        order by change_date asc nulls first
    ) as valid_to
from compared
where previous_rank is null or previous_rank != tier_rank
