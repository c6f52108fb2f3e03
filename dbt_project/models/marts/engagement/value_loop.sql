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
            median({{ micros_between('needed_at', 'supplied_at') }} / 3600000000.0) filter (
                where is_eligible and supplied_at is not null
            ) as double
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

bounds as (

    select
        supplied_by as source,
        topic,
        starts_at as happened_at
    from windows
    union distinct
    select
        supplied_by as source,
        topic,
        first_supplied_at as happened_at
    from windows
    union distinct
    select
        supplied_by as source,
        topic,
        ends_at as happened_at
    from windows

),

reach as (

    select
        min(happened_at) as first_at,
        max(happened_at) as last_at
    from bounds

),

reads as (

    select
        events.source,
        contents.topic,
        events.occurred_at as happened_at
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

-- Reads before a bound, counted in one sorted pass: at one instant the bound comes first.
timeline as (

    select
        source,
        topic,
        happened_at,
        0 as is_read
    from bounds
    union all
    select
        source,
        topic,
        happened_at,
        1 as is_read
    from reads

),

running as (

    select
        source,
        topic,
        happened_at,
        is_read,
        sum(is_read) over (
            partition by source, topic
            order by happened_at asc nulls first, is_read asc nulls first
            range between unbounded preceding and current row
        ) as reads_before
    from timeline

),

read_counts as (

    select
        source,
        topic,
        happened_at,
        reads_before
    from running
    where is_read = 0

),

window_reads as (

    select
        windows.week_start,
        windows.source,
        windows.topic,
        at_supply.reads_before - at_start.reads_before as reads_before_7d,
        at_end.reads_before - at_supply.reads_before as reads_after_7d
    from windows
    inner join read_counts as at_start
        on
            windows.supplied_by = at_start.source
            and windows.topic = at_start.topic
            and windows.starts_at = at_start.happened_at
    inner join read_counts as at_supply
        on
            windows.supplied_by = at_supply.source
            and windows.topic = at_supply.topic
            and windows.first_supplied_at = at_supply.happened_at
    inner join read_counts as at_end
        on
            windows.supplied_by = at_end.source
            and windows.topic = at_end.topic
            and windows.ends_at = at_end.happened_at

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
    cast(window_reads.reads_before_7d as bigint) as reads_before_7d,
    cast(window_reads.reads_after_7d as bigint) as reads_after_7d
from weeks
left join window_reads
    on
        weeks.week_start = window_reads.week_start
        and weeks.source = window_reads.source
        and weeks.topic = window_reads.topic
