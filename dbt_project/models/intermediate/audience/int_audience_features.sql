with

persons as (

    select * from {{ ref('int_audience_eligibility') }}

),

registrations as (

    select
        person_id,
        first_registered_at
    from {{ ref('int_persons') }}

),

parameters as (

    select
        as_of_date,
        timezone,
        utc_offset_least,
        utc_offset_greatest
    from {{ source('control', 'parameters') }}

),

windows as (

    select cast(30 as integer) as window_days
    union all
    select cast(90 as integer) as window_days

),

person_days as (

    select
        days.person_id,
        windows.window_days,
        count(distinct days.activity_date) as active_days,
        count(distinct days.activity_date) filter (where days.core = 'community')
            as community_days,
        count(distinct days.activity_date) filter (where days.core = 'group') as group_days,
        cast(sum(days.contributions) as bigint) as contributions,
        cast(sum(days.reactions) as bigint) as reactions
    from {{ ref('int_person_days') }} as days
    cross join parameters
    inner join windows
        on
            days.activity_date <= parameters.as_of_date
            and days.activity_date > parameters.as_of_date - windows.window_days
    group by days.person_id, windows.window_days

),

content_reads as (

    select
        contents.person_id,
        contents.topic,
        contents.channel,
        sum(contents.reads) filter (where contents.activity_date > parameters.as_of_date - 30)
            as reads_30d,
        sum(contents.reads) filter (where contents.activity_date > parameters.as_of_date - 90)
            as reads_90d
    from {{ ref('int_audience_person_contents') }} as contents
    cross join parameters
    where contents.reads > 0
    group by contents.person_id, contents.topic, contents.channel

),

contents as (

    select
        person_id,
        30 as window_days,
        topic,
        channel,
        reads_30d as reads
    from content_reads
    where reads_30d > 0
    union all
    select
        person_id,
        90 as window_days,
        topic,
        channel,
        reads_90d as reads
    from content_reads
    where reads_90d > 0

),

reads as (

    select
        person_id,
        window_days,
        cast(sum(reads) as bigint) as reads
    from contents
    group by person_id, window_days

),

topic_reads as (

    select
        person_id,
        window_days,
        topic,
        row_number() over (
            partition by person_id, window_days
            order by sum(reads) desc nulls last, topic asc nulls last
        ) as place
    from contents
    where topic is not null
    group by person_id, window_days, topic

),

channel_reads as (

    select
        person_id,
        window_days,
        channel,
        row_number() over (
            partition by person_id, window_days
            order by sum(reads) desc nulls last, channel asc nulls last
        ) as place
    from contents
    where channel is not null
    group by person_id, window_days, channel

),

orders as (

    select
        orders.person_id,
        windows.window_days,
        count(*) as orders,
        cast(sum(orders.net_reporting_minor) as bigint) as spend_minor
    from {{ ref('int_orders') }} as orders
    cross join parameters
    inner join windows
        on
            orders.paid_date <= parameters.as_of_date
            and orders.paid_date > parameters.as_of_date - windows.window_days
    where orders.counts
    group by orders.person_id, windows.window_days

),

memberships as (

    select
        person_id,
        count(*) as groups
    from {{ ref('int_group_members') }}
    group by person_id

)

select
    persons.person_id,
    cast(windows.window_days as bigint) as window_days,
    persons.is_eligible,
    case
        when registrations.first_registered_at is not null then cast(greatest(
            {{ days_between(
                local_date('registrations.first_registered_at', 'parameters'),
                'parameters.as_of_date'
            ) }},
            0
        ) as bigint)
    end as tenure_days,
    coalesce(person_days.active_days, 0) as active_days,
    coalesce(person_days.community_days, 0) as community_days,
    coalesce(person_days.group_days, 0) as group_days,
    coalesce(person_days.contributions, 0) as contributions,
    coalesce(person_days.reactions, 0) as reactions,
    coalesce(reads.reads, 0) as reads,
    coalesce(memberships.groups, 0) as groups,
    coalesce(orders.orders, 0) as orders,
    coalesce(orders.spend_minor, 0) as spend_minor,
    topic_reads.topic as top_topic,
    channel_reads.channel as top_channel
from persons
cross join windows
cross join parameters
inner join registrations on persons.person_id = registrations.person_id
left join person_days
    on
        persons.person_id = person_days.person_id
        and windows.window_days = person_days.window_days
left join reads
    on persons.person_id = reads.person_id and windows.window_days = reads.window_days
left join topic_reads
    on
        persons.person_id = topic_reads.person_id
        and windows.window_days = topic_reads.window_days
        and topic_reads.place = 1
left join channel_reads
    on
        persons.person_id = channel_reads.person_id
        and windows.window_days = channel_reads.window_days
        and channel_reads.place = 1
left join orders
    on persons.person_id = orders.person_id and windows.window_days = orders.window_days
left join memberships on persons.person_id = memberships.person_id
