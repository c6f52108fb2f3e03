with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

needs as (

    select
        *,
        cast(date_trunc('week', need_date) as date) as week_start
    from {{ ref('int_topic_needs') }}

),

weeks as (

    select
        week_start,
        source,
        topic,
        count(*) as needs,
        count(*) filter (where is_eligible) as eligible_14d,
        count(supplied_at) filter (where is_eligible) as supplied,
        cast(
            median(
                cast({{ micros_between('needed_at', 'supplied_at') }} as double)
                / cast(3600000000 as double)
            ) filter (where is_eligible and supplied_at is not null) as double
        ) as median_lag_hours,
        min(supplied_at) filter (where is_eligible) as first_supplied_at
    from needs
    group by week_start, source, topic

),

first_supplies as (

    select
        weeks.week_start,
        weeks.source,
        weeks.topic,
        weeks.first_supplied_at,
        min(needs.supplied_by) as supplied_by
    from weeks
    inner join needs
        on
            weeks.week_start = needs.week_start
            and weeks.source = needs.source
            and weeks.topic = needs.topic
            and weeks.first_supplied_at = needs.supplied_at
    where needs.is_eligible
    group by weeks.week_start, weeks.source, weeks.topic, weeks.first_supplied_at

),

-- Both sides or neither, so that their sums over rows compare.
windows as (

    select
        first_supplies.*,
        first_supplies.first_supplied_at
        - interval '24' hour * parameters.loop_reads_days as starts_at,
        first_supplies.first_supplied_at
        + interval '24' hour * parameters.loop_reads_days as ends_at
    from first_supplies
    cross join parameters
    where
        first_supplies.first_supplied_at + interval '24' hour * parameters.loop_reads_days
        <= {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}

),

reach as (

    select
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from windows

),

reads as (

    select
        events.source,
        contents.topic,
        events.occurred_at
    from {{ ref('stg_community__events') }} as events
    cross join reach
    inner join {{ ref('int_contents') }} as contents
        on events.source = contents.source and events.content_id = contents.content_id
    inner join {{ ref('int_identities') }} as readers
        on
            events.source = readers.source
            and events.account_id = readers.id
            and readers.id_kind = 'account'
    where
        events.event_type = 'read'
        and events.occurred_at >= reach.first_at
        and events.occurred_at < reach.last_at
        and contents.topic is not null
        and (contents.deleted_at is null or contents.deleted_at > events.occurred_at)
        and not readers.is_excluded
        and not readers.is_staff

),

-- Rows often share their first supply; each is counted once.
distinct_windows as (

    select
        supplied_by,
        topic,
        starts_at,
        first_supplied_at,
        ends_at
    from windows
    group by supplied_by, topic, starts_at, first_supplied_at, ends_at

),

window_reads as (

    select
        distinct_windows.supplied_by,
        distinct_windows.topic,
        distinct_windows.first_supplied_at,
        count(*) filter (
            where reads.occurred_at < distinct_windows.first_supplied_at
        ) as reads_before_7d,
        count(*) filter (
            where reads.occurred_at >= distinct_windows.first_supplied_at
        ) as reads_after_7d
    from reads
    inner join distinct_windows
        on
            reads.source = distinct_windows.supplied_by
            and reads.topic = distinct_windows.topic
            and reads.occurred_at >= distinct_windows.starts_at
            and reads.occurred_at < distinct_windows.ends_at
    group by
        distinct_windows.supplied_by,
        distinct_windows.topic,
        distinct_windows.first_supplied_at

),

observed as (

    select
        windows.week_start,
        windows.source,
        windows.topic,
        coalesce(window_reads.reads_before_7d, 0) as reads_before_7d,
        coalesce(window_reads.reads_after_7d, 0) as reads_after_7d
    from windows
    left join window_reads
        on
            windows.supplied_by = window_reads.supplied_by
            and windows.topic = window_reads.topic
            and windows.first_supplied_at = window_reads.first_supplied_at

)

select
    weeks.week_start,
    weeks.source,
    weeks.topic,
    weeks.needs,
    weeks.eligible_14d,
    case when weeks.eligible_14d > 0 then weeks.supplied end as supplied,
    weeks.median_lag_hours,
    weeks.first_supplied_at,
    observed.reads_before_7d,
    observed.reads_after_7d
from weeks
left join observed
    on
        weeks.week_start = observed.week_start
        and weeks.source = observed.source
        and weeks.topic = observed.topic
