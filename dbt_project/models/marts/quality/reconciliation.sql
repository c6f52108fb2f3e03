with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

files as (

    select
        log,
        cast(coalesce(sum(lines_read), 0) as bigint) as lines_read,
        cast(coalesce(sum(rejected + duplicates), 0) as bigint) as not_taken
    from {{ source('control', 'files') }}
    group by log

),

raw_counts as (

    {% call(log, table, key, time, is_entity) union_logs() -%}
    select
        '{{ log }}' as log,
        count(*) as in_raw
    from {{ source('raw', table) }}
    {%- endcall %}

),

key_counts as (

    {% call(log, table, key, time, is_entity) union_logs() -%}
    select
        '{{ log }}' as log,
        {{ 'count(distinct (source, ' ~ key ~ '))' if is_entity else 'count(*)' }} as keys
    from {{ source('raw', table) }}
    {%- endcall %}

),

staged_counts as (

    {% call(log, table, key, time, is_entity) union_logs() -%}
    select
        '{{ log }}' as log,
        count(*) as in_staging
    from {{ ref('stg_' ~ table) }}
    {%- endcall %}

),

logs as (

    select
        raw_counts.log,
        replace(raw_counts.log, '/', '__') as table_name,
        coalesce(files.lines_read, 0) as lines_read,
        coalesce(files.not_taken, 0) as not_in_raw,
        raw_counts.in_raw,
        raw_counts.in_raw - key_counts.keys as superseded,
        staged_counts.in_staging
    from raw_counts
    inner join key_counts on raw_counts.log = key_counts.log
    inner join staged_counts on raw_counts.log = staged_counts.log
    left join files on raw_counts.log = files.log

),

inactive as (

    select count(*) as events
    from {{ ref('stg_community__events') }}
    where event_type = 'impression'
    union all
    select count(*) as events
    from {{ ref('stg_group__messages') }}
    where kind = 'system'
    union all
    select count(*) as events
    from {{ ref('stg_group__consults') }}
    where action <> 'question'
    union all
    select count(*) as events
    from {{ ref('stg_group__deliveries') }}
    where status not in ('read', 'click')

),

activity as (

    select count(*) as events
    from {{ ref('int_activity') }}

),

identity_days as (

    select
        coalesce(sum(days.active_events), 0) as events,
        coalesce(sum(
            case when identities.is_excluded or identities.is_staff then days.active_events end
        ), 0) as events_left_out
    from {{ ref('int_identity_days') }} as days
    left join {{ ref('int_identities') }} as identities
        on
            days.source = identities.source
            and days.id_kind = identities.id_kind
            and days.id = identities.id

),

person_days as (

    select
        coalesce(sum(active_events), 0) as events,
        count(*) as person_dates
    from {{ ref('int_person_days') }}

),

daily_active as (

    select coalesce(sum(dau), 0) as person_dates
    from {{ ref('daily_active') }}
    where core <> 'all' and source <> '*'

),

orders as (

    select
        count(*) as orders,
        count(*) filter (where not orders.counts) as left_out,
        count(*) filter (where orders.counts and orders.paid_date > parameters.as_of_date) as late,
        count(*) filter (where orders.reporting_minor is not null) as converted,
        count(*) filter (where rates.currency is null) as without_rate,
        coalesce(sum(case when orders.counts then orders.reporting_minor end), 0) as counted_minor,
        coalesce(sum(
            case
                when orders.counts and orders.paid_date > parameters.as_of_date
                    then orders.reporting_minor
            end
        ), 0) as late_minor
    from {{ ref('int_orders') }} as orders
    cross join parameters
    left join {{ ref('int_conversion_rates') }} as rates
        on orders.currency = rates.currency and orders.paid_date = rates.on_date

),

refunds as (

    select
        count(*) as refunds,
        coalesce(sum(case when orders.counts then refunds.reporting_minor end), 0)
            as counted_minor,
        coalesce(sum(
            case
                when orders.counts and refunds.refunded_date > parameters.as_of_date
                    then refunds.reporting_minor
            end
        ), 0) as late_minor
    from {{ ref('int_refunds') }} as refunds
    inner join {{ ref('int_orders') }} as orders
        on refunds.source = orders.source and refunds.order_id = orders.order_id
    cross join parameters

),

unknown_refunds as (

    select count(*) as refunds
    from {{ ref('stg_commerce__refunds') }} as refunds
    left join {{ ref('stg_commerce__orders') }} as orders
        on refunds.source = orders.source and refunds.order_id = orders.order_id
    where orders.order_id is null

),

revenue as (

    select
        coalesce(sum(orders), 0) as orders,
        coalesce(sum(gmv_minor), 0) as gmv_minor,
        coalesce(sum(refunds_cash_minor), 0) as refunds_cash_minor
    from {{ ref('daily') }}

),

group_days as (

    select
        coalesce(sum(days.messages + days.reactions + days.system_messages), 0) as records,
        coalesce(sum(days.messages + days.reactions), 0) as interactions,
        coalesce(sum(
            case
                when
                    identities.is_excluded
                    or identities.is_staff
                    or days.activity_date > groups.last_date
                    then days.messages + days.reactions
            end
        ), 0) as interactions_left_out
    from {{ ref('int_group_days') }} as days
    inner join {{ ref('int_groups') }} as groups
        on days.source = groups.source and days.group_id = groups.group_id
    left join {{ ref('int_identities') }} as identities
        on
            days.source = identities.source
            and days.member_id = identities.id
            and identities.id_kind = 'member'

),

group_daily as (

    select coalesce(sum(interactions), 0) as interactions
    from {{ ref('group_daily') }}

),

pairs as (

    select
        'landing/' || log as stage_from,
        'raw.' || table_name as stage_to,
        lines_read as rows_in,
        in_raw as rows_out,
        not_in_raw as explained,
        'lines rejected or duplicate' as explained_by
    from logs
    union all
    select
        'raw.' || table_name as stage_from,
        'staging.stg_' || table_name as stage_to,
        in_raw as rows_in,
        in_staging as rows_out,
        superseded as explained,
        'states that are not the current one' as explained_by
    from logs
    union all
    select
        'staging' as stage_from,
        'intermediate.int_activity' as stage_to,
        (
            select sum(in_staging) from logs
            where log in (
                'community/events', 'community/contents', 'group/messages', 'group/attendance',
                'group/consults', 'group/deliveries'
            )
        ) as rows_in,
        (select events from activity) as rows_out,
        (select sum(events) from inactive) as explained,
        'impressions, system messages, consults but questions, deliveries not opened'
            as explained_by
    union all
    select
        'intermediate.int_activity' as stage_from,
        'intermediate.int_identity_days' as stage_to,
        (select events from activity) as rows_in,
        (select events from identity_days) as rows_out,
        0 as explained,
        'nothing' as explained_by
    union all
    select
        'intermediate.int_identity_days' as stage_from,
        'intermediate.int_person_days' as stage_to,
        (select events from identity_days) as rows_in,
        (select events from person_days) as rows_out,
        (select events_left_out from identity_days) as explained,
        'events of bot, test and staff persons' as explained_by
    union all
    select
        'intermediate.int_person_days' as stage_from,
        'users.daily_active' as stage_to,
        (select person_dates from person_days) as rows_in,
        (select person_dates from daily_active) as rows_out,
        0 as explained,
        'nothing' as explained_by
    union all
    select
        'staging.stg_commerce__orders' as stage_from,
        'intermediate.int_orders' as stage_to,
        (select in_staging from logs where log = 'commerce/orders') as rows_in,
        (select orders from orders) as rows_out,
        0 as explained,
        'nothing' as explained_by
    union all
    select
        'intermediate.int_orders' as stage_from,
        'intermediate.int_orders.reporting_minor' as stage_to,
        (select orders from orders) as rows_in,
        (select converted from orders) as rows_out,
        (select without_rate from orders) as explained,
        'orders without a rate on or before the payment' as explained_by
    union all
    select
        'intermediate.int_orders' as stage_from,
        'revenue.daily' as stage_to,
        (select orders from orders) as rows_in,
        (select orders from revenue) as rows_out,
        (select left_out + late from orders) as explained,
        'orders of bot, test and staff persons, and after as_of_date' as explained_by
    union all
    select
        'intermediate.int_orders.reporting_minor' as stage_from,
        'revenue.daily.gmv_minor' as stage_to,
        (select counted_minor from orders) as rows_in,
        (select gmv_minor from revenue) as rows_out,
        (select late_minor from orders) as explained,
        'minor units of orders after as_of_date' as explained_by
    union all
    select
        'staging.stg_commerce__refunds' as stage_from,
        'intermediate.int_refunds' as stage_to,
        (select in_staging from logs where log = 'commerce/refunds') as rows_in,
        (select refunds from refunds) as rows_out,
        (select refunds from unknown_refunds) as explained,
        'refunds of unknown orders' as explained_by
    union all
    select
        'intermediate.int_refunds.reporting_minor' as stage_from,
        'revenue.daily.refunds_cash_minor' as stage_to,
        (select counted_minor from refunds) as rows_in,
        (select refunds_cash_minor from revenue) as rows_out,
        (select late_minor from refunds) as explained,
        'minor units of refunds after as_of_date' as explained_by
    union all
    select
        'staging.stg_group__messages' as stage_from,
        'intermediate.int_group_days' as stage_to,
        (select in_staging from logs where log = 'group/messages') as rows_in,
        (select records from group_days) as rows_out,
        0 as explained,
        'nothing' as explained_by
    union all
    select
        'intermediate.int_group_days' as stage_from,
        'engagement.group_daily' as stage_to,
        (select interactions from group_days) as rows_in,
        (select interactions from group_daily) as rows_out,
        (select interactions_left_out from group_days) as explained,
        'messages of bot, test and staff persons, after closing or as_of_date' as explained_by

)

select
    stage_from || ' -> ' || stage_to as stage_pair,
    cast(rows_in as bigint) as {{ adapter.quote('in') }},
    cast(rows_out as bigint) as out,
    cast(explained as bigint) as explained,
    cast(rows_in - rows_out - explained as bigint) as unexplained,
    explained_by
from pairs
