{%- set timed_logs = [
    ('community/events', 'occurred_at'),
    ('group/memberships', 'occurred_at'),
    ('group/messages', 'occurred_at'),
    ('group/deliveries', 'occurred_at'),
    ('group/consults', 'occurred_at'),
    ('group/attendance', 'occurred_at'),
    ('operations/campaign_events', 'occurred_at'),
    ('operations/exposures', 'occurred_at'),
    ('operations/assistant_requests', 'occurred_at'),
    ('commerce/orders', 'paid_at'),
    ('commerce/refunds', 'refunded_at'),
    ('commerce/subscriptions', 'occurred_at'),
    ('commerce/identity_links', 'occurred_at'),
] -%}

with

parameters as (

    select
        timezone,
        utc_offset_least,
        utc_offset_greatest,
        watermark_batch_id
    from {{ source('control', 'parameters') }}

),

replaced as (

    select
        log,
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
        select
            '{{ log }}' as log,
            new_rows.{{ time }} as touched_at
        from {{ ref('stg_' ~ log | replace('/', '__')) }} as new_rows
        cross join parameters
        where new_rows.batch_id > parameters.watermark_batch_id
        union all
    {% endfor %}
    select
        replaced.log,
        replaced.occurred_at as touched_at
    from replaced
    cross join parameters
    where replaced.batch_id > parameters.watermark_batch_id
    union all
    -- A new state may move the publication, so the dates of all states are touched.
    select
        'community/contents' as log,
        contents.published_at as touched_at
    from contents
    inner join changed_contents
        on
            contents.source = changed_contents.source
            and contents.content_id = changed_contents.content_id

),

touched_dates as (

    select
        touched_times.log,
        {{ local_date('touched_times.touched_at', 'parameters') }} as activity_date
    from touched_times
    cross join parameters
    where touched_times.touched_at is not null
    {%- for log in ['community/contents'] + timed_logs | map('first') | list %}
        union all
        select
            '{{ log }}' as log,
            activity_date
        from window_dates
    {%- endfor %}

)

select distinct
    activity_date,
    log
from touched_dates
