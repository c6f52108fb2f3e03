with

contents as (
    select * from {{ ref('int_contents') }}
),

persons as (
    select * from {{ ref('int_persons') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

published as (
    select
        contents.source,
        contents.content_id,
        contents.node_id,
        contents.origin,
        contents.author_person_id as person_id,
        contents.published_at,
        contents.deleted_at,
        cast(date_trunc('week', contents.published_date) as date) as week_start,
        contents.published_at + interval '168' hour
        <= {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }} as is_eligible
    from contents
    inner join persons on contents.author_person_id = persons.person_id
    cross join parameters
    where persons.counts and contents.published_date <= parameters.as_of_date
),

reads as (
    select
        published.source,
        published.content_id,
        count(*) as reads_7d
    from {{ ref('stg_community__events') }} as events
    inner join published
        on events.source = published.source and events.content_id = published.content_id
    inner join {{ ref('int_identities') }} as readers
        on
            events.source = readers.source
            and events.account_id = readers.id
            and readers.id_kind = 'account'
    inner join persons on readers.person_id = persons.person_id
    where
        events.event_type = 'read'
        and published.is_eligible
        and persons.counts
        and events.occurred_at >= published.published_at
        and events.occurred_at < published.published_at + interval '168' hour
        and (events.occurred_at < published.deleted_at or published.deleted_at is null)
    group by published.source, published.content_id
),

with_reads as (
    select
        published.week_start,
        published.source,
        published.node_id,
        published.origin,
        published.person_id,
        published.is_eligible,
        coalesce(reads.reads_7d, 0) as reads_7d
    from published
    left join reads
        on published.source = reads.source and published.content_id = reads.content_id
),

at_nodes as (
    select
        week_start,
        source,
        node_id,
        origin,
        person_id,
        is_eligible,
        reads_7d
    from with_reads
    union all
    select
        week_start,
        source,
        '*' as node_id,
        origin,
        person_id,
        is_eligible,
        reads_7d
    from with_reads
)

select
    week_start,
    source,
    node_id,
    origin,
    count(*) as published,
    cast(sum(reads_7d) filter (where is_eligible) as bigint) as reads_7d,
    count(distinct person_id) as authors,
    count(*) filter (where is_eligible) as eligible_7d
from at_nodes
group by week_start, source, node_id, origin
