with

groups as (

    select * from {{ ref('stg_group__groups') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

first_moves as (

    select
        source,
        group_id,
        min(occurred_at) as occurred_at
    from {{ ref('stg_group__memberships') }}
    group by source, group_id

),

sightings as (

    select
        source,
        group_id,
        min(activity_date) as first_date
    from {{ ref('int_group_days') }}
    group by source, group_id
    union all
    select
        first_moves.source,
        first_moves.group_id,
        {{ local_date('first_moves.occurred_at', 'parameters') }} as first_date
    from first_moves
    cross join parameters
    union all
    select
        groups.source,
        groups.group_id,
        {{ local_date('groups.created_at', 'parameters') }} as first_date
    from groups
    cross join parameters

),

first_dates as (

    select
        source,
        group_id,
        min(first_date) as first_date
    from sightings
    group by source, group_id

)

select
    first_dates.source,
    first_dates.group_id,
    groups.group_id is not null as has_record,
    groups.updated_at,
    groups.kind,
    groups.name,
    groups.node_id,
    groups.owner_member_id,
    groups.created_at,
    groups.closed_at,
    groups.seed_pack_id,
    first_dates.first_date,
    case
        when groups.closed_at is null then parameters.as_of_date
        else least(
            parameters.as_of_date,
            {{ local_date('groups.closed_at', 'parameters') }}
        )
    end as last_date,
    coalesce({{ json_list_contains('groups.observes', "'delivered'") }}, true)
        as observes_delivered,
    coalesce({{ json_list_contains('groups.observes', "'read'") }}, true)
        as observes_read,
    coalesce({{ json_list_contains('groups.observes', "'click'") }}, true)
        as observes_click,
    coalesce({{ json_list_contains('groups.observes', "'leave'") }}, true)
        as observes_leave,
    coalesce({{ json_list_contains('groups.observes', "'reaction'") }}, true)
        as observes_reaction
from first_dates
cross join parameters
left join groups
    on first_dates.source = groups.source and first_dates.group_id = groups.group_id
