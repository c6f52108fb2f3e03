-- What a month closes with, the next one opens with; the months of a plan have no gap.
with

ordered as (
    select
        month,
        source,
        plan_id,
        opening_minor,
        lag(month) over (
            partition by source, plan_id
            order by month asc nulls first
        ) as previous_month,
        lag(closing_minor) over (
            partition by source, plan_id
            order by month asc nulls first
        ) as previous_closing_minor
    from {{ ref('mrr_movements') }}
)

select
    month,
    source,
    plan_id
from ordered
where
    opening_minor <> coalesce(previous_closing_minor, 0)
    or month <> cast(previous_month + interval 1 month as date)
