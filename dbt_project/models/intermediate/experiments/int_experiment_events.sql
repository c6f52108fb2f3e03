with

-- Each event once, however many experiments its person is in.
exposed_persons as (

    select
        units.source,
        units.unit_id as person_id,
        min(units.first_exposed_at - parameters.experiment_pre_days * interval '1' day) as from_at,
        max(units.measured_until) as until_at
    from {{ ref('int_experiment_units') }} as units
    cross join {{ source('control', 'parameters') }} as parameters
    where units.unit_kind <> 'group' and units.variants = 1
    group by units.source, units.unit_id

),

exposed_accounts as (

    select
        exposed_persons.source,
        identities.id as account_id,
        exposed_persons.person_id,
        exposed_persons.from_at,
        exposed_persons.until_at
    from exposed_persons
    inner join {{ ref('int_identities') }} as identities
        on
            exposed_persons.source = identities.source
            and exposed_persons.person_id = identities.person_id
    where identities.id_kind = 'account'

),

events as {{ not_materialized() }} (

    select
        events.source,
        exposed_accounts.person_id,
        events.content_id,
        events.event_id,
        events.event_type,
        events.occurred_at
    from {{ ref('stg_community__events') }} as events
    inner join exposed_accounts
        on
            events.source = exposed_accounts.source
            and events.account_id = exposed_accounts.account_id
            and events.occurred_at >= exposed_accounts.from_at
            and events.occurred_at < exposed_accounts.until_at
    where
        events.event_type in ('impression', 'click', 'read')
        and events.content_id is not null

),

clicked_pairs as (

    select distinct
        source,
        person_id,
        content_id
    from events
    where event_type = 'click'

),

touches as (

    select events.*
    from events
    inner join clicked_pairs
        on
            events.source = clicked_pairs.source
            and events.person_id = clicked_pairs.person_id
            and events.content_id = clicked_pairs.content_id
    where events.event_type in ('impression', 'click')

),

{{ credited_impressions('touches', ['source', 'person_id', 'content_id'], []) }}

select
    source,
    person_id,
    event_type as kind,
    occurred_at,
    occurred_at as ended_at
from events
where event_type in ('impression', 'read')
union all
select
    source,
    person_id,
    'credited_click' as kind,
    shown_at as occurred_at,
    clicked_at as ended_at
from credited_impressions
