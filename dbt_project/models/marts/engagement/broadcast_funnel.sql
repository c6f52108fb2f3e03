with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member' and not is_excluded and not is_staff

),

reached as (

    select
        days.source,
        days.broadcast_id,
        days.group_id,
        identities.person_id,
        max(days.rung) as rung,
        min(days.first_click_at) as first_click_at
    from {{ ref('int_delivery_days') }} as days
    cross join parameters
    inner join identities
        on days.source = identities.source and days.member_id = identities.id
    where days.activity_date <= parameters.as_of_date
    group by days.source, days.broadcast_id, days.group_id, identities.person_id

),

rungs as (

    select
        source,
        broadcast_id,
        group_id,
        count(*) as targeted,
        count(*) filter (where rung >= 2) as sent,
        count(*) filter (where rung >= 3) as delivered,
        count(*) filter (where rung >= 4) as has_read,
        count(*) filter (where rung >= 5) as clicked
    from reached
    group by source, broadcast_id, group_id

),

conversions as (

    select
        reached.source,
        reached.broadcast_id,
        reached.group_id,
        count(distinct reached.person_id) as converted
    from reached
    inner join {{ ref('int_orders') }} as orders
        on
            reached.person_id = orders.person_id
            and reached.first_click_at <= orders.paid_at
            and reached.first_click_at + interval '72' hour > orders.paid_at
    cross join parameters
    where orders.paid_date <= parameters.as_of_date
    group by reached.source, reached.broadcast_id, reached.group_id

),

broadcasts as (

    select * from {{ ref('stg_group__broadcasts') }}

),

departures as (

    select
        reached.source,
        reached.broadcast_id,
        reached.group_id,
        count(distinct reached.person_id) as leaves_24h
    from reached
    inner join broadcasts
        on
            reached.source = broadcasts.source
            and reached.broadcast_id = broadcasts.broadcast_id
    inner join {{ ref('int_membership_changes') }} as changes
        on
            reached.source = changes.source
            and reached.group_id = changes.group_id
            and reached.person_id = changes.person_id
            and broadcasts.sent_at <= changes.changed_at
            and broadcasts.sent_at + interval '24' hour > changes.changed_at
    cross join parameters
    where changes.kind = 'leave' and changes.changed_date <= parameters.as_of_date
    group by reached.source, reached.broadcast_id, reached.group_id

),

-- A group that only deliveries name has told nothing of what it observes, so all.
observed as (

    select
        rungs.*,
        coalesce(groups.observes_delivered, true) as observes_delivered,
        coalesce(groups.observes_read, true) as observes_read,
        coalesce(groups.observes_click, true) as observes_click,
        coalesce(groups.observes_leave, true) as observes_leave
    from rungs
    left join {{ ref('int_groups') }} as groups
        on rungs.source = groups.source and rungs.group_id = groups.group_id

)

select
    observed.source,
    observed.broadcast_id,
    observed.group_id,
    observed.targeted,
    observed.sent,
    case when observed.observes_delivered then observed.delivered end as delivered,
    case when observed.observes_read then observed.has_read end as {{ adapter.quote('read') }},
    case when observed.observes_click then observed.clicked end as clicked,
    case when observed.observes_click then coalesce(conversions.converted, 0) end as converted,
    case
        when observed.observes_leave and broadcasts.broadcast_id is not null
            then coalesce(departures.leaves_24h, 0)
    end as leaves_24h
from observed
left join conversions
    on
        observed.source = conversions.source
        and observed.broadcast_id = conversions.broadcast_id
        and observed.group_id = conversions.group_id
left join departures
    on
        observed.source = departures.source
        and observed.broadcast_id = departures.broadcast_id
        and observed.group_id = departures.group_id
left join broadcasts
    on
        observed.source = broadcasts.source
        and observed.broadcast_id = broadcasts.broadcast_id
