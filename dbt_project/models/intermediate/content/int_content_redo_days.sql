with

accounts as (

    select
        source,
        id as account_id,
        person_id
    from {{ ref('int_identities') }}
    where id_kind = 'account' and not is_excluded and not is_staff

),

several_accounts as (

    select
        source,
        person_id
    from accounts
    group by source, person_id
    having count(*) > 1

),

shared_days as (

    select
        days.activity_date,
        days.source,
        days.account_id,
        days.content_id,
        accounts.person_id,
        days.impressions,
        days.clicks
    from {{ ref('int_content_days') }} as days
    inner join accounts
        on days.source = accounts.source and days.account_id = accounts.account_id
    inner join several_accounts
        on
            accounts.source = several_accounts.source
            and accounts.person_id = several_accounts.person_id

),

-- Clicks of one account may take impressions of the other.
shared_pairs as (

    select
        source,
        content_id,
        person_id
    from shared_days
    where impressions + clicks > 0
    group by source, content_id, person_id
    having count(distinct account_id) > 1 and sum(clicks) > 0

)

select
    shared_days.activity_date,
    shared_days.source,
    shared_days.account_id,
    shared_days.content_id,
    shared_days.person_id
from shared_days
inner join shared_pairs
    on
        shared_days.source = shared_pairs.source
        and shared_days.content_id = shared_pairs.content_id
        and shared_days.person_id = shared_pairs.person_id
union distinct
-- On the date of a deletion only a part of the events counts; a click after midnight that no
-- longer counts may have been credited to the date before.
select
    days.activity_date,
    days.source,
    days.account_id,
    days.content_id,
    accounts.person_id
from {{ ref('int_content_days') }} as days
inner join {{ ref('int_contents') }} as contents
    on days.source = contents.source and days.content_id = contents.content_id
inner join accounts
    on days.source = accounts.source and days.account_id = accounts.account_id
where
    days.activity_date <= contents.deleted_date
    and days.activity_date >= contents.deleted_date - 1
