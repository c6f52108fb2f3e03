with

days as (

    select
        person_id,
        cast(date_trunc('week', activity_date) as date) as week_start,
        activity_date,
        channel,
        reads,
        reactions
    from {{ ref('int_audience_person_contents') }}

)

select
    person_id,
    week_start,
    channel,
    count(distinct activity_date) as channel_days,
    cast(sum(reads) as bigint) as channel_reads,
    cast(sum(reactions) as bigint) as channel_reactions
from days
where channel is not null
group by person_id, week_start, channel
