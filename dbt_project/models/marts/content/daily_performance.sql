with

person_days as (

    select
        activity_date,
        source,
        content_id,
        person_id,
        impressions,
        clicks,
        clicks_credited,
        reads,
        0 as likes,
        comments,
        shares,
        collects
    from {{ ref('int_content_person_days') }}
    where impressions + clicks + reads + comments + shares + collects > 0
    union all
    select
        activity_date,
        source,
        content_id,
        person_id,
        0 as impressions,
        0 as clicks,
        0 as clicks_credited,
        0 as reads,
        likes,
        0 as comments,
        0 as shares,
        0 as collects
    from {{ ref('int_like_days') }}

)

select
    person_days.activity_date as date,
    person_days.source,
    person_days.content_id,
    {%- for column in [
        'impressions', 'clicks', 'clicks_credited', 'reads', 'likes', 'comments', 'shares',
        'collects',
    ] %}
    cast(sum(person_days.{{ column }}) as bigint) as {{ column }},
    {%- endfor %}
    count(distinct case
        when person_days.reads > 0 then person_days.person_id
    end) as unique_viewers
from person_days
cross join {{ source('control', 'parameters') }} as parameters
where person_days.activity_date <= parameters.as_of_date
group by person_days.activity_date, person_days.source, person_days.content_id
