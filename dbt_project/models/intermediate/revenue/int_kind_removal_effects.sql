{#- States are numbered in this order: the chain starts in the first and ends in the last. -#}
{%- set kinds = ['fission', 'theme', 'daily', '(unknown)'] -%}
{%- set states = ['(start)'] + kinds + ['(order)'] -%}
{%- set last = kinds | length + 1 -%}

with

transitions as (

    select * from {{ ref('int_touch_transitions') }}

),

departures as (

    select
        from_state,
        sum(moves) as moves
    from transitions
    group by from_state

),

probabilities as (

    select
        transitions.from_state,
        transitions.to_state,
        cast(transitions.moves as double) / nullif(departures.moves, 0) as probability
    from transitions
    inner join departures on transitions.from_state = departures.from_state

),

removals as (

    select '(nothing)' as removed
    {% for kind in kinds %}
        union all
        select '{{ kind }}' as removed
    {% endfor %}

),

-- One chain a removal, its matrix as columns. Whoever comes to the removed kind is lost.
chain_0 as (

    select
        {% for row in range(last) %}
            {% for column in range(1, last + 1) %}
                coalesce(max(case
                    when
                        probabilities.from_state = '{{ states[row] }}'
                        and probabilities.to_state = '{{ states[column] }}'
                        then probabilities.probability
                end), 0.0) as p_{{ row }}_{{ column }},
            {% endfor %}
        {% endfor %}
        removals.removed
    from removals
    left join probabilities
        on removals.removed not in (probabilities.from_state, probabilities.to_state)
    group by removals.removed

),

-- Taking a state out of the chain joins its comers to its leavers and keeps every probability of
-- absorption: exact, a step a kind, whatever the number of paths.
{% for out in range(1, last) %}
    chain_{{ out }} as (

        select
            {% for row in [0] + range(out + 1, last) | list %}
                {% for column in range(out + 1, last + 1) %}
                    p_{{ row }}_{{ column }} + p_{{ row }}_{{ out }} * p_{{ out }}_{{ column }}
                    / coalesce(nullif(1.0 - p_{{ out }}_{{ out }}, 0.0), 1.0)
                        as p_{{ row }}_{{ column }},
                {% endfor %}
            {% endfor %}
            removed
        from chain_{{ loop.index0 }}

    ),
{% endfor %}

conversions as (

    select
        removed,
        p_0_{{ last }} as probability
    from chain_{{ last - 1 }}

),

effects as (

    select
        without.removed as campaign_kind,
        everything.probability as probability_of_order,
        without.probability as probability_without,
        1.0 - without.probability / nullif(everything.probability, 0.0) as removal_effect
    from conversions as without
    inner join conversions as everything on everything.removed = '(nothing)'
    where without.removed <> '(nothing)'

)

select
    campaign_kind,
    probability_of_order,
    probability_without,
    removal_effect,
    greatest(cast(round(1000000000000.0 * coalesce(removal_effect, 0.0)) as bigint), 1) as weight
from effects
