{%- set timed_logs = [
    ('community__events', 'occurred_at'),
    ('group__memberships', 'occurred_at'),
    ('group__messages', 'occurred_at'),
    ('group__deliveries', 'occurred_at'),
    ('group__consults', 'occurred_at'),
    ('group__attendance', 'occurred_at'),
    ('operations__campaign_events', 'occurred_at'),
    ('operations__exposures', 'occurred_at'),
    ('operations__assistant_requests', 'occurred_at'),
    ('commerce__orders', 'paid_at'),
    ('commerce__refunds', 'refunded_at'),
    ('commerce__subscriptions', 'occurred_at'),
    ('commerce__identity_links', 'occurred_at'),
] -%}

with

parameters as (

    select
        timezone,
        watermark_batch_id
    from {{ source('control', 'parameters') }}

),

replaced as (

    select
        occurred_at,
        batch_id
    from {{ source('control', 'replaced') }}

),

window_dates as (

    select activity_date
    from {{ source('control', 'window_dates') }}

),

contents as (

    select
        source,
        content_id,
        published_at,
        batch_id
    from {{ ref('stg_community__contents_history') }}

),

changed_contents as (

    select distinct
        contents.source,
        contents.content_id
    from contents
    cross join parameters
    where contents.batch_id > parameters.watermark_batch_id

),

touched_times as (

    {% for log, time in timed_logs %}
        select new_rows.{{ time }} as touched_at
        from {{ ref('stg_' ~ log) }} as new_rows
        cross join parameters
        where new_rows.batch_id > parameters.watermark_batch_id
        union all
    {% endfor %}
    select replaced.occurred_at as touched_at
    from replaced
    cross join parameters
    where replaced.batch_id > parameters.watermark_batch_id
    union all
    -- A new state may move the publication, so the dates of all states are touched.
    select contents.published_at as touched_at
    from contents
    inner join changed_contents
        on
            contents.source = changed_contents.source
            and contents.content_id = changed_contents.content_id

),

touched_dates as (

    select {{ local_date('touched_times.touched_at', 'parameters.timezone') }} as activity_date
    from touched_times
    cross join parameters
    where touched_times.touched_at is not null
    union all
    select activity_date from window_dates

)

select distinct activity_date
from touched_dates
