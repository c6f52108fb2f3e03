-- active = new + returning + resurrected, and last week's active = this week's returning + dormant.
with

weeks as (
    select
        lifecycle.week_start,
        lifecycle.core,
        lifecycle.active,
        lifecycle.new_persons
        + lifecycle.{{ adapter.quote('returning') }}
        + lifecycle.resurrected as expected_active,
        lifecycle.{{ adapter.quote('returning') }} + lifecycle.dormant as expected_previous,
        lag(lifecycle.active) over (
            partition by lifecycle.core
            order by lifecycle.week_start asc nulls first
        ) as previous_active
    from {{ ref('lifecycle_weekly') }} as lifecycle
)

select
    week_start,
    core
from weeks
where active != expected_active or previous_active != expected_previous
