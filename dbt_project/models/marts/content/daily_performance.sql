with

-- Viewers first and apart: a distinct count beside the sums would cost more than all of them.
viewers as (

    select
        activity_date,
        source,
        content_id,
        count(distinct person_id) as unique_viewers
    from {{ ref('int_content_person_days') }}
    where reads > 0
    group by activity_date, source, content_id

),

parts as (

    select
        activity_date,
        source,
        content_id,
        impressions,
        clicks,
        clicks_credited,
        reads,
        0 as likes,
        comments,
        shares,
        collects,
        0 as unique_viewers
    from {{ ref('int_content_person_days') }}
    where impressions + clicks + reads + comments + shares + collects > 0
    union all
    select
        activity_date,
        source,
        content_id,
        0 as impressions,
        0 as clicks,
        0 as clicks_credited,
        0 as reads,
        likes,
        0 as comments,
        0 as shares,
        0 as collects,
        0 as unique_viewers
    from {{ ref('int_like_days') }}
    union all
    select
        activity_date,
        source,
        content_id,
        0 as impressions,
        0 as clicks,
        0 as clicks_credited,
        0 as reads,
        0 as likes,
        0 as comments,
        0 as shares,
        0 as collects,
        unique_viewers
    from viewers

)

select
    parts.activity_date as date,
    parts.source,
    parts.content_id,
    cast(sum(parts.impressions) as bigint) as impressions,
    cast(sum(parts.clicks) as bigint) as clicks,
    cast(sum(parts.clicks_credited) as bigint) as clicks_credited,
    cast(sum(parts.reads) as bigint) as reads,
    cast(sum(parts.likes) as bigint) as likes,
    cast(sum(parts.comments) as bigint) as comments,
    cast(sum(parts.shares) as bigint) as shares,
    cast(sum(parts.collects) as bigint) as collects,
    cast(sum(parts.unique_viewers) as bigint) as unique_viewers
from parts
cross join {{ source('control', 'parameters') }} as parameters
where parts.activity_date <= parameters.as_of_date
group by parts.activity_date, parts.source, parts.content_id
