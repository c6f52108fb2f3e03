with

member_days as (

    select
        source,
        group_id,
        cast(date_trunc('month', date) as date) as month,
        cast(sum(members_close) as bigint) as member_days,
        count(*) as days
    from {{ ref('group_daily') }}
    group by source, group_id, cast(date_trunc('month', date) as date)

),

earned as (

    select
        group_source as source,
        group_id,
        month,
        cast(sum(net_minor) as bigint) as net_revenue_minor,
        count(distinct person_id) as payers
    from {{ ref('int_orders_allocated') }}
    group by group_source, group_id, month

)

select
    coalesce(earned.month, member_days.month) as month,
    coalesce(earned.source, member_days.source) as source,
    coalesce(earned.group_id, member_days.group_id) as group_id,
    coalesce(earned.net_revenue_minor, 0) as net_revenue_minor,
    member_days.member_days,
    member_days.days,
    coalesce(earned.payers, 0) as payers
from earned
full outer join member_days
    on
        earned.source = member_days.source
        and earned.group_id = member_days.group_id
        and earned.month = member_days.month
