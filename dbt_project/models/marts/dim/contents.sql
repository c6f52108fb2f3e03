with

contents as (

    select * from {{ ref('int_contents') }}

)

select
    contents.source,
    contents.content_id,
    contents.kind,
    contents.origin,
    contents.title,
    contents.topic,
    contents.node_id,
    contents.parent_content_id,
    contents.root_question_id,
    case when not persons.is_erased then contents.author_person_id end as author_person_id,
    contents.is_paid,
    contents.published_at,
    contents.published_date,
    contents.deleted_at
from contents
inner join {{ ref('int_persons') }} as persons
    on contents.author_person_id = persons.person_id
