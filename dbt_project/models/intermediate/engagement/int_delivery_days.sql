{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'logs': ['group/deliveries']},
) }}

with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

dated_deliveries as (

    select
        {{ local_date('deliveries.occurred_at', 'parameters') }} as activity_date,
        deliveries.source,
        deliveries.broadcast_id,
        deliveries.group_id,
        deliveries.member_id,
        deliveries.occurred_at,
        deliveries.status
    from {{ ref('stg_group__deliveries') }} as deliveries
    cross join parameters
    where {{ on_dirty_dates(
        local_date('deliveries.occurred_at', 'parameters'), 'deliveries.occurred_at'
    ) }}

)

select
    activity_date,
    source,
    broadcast_id,
    group_id,
    member_id,
    max(case status
        when 'click' then 5
        when 'read' then 4
        when 'delivered' then 3
        when 'sent' then 2
        else 1
    end) as rung,
    min(occurred_at) filter (where status = 'click') as first_click_at
from dated_deliveries
group by
    activity_date,
    source,
    broadcast_id,
    group_id,
    member_id
