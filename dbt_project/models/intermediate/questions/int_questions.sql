with

contents as (
    select * from {{ ref('int_contents') }}
),

parameters as (
    select * from {{ source('control', 'parameters') }}
),

counted as (
    select
        contents.source,
        contents.content_id,
        contents.parent_content_id,
        contents.node_id,
        contents.kind,
        contents.author_person_id as person_id,
        contents.published_at,
        contents.published_date,
        {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }} as censored_at
    from contents
    inner join {{ ref('int_persons') }} as persons
        on contents.author_person_id = persons.person_id
    cross join parameters
    where persons.counts and contents.published_date <= parameters.as_of_date
),

first_responses as (
    select
        questions.source,
        questions.content_id,
        min(responses.published_at) as answered_at
    from counted as questions
    inner join counted as responses
        on
            questions.source = responses.source
            and questions.content_id = responses.parent_content_id
            and questions.person_id != responses.person_id
            and questions.published_at <= responses.published_at
    where questions.kind = 'question' and responses.kind in ('answer', 'comment')
    group by questions.source, questions.content_id
)

select
    questions.source,
    questions.content_id,
    questions.node_id,
    questions.published_at as asked_at,
    cast(date_trunc('week', questions.published_date) as date) as week_start,
    first_responses.answered_at,
    questions.censored_at,
    {{ micros_between(
        'questions.published_at',
        'coalesce(first_responses.answered_at, questions.censored_at)'
    ) }} as observed_micros
from counted as questions
left join first_responses
    on
        questions.source = first_responses.source
        and questions.content_id = first_responses.content_id
where questions.kind = 'question'
