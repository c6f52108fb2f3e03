{%- set dated_logs = [
    ('community__accounts', 'registered_at'),
    ('community__events', 'occurred_at'),
    ('group__groups', 'created_at'),
    ('group__memberships', 'occurred_at'),
    ('group__messages', 'occurred_at'),
    ('group__broadcasts', 'sent_at'),
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
        utc_offset_least,
        utc_offset_greatest,
        as_of_date
    from {{ source('control', 'parameters') }}

),

bounds as (

    {% for log, time in dated_logs %}
        select
            min({{ time }}) as first_at,
            max({{ time }}) as last_at
        from {{ ref('stg_' ~ log) }}
        union all
    {% endfor %}
    select
        min(published_at) as first_at,
        max(published_at) as last_at
    from {{ ref('stg_community__contents') }}

),

log_dates as (

    select
        {{ local_date('bounds.first_at', 'parameters') }} as first_date,
        {{ local_date('bounds.last_at', 'parameters') }} as last_date
    from bounds
    cross join parameters
    union all
    select
        min(spent_on) as first_date,
        max(spent_on) as last_date
    from {{ ref('stg_operations__spend') }}
    cross join parameters
    -- Date fields have no bounds of their own; one typing error must not make a long calendar.
    where spent_on >= date '2000-01-01' and spent_on <= parameters.as_of_date
    union all
    select
        as_of_date as first_date,
        as_of_date as last_date
    from parameters

)

select
    min(first_date) as first_date,
    max(last_date) as last_date
from log_dates
