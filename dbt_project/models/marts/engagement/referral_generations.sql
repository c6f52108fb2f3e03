with recursive

persons as (

    select
        source,
        campaign_id,
        person_id
    from {{ ref('int_campaign_actions') }}
    where action <> 'target'
    union distinct
    select
        source,
        campaign_id,
        inviter_person_id as person_id
    from {{ ref('int_campaign_actions') }}
    where action <> 'target' and inviter_person_id is not null

),

-- Without the earliest acceptance of every cycle the referrals are trees.
invitations as (

    select
        source,
        campaign_id,
        person_id,
        inviter_person_id
    from {{ ref('int_referrals') }}
    where not closes_cycle

),

generations as (

    select
        persons.source,
        persons.campaign_id,
        persons.person_id,
        cast(0 as bigint) as generation
    from persons
    left join invitations
        on
            persons.source = invitations.source
            and persons.campaign_id = invitations.campaign_id
            and persons.person_id = invitations.person_id
    where invitations.person_id is null
    union all
    select
        invitations.source,
        invitations.campaign_id,
        invitations.person_id,
        generations.generation + 1 as generation
    from generations
    inner join invitations
        on
            generations.source = invitations.source
            and generations.campaign_id = invitations.campaign_id
            and generations.person_id = invitations.inviter_person_id

)

select
    source,
    campaign_id,
    generation,
    count(*) as persons
from generations
group by source, campaign_id, generation
