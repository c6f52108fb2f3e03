with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'account' and not is_excluded and not is_staff and not is_erased

),

community_checkins as (

    select
        events.source,
        events.account_id,
        {{ local_date('events.occurred_at', 'parameters') }} as checkin_date
    from {{ ref('stg_community__events') }} as events
    cross join parameters
    where events.event_type = 'checkin'

),

checkin_days as (

    select
        identities.person_id,
        community_checkins.source,
        '*' as campaign_id,
        community_checkins.checkin_date
    from community_checkins
    cross join parameters
    inner join identities
        on
            community_checkins.source = identities.source
            and community_checkins.account_id = identities.id
    where community_checkins.checkin_date <= parameters.as_of_date
    union distinct
    select
        person_id,
        source,
        campaign_id,
        occurred_date as checkin_date
    from {{ ref('int_campaign_actions') }}
    where action = 'checkin' and not is_erased

),

-- Consecutive dates less their rank are one and the same date.
ranked_days as (

    select
        person_id,
        source,
        campaign_id,
        checkin_date,
        checkin_date - cast(row_number() over (
            partition by person_id, source, campaign_id
            order by checkin_date asc nulls first
        ) as integer) as streak
    from checkin_days

),

streaks as (

    select
        person_id,
        source,
        campaign_id,
        max(checkin_date) as last_date,
        count(*) as days
    from ranked_days
    group by person_id, source, campaign_id, streak

)

select
    streaks.person_id,
    streaks.source,
    streaks.campaign_id,
    max(
        case when streaks.last_date = parameters.as_of_date then streaks.days else 0 end
    ) as current_streak,
    max(streaks.days) as longest_streak,
    cast(sum(streaks.days) as bigint) as days
from streaks
cross join parameters
group by streaks.person_id, streaks.source, streaks.campaign_id
