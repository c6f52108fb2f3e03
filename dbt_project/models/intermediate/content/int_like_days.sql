with

like_events as (

    select
        likes.source,
        likes.content_id,
        likes.event_id,
        likes.occurred_at,
        likes.activity_date,
        likes.delta,
        identities.person_id
    from {{ ref('int_like_events') }} as likes
    inner join {{ ref('int_identities') }} as identities
        on
            likes.source = identities.source
            and likes.account_id = identities.id
            and identities.id_kind = 'account'
    left join {{ ref('int_contents') }} as contents
        on likes.source = contents.source and likes.content_id = contents.content_id
    where
        not identities.is_excluded
        and not identities.is_staff
        and (contents.deleted_at is null or likes.occurred_at < contents.deleted_at)

),

running as (

    select
        source,
        content_id,
        person_id,
        event_id,
        occurred_at,
        activity_date,
        sum(delta) over (
            partition by source, content_id, person_id
            order by occurred_at asc nulls first, event_id asc nulls first
            rows between unbounded preceding and current row
        ) as balance
    from like_events

),

-- A sum that may not fall below zero is the free sum less its lowest point so far, if negative.
clamped as (

    select
        source,
        content_id,
        person_id,
        event_id,
        occurred_at,
        activity_date,
        balance - least(0, min(balance) over (
            partition by source, content_id, person_id
            order by occurred_at asc nulls first, event_id asc nulls first
            rows between unbounded preceding and current row
        )) as likes_held
    from running

),

changes as (

    select
        source,
        content_id,
        person_id,
        activity_date,
        likes_held - coalesce(lag(likes_held) over (
            partition by source, content_id, person_id
            order by occurred_at asc nulls first, event_id asc nulls first
        ), 0) as change
    from clamped

)

select
    activity_date,
    source,
    content_id,
    person_id,
    cast(sum(change) as bigint) as likes
from changes
group by activity_date, source, content_id, person_id
