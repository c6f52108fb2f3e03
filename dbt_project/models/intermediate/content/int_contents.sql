with recursive

contents as (

    select * from {{ ref('stg_community__contents') }}

),

children as (

    select
        source,
        content_id,
        parent_content_id
    from contents
    where parent_content_id is not null and kind <> 'question'

),

-- Downwards from the questions: each content is reached once at most, so a cycle ends by itself.
threads as (

    select
        source,
        content_id,
        content_id as root_question_id
    from contents
    where kind = 'question'
    union all
    select
        children.source,
        children.content_id,
        threads.root_question_id
    from threads
    inner join children
        on threads.source = children.source and threads.content_id = children.parent_content_id

)

select
    contents.source,
    contents.content_id,
    contents.updated_at,
    contents.author_account_id,
    identities.person_id as author_person_id,
    contents.node_id,
    contents.kind,
    contents.published_at,
    {{ local_date('contents.published_at', 'parameters') }} as published_date,
    contents.parent_content_id,
    threads.root_question_id,
    contents.title,
    contents.topic,
    {{ origin('contents.origin_declared', 'contents.origin_label') }} as origin,
    contents.is_paid,
    contents.deleted_at,
    {{ local_date('contents.deleted_at', 'parameters') }} as deleted_date
from contents
cross join {{ source('control', 'parameters') }} as parameters
inner join {{ ref('int_identities') }} as identities
    on
        contents.source = identities.source
        and contents.author_account_id = identities.id
        and identities.id_kind = 'account'
left join threads
    on contents.source = threads.source and contents.content_id = threads.content_id
