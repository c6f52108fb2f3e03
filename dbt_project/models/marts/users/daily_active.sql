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

-- A person's date once per core and source, and once per total of either.
graded_days as (

    select
        person_days.activity_date,
        coalesce(person_days.core, 'all') as graded_core,
        coalesce(person_days.source, '*') as graded_source,
        person_days.person_id,
        max(case when person_days.contributions > 0 then 1 else 0 end) as contributed
    from person_days
    group by grouping sets (
        (
            person_days.activity_date,
            person_days.core,
            person_days.source,
            person_days.person_id
        ),
        (person_days.activity_date, person_days.core, person_days.person_id),
        (person_days.activity_date, person_days.source, person_days.person_id),
        (person_days.activity_date, person_days.person_id)
    )

),

neighbours as (

    select
        activity_date,
        graded_core as core,
        graded_source as source,
        contributed,
        lag(activity_date) over (
            partition by graded_core, graded_source, person_id
            order by activity_date asc nulls first
        ) as previous_date,
        lead(activity_date) over (
            partition by graded_core, graded_source, person_id
            order by activity_date asc nulls first
        ) as next_date
    from graded_days

),

-- An active date opens a window of N dates; the person's next one takes over, if it comes first.
windows as (

    select
        core,
        source,
        activity_date,
        contributed,
        case when previous_date is null then 1 else 0 end as is_new,
        least(activity_date + 7, coalesce(next_date, activity_date + 7)) as left_7_on,
        least(activity_date + 28, coalesce(next_date, activity_date + 28)) as left_28_on,
        least(activity_date + 30, coalesce(next_date, activity_date + 30)) as left_30_on
    from neighbours

),

deltas as (

    select
        core,
        source,
        activity_date as date,
        count(*) as entered,
        sum(contributed) as contributed,
        sum(is_new) as new_persons,
        0 as left_7,
        0 as left_28,
        0 as left_30
    from windows
    group by core, source, activity_date
    {%- for days in [7, 28, 30] %}
    union all
    select
        core,
        source,
        left_{{ days }}_on as date,
        0 as entered,
        0 as contributed,
        0 as new_persons,
        {{ 'count(*)' if days == 7 else 0 }} as left_7,
        {{ 'count(*)' if days == 28 else 0 }} as left_28,
        {{ 'count(*)' if days == 30 else 0 }} as left_30
    from windows
    group by core, source, left_{{ days }}_on
    {%- endfor %}

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
    from deltas
    group by core, source, date

),

bounds as (

    select
        core,
        source,
        min(activity_date) as first_date,
        max(activity_date) as last_date
    from windows
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
        totals.source,
        totals.first_date,
        greatest(
            coalesce(bounds.last_date, parameters.as_of_date), parameters.as_of_date
        ) as last_date
    from cores
    cross join parameters
    inner join bounds as totals on totals.core = 'all' and totals.source = '*'
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
    {%- for column, change in [('wau', 7), ('mau28', 28), ('mau30', 30)] %}
    cast(sum(daily.change_{{ change }}) over (
        partition by daily.core, daily.source
        order by daily.date asc nulls first
        rows between unbounded preceding and current row
    ) as bigint) as {{ column }},
    {%- endfor %}
    cast(daily.new_persons as bigint) as new_persons,
    daily.date <= parameters.as_of_date as is_complete
from daily
cross join parameters
