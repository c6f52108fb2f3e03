{#- y / x is the metric, u / w its covariate of the days before exposure; a mean has x = w = 1.
    Sums of whole numbers are exact in any order, where sums of doubles are not; sum_yx is the sum of y * x. -#}
{%- set metrics = [
    ('ctr', "unit_kind <> 'group'",
        'clicks_credited', 'impressions', 'pre_clicks_credited', 'pre_impressions'),
    ('reads', "unit_kind <> 'group'", 'reads', '1', 'pre_reads', '1'),
    ('retained_d7', 'is_eligible_d7', 'retained_d7', '1', 'pre_active_days', '1'),
    ('revenue', 'true', 'revenue_minor', '1', 'pre_revenue_minor', '1'),
    ('revenue_per_member', "unit_kind = 'group'",
        'revenue_minor', 'members', 'pre_revenue_minor', 'members'),
] -%}
{%- set sums = [
    'y', 'x', 'u', 'w', 'yy', 'yx', 'yu', 'yw', 'xx', 'xu', 'xw', 'uu', 'uw', 'ww',
] -%}

with

metric_values as (

    {% for metric, is_measured, y, x, u, w in metrics %}
        select
            source,
            experiment_id,
            '{{ metric }}' as metric,
            variant,
            {{ wide_integer(y) }} as y,
            {{ wide_integer(x) }} as x,
            {{ wide_integer(u) }} as u,
            {{ wide_integer(w) }} as w
        from {{ ref('int_experiment_values') }}
        where {{ is_measured }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- Beyond 10^15 a unit's square would no longer fit; its arm then has no moments.
bounded as (

    select
        source,
        experiment_id,
        metric,
        variant,
        case when abs(y) <= 1000000000000000 then y end as y,
        x,
        case when abs(u) <= 1000000000000000 then u end as u,
        w,
        abs(y) <= 1000000000000000 and abs(u) <= 1000000000000000 as is_bounded
    from metric_values

),

summed as (

    select
        source,
        experiment_id,
        metric,
        variant,
        {% for sum in sums %}
            sum({{ sum | join(' * ') }}) as sum_{{ sum }},
        {% endfor %}
        bool_and(is_bounded) as is_bounded,
        count(*) as units
    from bounded
    group by source, experiment_id, metric, variant

)

select
    summed.source,
    summed.experiment_id,
    summed.metric,
    summed.variant,
    coalesce(arms.is_control, false) as is_control,
    {% for sum in sums %}
        case when summed.is_bounded then cast(summed.sum_{{ sum }} as decimal(38, 0)) end
            as sum_{{ sum }},
    {% endfor %}
    summed.units
from summed
left join {{ ref('int_experiment_arms') }} as arms
    on
        summed.source = arms.source
        and summed.experiment_id = arms.experiment_id
        and summed.variant = arms.variant
