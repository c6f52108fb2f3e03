with

contents as (

    select * from {{ ref('int_contents') }}
    where is_paid

),

persons as (

    select * from {{ ref('int_persons') }}
    where counts

),

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    cast(date_trunc('month', days.activity_date) as date) as month,
    days.person_id as reader_id,
    contents.author_person_id as creator_id,
    cast(sum(days.reads) as bigint) as reads
from {{ ref('int_content_person_days') }} as days
inner join contents
    on days.source = contents.source and days.content_id = contents.content_id
inner join persons on contents.author_person_id = persons.person_id
cross join parameters
where days.reads > 0 and days.activity_date <= parameters.as_of_date
group by
    cast(date_trunc('month', days.activity_date) as date),
    days.person_id,
    contents.author_person_id
