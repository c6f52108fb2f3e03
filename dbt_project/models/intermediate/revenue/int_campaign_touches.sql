with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

),

clicks as (

    select
        source,
        'community/events' as log,
        event_id,
        'account' as id_kind,
        account_id as id,
        campaign_id,
        occurred_at
    from {{ ref('stg_community__events') }}
    where event_type = 'click' and campaign_id is not null

),

delivery_clicks as (

    select
        deliveries.source,
        'group/deliveries' as log,
        deliveries.event_id,
        'member' as id_kind,
        deliveries.member_id as id,
        broadcasts.campaign_id,
        deliveries.occurred_at
    from {{ ref('stg_group__deliveries') }} as deliveries
    left join {{ ref('stg_group__broadcasts') }} as broadcasts
        on
            deliveries.source = broadcasts.source
            and deliveries.broadcast_id = broadcasts.broadcast_id
    where deliveries.status = 'click'

),

participations as (

    select
        source,
        'operations/campaign_events' as log,
        event_id,
        case when account_id is null then 'member' else 'account' end as id_kind,
        coalesce(account_id, member_id) as id,
        campaign_id,
        occurred_at
    from {{ ref('stg_operations__campaign_events') }}
    where action = 'participate'

),

touches as (

    select * from clicks
    union all
    select * from delivery_clicks
    union all
    select * from participations

)

select
    identities.person_id,
    touches.source,
    touches.log,
    touches.event_id,
    touches.log || '/' || touches.source || '/' || touches.event_id as touch,
    touches.occurred_at,
    touches.campaign_id,
    coalesce(campaigns.kind, '(unknown)') as campaign_kind
from touches
cross join parameters
inner join identities
    on
        touches.source = identities.source
        and touches.id_kind = identities.id_kind
        and touches.id = identities.id
left join {{ ref('stg_operations__campaigns') }} as campaigns
    on touches.source = campaigns.source and touches.campaign_id = campaigns.campaign_id
where
    touches.occurred_at
    < {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}
