with

contents as (

    select * from {{ ref('int_contents') }}

),

-- Where an account was active: at the event's node, else at its content's; publishing too.
account_visits as (

    select
        activity_date,
        source,
        account_id,
        node_id
    from {{ ref('int_node_days') }}
    union all
    select
        days.activity_date,
        days.source,
        days.account_id,
        contents.node_id
    from {{ ref('int_content_days') }} as days
    inner join contents
        on days.source = contents.source and days.content_id = contents.content_id
    where days.nodeless_active_events > 0
    union all
    select
        published_date as activity_date,
        source,
        author_account_id as account_id,
        node_id
    from contents

),

person_visits as (

    select distinct
        account_visits.activity_date,
        account_visits.source,
        account_visits.node_id,
        identities.person_id
    from account_visits
    inner join {{ ref('int_identities') }} as identities
        on
            account_visits.source = identities.source
            and account_visits.account_id = identities.id
            and identities.id_kind = 'account'
    cross join {{ source('control', 'parameters') }} as parameters
    where
        not identities.is_excluded
        and not identities.is_staff
        and account_visits.activity_date <= parameters.as_of_date

)

select
    person_visits.activity_date as date,
    person_visits.source,
    ancestors.ancestor_id as node_id,
    count(distinct person_visits.person_id) as dau
from person_visits
inner join {{ ref('int_node_ancestors') }} as ancestors
    on
        person_visits.source = ancestors.source
        and person_visits.node_id = ancestors.node_id
group by person_visits.activity_date, person_visits.source, ancestors.ancestor_id
