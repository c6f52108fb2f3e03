with recursive

ranked_acceptances as (

    select
        source,
        campaign_id,
        person_id,
        inviter_person_id,
        occurred_at,
        event_id,
        row_number() over (
            partition by source, campaign_id, person_id
            order by occurred_at asc nulls first, event_id asc nulls first
        ) as acceptance
    from {{ ref('int_campaign_actions') }}
    where action = 'accept' and inviter_person_id is not null

),

referrals as (

    select
        source,
        campaign_id,
        person_id,
        inviter_person_id,
        occurred_at as accepted_at,
        row_number() over (
            partition by source, campaign_id
            order by occurred_at asc nulls first, event_id asc nulls first
        ) as place
    from ranked_acceptances
    where acceptance = 1

),

-- From each person up its inviters, as long as they accepted later: who comes back to the start
-- accepted first in a cycle. Brent's mark, reset after 1, 2, 4, … steps, ends walks that circle.
walks as (

    select
        source,
        campaign_id,
        person_id as start_id,
        place as start_place,
        inviter_person_id as reached_id,
        person_id as mark_id,
        cast(1 as bigint) as steps,
        cast(1 as bigint) as lap
    from referrals
    union all
    select
        walks.source,
        walks.campaign_id,
        walks.start_id,
        walks.start_place,
        referrals.inviter_person_id as reached_id,
        case when walks.steps = walks.lap then walks.reached_id else walks.mark_id end as mark_id,
        case when walks.steps = walks.lap then 1 else walks.steps + 1 end as steps,
        case when walks.steps = walks.lap then walks.lap * 2 else walks.lap end as lap
    from walks
    inner join referrals
        on
            walks.source = referrals.source
            and walks.campaign_id = referrals.campaign_id
            and walks.reached_id = referrals.person_id
    where
        walks.reached_id <> walks.start_id
        and walks.reached_id <> walks.mark_id
        and referrals.place > walks.start_place

),

cycle_starts as (

    select
        source,
        campaign_id,
        start_id
    from walks
    where reached_id = start_id

)

select
    referrals.source,
    referrals.campaign_id,
    referrals.person_id,
    referrals.inviter_person_id,
    referrals.accepted_at,
    cycle_starts.start_id is not null as closes_cycle
from referrals
left join cycle_starts
    on
        referrals.source = cycle_starts.source
        and referrals.campaign_id = cycle_starts.campaign_id
        and referrals.person_id = cycle_starts.start_id
