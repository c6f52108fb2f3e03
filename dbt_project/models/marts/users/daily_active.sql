with

person_days as (

    select * from {{ ref('int_person_days') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}
    where as_of_date is not null

),

cores as (

    select 'community' as core
    union all
    select 'group' as core
    union all
    select 'all' as core

),

-- A person seen in one core and one source has the same dates in every total.
mixed_persons as (

    select person_id
    from person_days
    group by person_id
    having min(core) <> max(core) or min(source) <> max(source)

),

flagged_days as (

    select
        person_days.activity_date,
        person_days.core,
        person_days.source,
        person_days.person_id,
        case when person_days.contributions > 0 then 1 else 0 end as contributed,
        mixed_persons.person_id is null as stands_for_totals
    from person_days
    left join mixed_persons on person_days.person_id = mixed_persons.person_id

),

totals as (

    select
        false as over_cores,
        false as over_sources
    union all
    select
        true as over_cores,
        false as over_sources
    union all
    select
        false as over_cores,
        true as over_sources
    union all
    select
        true as over_cores,
        true as over_sources

),

-- The dates of the others once per total.
mixed_days as (

    select
        flagged_days.activity_date,
        case when totals.over_cores then 'all' else flagged_days.core end as core,
        case when totals.over_sources then '*' else flagged_days.source end as source,
        flagged_days.person_id,
        max(flagged_days.contributed) as contributed
    from flagged_days
    cross join totals
    where
        not flagged_days.stands_for_totals
        and (totals.over_cores or totals.over_sources)
    group by
        flagged_days.activity_date,
        case when totals.over_cores then 'all' else flagged_days.core end,
        case when totals.over_sources then '*' else flagged_days.source end,
        flagged_days.person_id

),

graded_days as (

    select
        activity_date,
        core,
        source,
        person_id,
        contributed,
        stands_for_totals
    from flagged_days
    union all
    select
        activity_date,
        core,
        source,
        person_id,
        contributed,
        false as stands_for_totals
    from mixed_days

),

neighbours as (

    select
        activity_date,
        core,
        source,
        contributed,
        stands_for_totals,
        lag(activity_date) over (
            partition by core, source, person_id
            order by activity_date asc nulls first
        ) as previous_date,
        lead(activity_date) over (
            partition by core, source, person_id
            order by activity_date asc nulls first
        ) as next_date
    from graded_days

),

windows as (

    select 0 as days
    union all
    select 7 as days
    union all
    select 28 as days
    union all
    select 30 as days

),

-- An active date opens windows of N dates; the person's next one takes over, if it comes first.
deltas as (

    select
        neighbours.core,
        neighbours.source,
        neighbours.stands_for_totals,
        case
            when windows.days = 0 or neighbours.next_date is null
                then neighbours.activity_date + windows.days
            else least(neighbours.activity_date + windows.days, neighbours.next_date)
        end as date,
        count(*) filter (where windows.days = 0) as entered,
        count(*) filter (
            where windows.days = 0 and neighbours.contributed = 1
        ) as contributed,
        count(*) filter (
            where windows.days = 0 and neighbours.previous_date is null
        ) as new_persons,
        count(*) filter (where windows.days = 7) as left_7,
        count(*) filter (where windows.days = 28) as left_28,
        count(*) filter (where windows.days = 30) as left_30
    from neighbours
    cross join windows
    group by
        neighbours.core,
        neighbours.source,
        neighbours.stands_for_totals,
        case
            when windows.days = 0 or neighbours.next_date is null
                then neighbours.activity_date + windows.days
            else least(neighbours.activity_date + windows.days, neighbours.next_date)
        end

),

graded_deltas as (

    select
        case when totals.over_cores then 'all' else deltas.core end as core,
        case when totals.over_sources then '*' else deltas.source end as source,
        deltas.date,
        deltas.entered,
        deltas.contributed,
        deltas.new_persons,
        deltas.left_7,
        deltas.left_28,
        deltas.left_30
    from deltas
    cross join totals
    where
        deltas.stands_for_totals
        or (not totals.over_cores and not totals.over_sources)

),

changes as (

    select
        core,
        source,
        date,
        sum(entered) as entered,
        sum(contributed) as contributed,
        sum(new_persons) as new_persons,
        sum(left_7) as left_7,
        sum(left_28) as left_28,
        sum(left_30) as left_30
    from graded_deltas
    group by core, source, date

),

bounds as (

    select
        core,
        source,
        min(date) as first_date,
        max(date) as last_date
    from changes
    where entered > 0
    group by core, source

),

-- The totals over sources have rows for every core from the first active date of any.
spans as (

    select
        bounds.core,
        bounds.source,
        bounds.first_date,
        greatest(bounds.last_date, parameters.as_of_date) as last_date
    from bounds
    cross join parameters
    where bounds.source <> '*'
    union all
    select
        cores.core,
        overall.source,
        overall.first_date,
        greatest(
            coalesce(bounds.last_date, parameters.as_of_date), parameters.as_of_date
        ) as last_date
    from cores
    cross join parameters
    inner join bounds as overall on overall.core = 'all' and overall.source = '*'
    left join bounds on cores.core = bounds.core and bounds.source = '*'

),

calendar as (

    select
        core,
        source,
        {{ date_spine('first_date', 'last_date') }} as date
    from spans

),

daily as (

    select
        calendar.date,
        calendar.core,
        calendar.source,
        coalesce(changes.entered, 0) as entered,
        coalesce(changes.contributed, 0) as contributed,
        coalesce(changes.new_persons, 0) as new_persons,
        coalesce(changes.entered - changes.left_7, 0) as change_7,
        coalesce(changes.entered - changes.left_28, 0) as change_28,
        coalesce(changes.entered - changes.left_30, 0) as change_30
    from calendar
    left join changes
        on
            calendar.core = changes.core
            and calendar.source = changes.source
            and calendar.date = changes.date

)

select
    daily.date,
    daily.core,
    daily.source,
    cast(daily.entered as bigint) as dau,
    cast(daily.contributed as bigint) as dau_contributing,
    cast(sum(daily.change_7) over (
        partition by daily.core, daily.source
        order by daily.date asc nulls first
        rows between unbounded preceding and current row
    ) as bigint) as wau,
    cast(sum(daily.change_28) over (
        partition by daily.core, daily.source
        order by daily.date asc nulls first
        rows between unbounded preceding and current row
    ) as bigint) as mau28,
    cast(sum(daily.change_30) over (
        partition by daily.core, daily.source
        order by daily.date asc nulls first
        rows between unbounded preceding and current row
    ) as bigint) as mau30,
    cast(daily.new_persons as bigint) as new_persons,
    daily.date <= parameters.as_of_date as is_complete
from daily
cross join parameters
