with

parameters as (

    select
        timezone,
        experiment_pre_days
    from {{ source('control', 'parameters') }}

),

units as (

    select
        units.source,
        units.experiment_id,
        units.unit_kind,
        units.unit_id,
        units.variant,
        units.first_exposed_at,
        units.first_exposed_date,
        units.measured_until,
        units.first_exposed_at - parameters.experiment_pre_days * interval '1' day as pre_from,
        units.first_exposed_date - cast(parameters.experiment_pre_days as integer)
            as pre_from_date,
        units.unit_kind <> 'group' and {{ local_midnight(
            'units.first_exposed_date + 8', 'parameters.timezone'
        ) }} <= units.measured_until as is_eligible_d7
    from {{ ref('int_experiment_units') }} as units
    cross join parameters
    where units.variants = 1

),

-- Both ends of a credited click lie in the window, or both before it.
touches as (

    select
        units.source,
        units.experiment_id,
        units.unit_id,
        events.kind,
        events.occurred_at >= units.first_exposed_at as is_measured
    from units
    inner join {{ ref('int_experiment_events') }} as events
        on
            units.source = events.source
            and units.unit_id = events.person_id
    where
        units.unit_kind <> 'group'
        and events.occurred_at > units.pre_from
        and events.ended_at < units.measured_until
        and (events.ended_at < units.first_exposed_at)
        = (events.occurred_at < units.first_exposed_at)

),

touched as (

    select
        source,
        experiment_id,
        unit_id,
        count(*) filter (where kind = 'impression' and is_measured) as impressions,
        count(*) filter (where kind = 'credited_click' and is_measured) as clicks_credited,
        count(*) filter (where kind = 'read' and is_measured) as reads,
        count(*) filter (where kind = 'impression' and not is_measured) as pre_impressions,
        count(*) filter (where kind = 'credited_click' and not is_measured)
            as pre_clicks_credited,
        count(*) filter (where kind = 'read' and not is_measured) as pre_reads
    from touches
    group by source, experiment_id, unit_id

),

active as (

    select
        units.source,
        units.experiment_id,
        units.unit_id,
        max(case when days.activity_date = units.first_exposed_date + 7 then 1 else 0 end)
            as retained_d7,
        count(distinct case
            when days.activity_date < units.first_exposed_date then days.activity_date
        end) as pre_active_days
    from units
    inner join {{ ref('int_person_days') }} as days
        on
            units.source = days.source
            and units.unit_id = days.person_id
    where
        units.unit_kind <> 'group'
        and days.activity_date >= units.pre_from_date
        and days.activity_date <= units.first_exposed_date + 7
    group by units.source, units.experiment_id, units.unit_id

),

orders as (

    select
        source,
        person_id as payer_id,
        group_id,
        paid_at,
        coalesce(net_reporting_minor, 0) as net_minor
    from {{ ref('int_orders') }}
    where counts

),

unit_orders as (

    select
        units.source,
        units.experiment_id,
        units.unit_id,
        orders.paid_at >= units.first_exposed_at as is_measured,
        orders.net_minor
    from units
    inner join orders
        on
            units.source = orders.source
            and units.unit_id = orders.payer_id
    where
        units.unit_kind <> 'group'
        and orders.paid_at > units.pre_from
        and orders.paid_at < units.measured_until
    union all
    select
        units.source,
        units.experiment_id,
        units.unit_id,
        orders.paid_at >= units.first_exposed_at as is_measured,
        orders.net_minor
    from units
    inner join orders
        on
            units.source = orders.source
            and units.unit_id = orders.group_id
    where
        units.unit_kind = 'group'
        and orders.paid_at > units.pre_from
        and orders.paid_at < units.measured_until

),

paid as (

    select
        source,
        experiment_id,
        unit_id,
        sum(case when is_measured then {{ wide_integer('net_minor') }} else 0 end)
            as revenue_minor,
        sum(case when is_measured then 0 else {{ wide_integer('net_minor') }} end)
            as pre_revenue_minor
    from unit_orders
    group by source, experiment_id, unit_id

),

-- A group's size when it was first exposed, which the treatment cannot have changed.
members as (

    select
        units.source,
        units.experiment_id,
        units.unit_id,
        sum(changes.delta) as members
    from units
    inner join {{ ref('int_membership_changes') }} as changes
        on
            units.source = changes.source
            and units.unit_id = changes.group_id
            and units.first_exposed_at >= changes.changed_at
    inner join {{ ref('int_persons') }} as persons on changes.person_id = persons.person_id
    where units.unit_kind = 'group' and persons.counts
    group by units.source, units.experiment_id, units.unit_id

)

select
    units.source,
    units.experiment_id,
    units.unit_kind,
    units.unit_id,
    units.variant,
    units.is_eligible_d7,
    coalesce(touched.impressions, 0) as impressions,
    coalesce(touched.clicks_credited, 0) as clicks_credited,
    coalesce(touched.reads, 0) as reads,
    coalesce(active.retained_d7, 0) as retained_d7,
    coalesce(paid.revenue_minor, 0) as revenue_minor,
    cast(coalesce(members.members, 0) as bigint) as members,
    coalesce(touched.pre_impressions, 0) as pre_impressions,
    coalesce(touched.pre_clicks_credited, 0) as pre_clicks_credited,
    coalesce(touched.pre_reads, 0) as pre_reads,
    coalesce(active.pre_active_days, 0) as pre_active_days,
    coalesce(paid.pre_revenue_minor, 0) as pre_revenue_minor
from units
left join touched
    on
        units.source = touched.source
        and units.experiment_id = touched.experiment_id
        and units.unit_id = touched.unit_id
left join active
    on
        units.source = active.source
        and units.experiment_id = active.experiment_id
        and units.unit_id = active.unit_id
left join paid
    on
        units.source = paid.source
        and units.experiment_id = paid.experiment_id
        and units.unit_id = paid.unit_id
left join members
    on
        units.source = members.source
        and units.experiment_id = members.experiment_id
        and units.unit_id = members.unit_id
