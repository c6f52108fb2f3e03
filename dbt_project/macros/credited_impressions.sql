{#- The CTE `credited_impressions`: one row per impression that a click is credited to.

    relation: impressions and clicks (event_id, event_type, occurred_at, the key, the kept columns).
    key: the columns whose events may match, a person and a content. keep: columns of the
    impression to carry along, beside shown_at and clicked_at.

    Clicks in order each take the last unclicked impression at most 30 minutes before. That is a
    stack: a click that finds an expired top finds nothing but expired ones, so popping it changes
    no later match. Hence clicks close impressions as brackets do, and pairs more than 30 minutes
    apart are dropped: no recursion, two windows. At one instant impressions come first. -#}
{% macro credited_impressions(relation, key, keep) -%}
    {%- set carried = key + keep -%}
touch_levels as (

    select
        {{ carried | join(',\n        ') }},
        event_id,
        event_type,
        occurred_at,
        case when event_type = 'click' then 1 else 0 end
        + sum(case when event_type = 'click' then -1 else 1 end) over (
            partition by {{ key | join(', ') }}
            order by
                occurred_at asc nulls first,
                case when event_type = 'click' then 1 else 0 end asc nulls first,
                event_id asc nulls first
            rows between unbounded preceding and current row
        ) as level
    from {{ relation }}

),

touch_pairs as (

    select
        {{ carried | join(',\n        ') }},
        event_type,
        occurred_at,
        lead(occurred_at) over (
            partition by {{ key | join(', ') }}, level
            order by
                occurred_at asc nulls first,
                case when event_type = 'click' then 1 else 0 end asc nulls first,
                event_id asc nulls first
        ) as closed_at
    from touch_levels

),

credited_impressions as (

    select
        {{ carried | join(',\n        ') }},
        occurred_at as shown_at,
        closed_at as clicked_at
    from touch_pairs
    where
        event_type = 'impression'
        and closed_at <= occurred_at + interval 30 minute

)
{%- endmacro %}
