with

contents as (
    select * from {{ ref('int_contents') }}
),

persons as (
    select * from {{ ref('int_persons') }}
),

identities as (
    select * from {{ ref('int_identities') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

posts as (
    select
        contents.author_person_id as person_id,
        count(*) filter (
            where contents.published_date > parameters.as_of_date - 28
        ) as posts_28d
    from contents
    cross join parameters
    where contents.published_date <= parameters.as_of_date
    group by contents.author_person_id
),

performance as (
    select
        contents.author_person_id as person_id,
        cast(sum(daily.reads) as bigint) as reads_28d,
        cast(sum(
            daily.likes + daily.comments + daily.shares + daily.collects
        ) as bigint) as engagements_28d
    from {{ ref('daily_performance') }} as daily
    inner join contents
        on daily.source = contents.source and daily.content_id = contents.content_id
    cross join parameters
    where
        daily.date <= parameters.as_of_date
        and daily.date > parameters.as_of_date - 28
    group by contents.author_person_id
),

follow_changes as (
    select
        followers.person_id as follower_id,
        creators.person_id as creator_id,
        events.event_type,
        row_number() over (
            partition by followers.person_id, creators.person_id
            order by
                events.occurred_at desc nulls last,
                events.source desc nulls last,
                events.event_id desc nulls last
        ) as recency
    from {{ ref('stg_community__events') }} as events
    inner join identities as followers
        on
            events.source = followers.source
            and events.account_id = followers.id
            and followers.id_kind = 'account'
    inner join identities as creators
        on
            events.source = creators.source
            and events.target_account_id = creators.id
            and creators.id_kind = 'account'
    cross join parameters
    where
        events.event_type in ('follow', 'unfollow')
        and events.occurred_at
        < {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}
),

follows as (
    select
        follow_changes.creator_id as person_id,
        count(*) as followers
    from follow_changes
    inner join persons on follow_changes.follower_id = persons.person_id
    where
        follow_changes.recency = 1
        and follow_changes.event_type = 'follow'
        and persons.counts
    group by follow_changes.creator_id
),

refunded as (
    select
        refunds.source,
        refunds.order_id,
        cast(sum(refunds.reporting_minor) as bigint) as refund_minor
    from {{ ref('int_refunds') }} as refunds
    cross join parameters
    where refunds.refunded_date <= parameters.as_of_date
    group by refunds.source, refunds.order_id
),

revenue as (
    select
        contents.author_person_id as person_id,
        cast(sum(
            coalesce(orders.reporting_minor, 0) - coalesce(refunded.refund_minor, 0)
        ) as bigint) as revenue_28d_minor
    from {{ ref('int_orders') }} as orders
    inner join contents
        on orders.source = contents.source and orders.content_id = contents.content_id
    inner join persons as payers on orders.person_id = payers.person_id
    left join refunded
        on orders.source = refunded.source and orders.order_id = refunded.order_id
    cross join parameters
    where
        payers.counts
        and orders.paid_date <= parameters.as_of_date
        and orders.paid_date > parameters.as_of_date - 28
    group by contents.author_person_id
),

creators as (
    select
        posts.person_id,
        posts.posts_28d,
        coalesce(performance.reads_28d, 0) as reads_28d,
        coalesce(performance.engagements_28d, 0) as engagements_28d,
        coalesce(follows.followers, 0) as followers,
        coalesce(revenue.revenue_28d_minor, 0) as revenue_28d_minor
    from posts
    inner join persons on posts.person_id = persons.person_id
    left join performance on posts.person_id = performance.person_id
    left join follows on posts.person_id = follows.person_id
    left join revenue on posts.person_id = revenue.person_id
    where persons.counts and not persons.is_erased
)

select
    creators.person_id,
    creators.posts_28d,
    creators.reads_28d,
    creators.engagements_28d,
    creators.followers,
    case
        when creators.reads_28d >= parameters.creator_head_reads_28d then 'head'
        when creators.reads_28d >= parameters.creator_mid_reads_28d then 'mid'
        else 'ordinary'
    end as tier,
    creators.revenue_28d_minor
from creators
cross join parameters
where
    creators.posts_28d != 0
    or creators.reads_28d != 0
    or creators.engagements_28d != 0
    or creators.followers != 0
    or creators.revenue_28d_minor != 0
