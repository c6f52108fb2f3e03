with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

),

ranked_accounts as (

    select
        identities.person_id,
        accounts.source,
        accounts.acquisition_channel,
        accounts.registered_at,
        row_number() over (
            partition by identities.person_id
            order by
                accounts.registered_at asc nulls last,
                accounts.source asc nulls last,
                accounts.account_id asc nulls last
        ) as oldest_first
    from {{ ref('stg_community__accounts') }} as accounts
    inner join identities
        on
            accounts.source = identities.source
            and accounts.account_id = identities.id
            and identities.id_kind = 'account'
    where accounts.acquisition_channel is not null

),

ranked_joins as (

    select
        identities.person_id,
        memberships.source,
        memberships.group_id,
        memberships.campaign_id,
        memberships.pack_id,
        memberships.occurred_at,
        row_number() over (
            partition by identities.person_id
            order by
                memberships.occurred_at asc nulls first,
                memberships.source asc nulls first,
                memberships.event_id asc nulls first
        ) as oldest_first
    from {{ ref('stg_group__memberships') }} as memberships
    inner join identities
        on
            memberships.source = identities.source
            and memberships.member_id = identities.id
            and identities.id_kind = 'member'
    where memberships.action = 'join'

),

first_joins as (

    select * from ranked_joins
    where oldest_first = 1

),

ranked_orders as (

    select
        person_id,
        source,
        content_id,
        paid_at,
        row_number() over (
            partition by person_id
            order by paid_at asc nulls first, source asc nulls first, order_id asc nulls first
        ) as oldest_first
    from {{ ref('int_orders_counted') }}

),

acquisitions as (

    select
        'channel' as channel_kind,
        source,
        acquisition_channel as target_id,
        person_id,
        registered_at as acquired_at
    from ranked_accounts
    where oldest_first = 1
    union all
    {% for kind in ['group', 'campaign', 'pack'] %}
        select
            '{{ kind }}' as channel_kind,
            source,
            {{ kind }}_id as target_id,
            person_id,
            occurred_at as acquired_at
        from first_joins
        where {{ kind }}_id is not null
        union all
    {% endfor %}
    select
        'content' as channel_kind,
        source,
        content_id as target_id,
        person_id,
        paid_at as acquired_at
    from ranked_orders
    where oldest_first = 1 and content_id is not null

),

dated as (

    select
        acquisitions.*,
        {{ local_date('acquisitions.acquired_at', 'parameters') }} as acquired_date,
        {{ micros_between(
            'acquisitions.acquired_at',
            local_midnight('parameters.as_of_date + 1', 'parameters.timezone')
        ) }} as observed_micros
    from acquisitions
    cross join parameters

)

select
    dated.channel_kind,
    dated.source,
    dated.target_id,
    dated.person_id,
    dated.acquired_at,
    dated.acquired_date,
    dated.observed_micros
from dated
cross join parameters
where dated.acquired_date <= parameters.as_of_date
