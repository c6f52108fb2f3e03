with

parameters as (

    select
        as_of_date,
        {{ local_midnight('as_of_date + 1', 'timezone') }} as ends_at
    from {{ source('control', 'parameters') }}

),

actions as (

    select
        source,
        campaign_id,
        count(distinct case when action = 'target' then person_id end) as targeted,
        count(distinct case when action = 'participate' then person_id end) as participants,
        count(distinct case when action = 'invite' then person_id end) as inviters,
        count(*) filter (where action = 'invite') as invites,
        count(distinct case when action = 'accept' then person_id end) as accepted
    from {{ ref('int_campaign_actions') }}
    where action in ('target', 'participate', 'invite', 'accept')
    group by source, campaign_id

),

-- Only where leaving can be seen: elsewhere nobody knows who is still there.
invited_joins as (

    select
        joins.source,
        joins.campaign_id,
        changes.group_id,
        changes.person_id,
        changes.changed_at as joined_at,
        changes.change_id,
        row_number() over (
            partition by joins.source, joins.campaign_id, changes.person_id
            order by changes.changed_at asc nulls first, changes.change_id asc nulls first
        ) as joining
    from {{ ref('stg_group__memberships') }} as joins
    inner join {{ ref('int_membership_changes') }} as changes
        on
            joins.source = changes.source
            and joins.group_id = changes.group_id
            and joins.event_id = changes.change_id
            and changes.kind = 'join'
    inner join {{ ref('int_groups') }} as groups
        on joins.source = groups.source and joins.group_id = groups.group_id
    inner join {{ ref('int_persons') }} as persons on changes.person_id = persons.person_id
    cross join parameters
    where
        joins.campaign_id is not null
        and (joins.inviter_member_id is not null or joins.via = 'invite')
        and groups.observes_leave
        and persons.counts
        and changes.changed_at + interval '168' hour <= parameters.ends_at

),

last_changes as (

    select
        invited_joins.source,
        invited_joins.campaign_id,
        invited_joins.person_id,
        changes.delta,
        row_number() over (
            partition by invited_joins.source, invited_joins.campaign_id, invited_joins.person_id
            order by changes.changed_at desc nulls last, changes.change_id desc nulls last
        ) as recency
    from invited_joins
    inner join {{ ref('int_membership_changes') }} as changes
        on
            invited_joins.source = changes.source
            and invited_joins.group_id = changes.group_id
            and invited_joins.person_id = changes.person_id
            and invited_joins.joined_at <= changes.changed_at
            and invited_joins.joined_at + interval '168' hour > changes.changed_at
    where invited_joins.joining = 1

),

joiners as (

    select
        source,
        campaign_id,
        count(*) as eligible_d7,
        count(*) filter (where delta > 0) as valid_new_d7
    from last_changes
    where recency = 1
    group by source, campaign_id

),

refunds as (

    select
        refunds.source,
        refunds.order_id,
        sum(refunds.reporting_minor) as reporting_minor
    from {{ ref('int_refunds') }} as refunds
    cross join parameters
    where refunds.refunded_date <= parameters.as_of_date
    group by refunds.source, refunds.order_id

),

sales as (

    select
        orders.source,
        orders.campaign_id,
        count(*) as orders,
        sum(orders.reporting_minor - coalesce(refunds.reporting_minor, 0)) as net_revenue_minor
    from {{ ref('int_orders') }} as orders
    cross join parameters
    left join refunds
        on orders.source = refunds.source and orders.order_id = refunds.order_id
    where
        orders.counts
        and orders.campaign_id is not null
        and orders.paid_date <= parameters.as_of_date
    group by orders.source, orders.campaign_id

),

costs as (

    select
        spend.source,
        spend.target_id as campaign_id,
        sum(
            {{ reporting_minor('spend.amount_minor', 'rates.numerator', 'rates.denominator') }}
        ) as spend_minor
    from {{ ref('stg_operations__spend') }} as spend
    cross join parameters
    left join {{ ref('int_conversion_rates') }} as rates
        on spend.currency = rates.currency and spend.spent_on = rates.on_date
    where spend.target = 'campaign' and spend.spent_on <= parameters.as_of_date
    group by spend.source, spend.target_id

),

keys as (

    select
        source,
        campaign_id
    from actions
    union distinct
    select
        source,
        campaign_id
    from joiners
    union distinct
    select
        source,
        campaign_id
    from sales
    union distinct
    select
        source,
        campaign_id
    from costs

)

select
    keys.source,
    keys.campaign_id,
    coalesce(actions.targeted, 0) as targeted,
    coalesce(actions.participants, 0) as participants,
    coalesce(actions.inviters, 0) as inviters,
    coalesce(actions.invites, 0) as invites,
    coalesce(actions.accepted, 0) as accepted,
    joiners.valid_new_d7,
    coalesce(joiners.eligible_d7, 0) as eligible_d7,
    coalesce(sales.orders, 0) as orders,
    cast(coalesce(sales.net_revenue_minor, 0) as bigint) as net_revenue_minor,
    cast(coalesce(costs.spend_minor, 0) as bigint) as spend_minor
from keys
left join actions
    on keys.source = actions.source and keys.campaign_id = actions.campaign_id
left join joiners
    on keys.source = joiners.source and keys.campaign_id = joiners.campaign_id
left join sales
    on keys.source = sales.source and keys.campaign_id = sales.campaign_id
left join costs
    on keys.source = costs.source and keys.campaign_id = costs.campaign_id
