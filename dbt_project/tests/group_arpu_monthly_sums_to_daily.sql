-- The groups of a month and `(none)` earn exactly what revenue.daily says.
with

allocated as (
    select
        month,
        sum(net_revenue_minor) as net_minor
    from {{ ref('group_arpu_monthly') }}
    group by month
),

total as (
    select
        cast(date_trunc('month', date) as date) as month,
        sum(net_order_minor) as net_minor
    from {{ ref('daily') }}
    group by cast(date_trunc('month', date) as date)
)

select
    total.month,
    allocated.net_minor as net_of_groups,
    total.net_minor as net_of_all
from total
full outer join allocated on total.month = allocated.month
where coalesce(allocated.net_minor, 0) <> coalesce(total.net_minor, 0)
