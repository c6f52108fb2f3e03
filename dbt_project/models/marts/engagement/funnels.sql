{#- As many steps as orchestration/funnels.py lets a funnel have. -#}
{%- set max_steps = 8 -%}

with

steps as (

    select
        funnel,
        step,
        step_kind
    from {{ source('control', 'funnel_steps') }}

),

events as (

    select * from {{ ref('int_funnel_steps') }}

),

reached_1 as (

    select
        funnel,
        person_id,
        entry_date,
        occurred_at as reached_at
    from events
    where step = 1

),

{% for step in range(2, max_steps + 1) %}
    reached_{{ step }} as (

        select
            earlier.funnel,
            earlier.person_id,
            earlier.entry_date,
            min(events.occurred_at) as reached_at
        from reached_{{ step - 1 }} as earlier
        inner join events
            on
                earlier.funnel = events.funnel
                and earlier.person_id = events.person_id
                and earlier.reached_at < events.occurred_at
        where events.step = {{ step }}
        group by earlier.funnel, earlier.person_id, earlier.entry_date

    ),

{% endfor %}
counted as (

    {%- for step in range(1, max_steps + 1) %}
        {{ 'union all' if not loop.first }}
        select
            funnel,
            entry_date,
            cast({{ step }} as bigint) as step,
            count(*) as persons
        from reached_{{ step }}
        group by funnel, entry_date
    {%- endfor %}

)

select
    entries.funnel,
    entries.entry_date,
    steps.step,
    steps.step_kind,
    coalesce(counted.persons, 0) as persons
from counted as entries
inner join steps on entries.funnel = steps.funnel
left join counted
    on
        entries.funnel = counted.funnel
        and entries.entry_date = counted.entry_date
        and steps.step = counted.step
where entries.step = 1
