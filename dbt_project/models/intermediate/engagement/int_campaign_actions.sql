with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

),

-- The account names the person where a member is given as well.
events as (

    select
        source,
        event_id,
        campaign_id,
        action,
        occurred_at,
        group_id,
        coalesce(account_id, member_id) as id,
        case when account_id is null then 'member' else 'account' end as id_kind,
        coalesce(inviter_account_id, inviter_member_id) as inviter_id,
        case when inviter_account_id is null then 'member' else 'account' end as inviter_id_kind
    from {{ ref('stg_operations__campaign_events') }}

),

dated_events as (

    select
        events.*,
        {{ local_date('events.occurred_at', 'parameters') }} as occurred_date
    from events
    cross join parameters

)

select
    dated_events.source,
    dated_events.event_id,
    dated_events.campaign_id,
    dated_events.action,
    dated_events.occurred_at,
    dated_events.occurred_date,
    dated_events.group_id,
    actors.person_id,
    actors.is_erased,
    inviters.person_id as inviter_person_id
from dated_events
cross join parameters
inner join identities as actors
    on
        dated_events.source = actors.source
        and dated_events.id_kind = actors.id_kind
        and dated_events.id = actors.id
left join identities as inviters
    on
        dated_events.source = inviters.source
        and dated_events.inviter_id_kind = inviters.id_kind
        and dated_events.inviter_id = inviters.id
where dated_events.occurred_date <= parameters.as_of_date
