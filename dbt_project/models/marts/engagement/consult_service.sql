with

parameters as (

    select
        timezone,
        utc_offset_least,
        utc_offset_greatest,
        as_of_date,
        {{ local_midnight('as_of_date + 1', 'timezone') }} as ends_at
    from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member'

),

consults as (

    select
        consults.source,
        consults.session_id,
        consults.event_id,
        consults.member_id,
        consults.action,
        consults.occurred_at,
        consults.score
    from {{ ref('stg_group__consults') }} as consults
    cross join parameters
    where consults.occurred_at < parameters.ends_at

),

ranked_questions as (

    select
        source,
        session_id,
        member_id,
        occurred_at,
        row_number() over (
            partition by source, session_id
            order by occurred_at asc nulls first, event_id asc nulls first
        ) as question
    from consults
    where action = 'question'

),

-- A session counts when the person of its first question does.
sessions as (

    select
        questions.source,
        questions.session_id,
        questions.occurred_at as asked_at
    from ranked_questions as questions
    inner join identities
        on questions.source = identities.source and questions.member_id = identities.id
    where questions.question = 1 and not identities.is_excluded and not identities.is_staff

),

marks as (

    select
        sessions.source,
        sessions.session_id,
        sessions.asked_at,
        min(consults.occurred_at) filter (
            where
            consults.action in ('ai_answer', 'human_answer')
            and consults.occurred_at >= sessions.asked_at
        ) as answered_at,
        min(consults.occurred_at) filter (where consults.action = 'handoff') as handed_off_at,
        min(consults.occurred_at) filter (where consults.action = 'close') as closed_at,
        sum(consults.score) filter (where consults.action = 'rate') as csat_sum,
        count(consults.score) filter (where consults.action = 'rate') as csat_n
    from sessions
    inner join consults
        on sessions.source = consults.source and sessions.session_id = consults.session_id
    group by sessions.source, sessions.session_id, sessions.asked_at

),

afterwards as (

    select
        marks.source,
        marks.session_id,
        min(consults.occurred_at) filter (
            where consults.action = 'human_answer' and consults.occurred_at >= marks.handed_off_at
        ) as human_answered_at,
        count(*) filter (
            where
            consults.action = 'reopen'
            and consults.occurred_at >= marks.closed_at
            and consults.occurred_at < marks.closed_at + interval '72' hour
        ) as reopens_72h
    from marks
    inner join consults
        on marks.source = consults.source and marks.session_id = consults.session_id
    group by marks.source, marks.session_id

),

clocks as (

    select
        'ai' as responder,
        marks.asked_at,
        {{ micros_between('marks.asked_at', 'marks.answered_at') }} as micros,
        marks.handed_off_at is not null as is_handed_off,
        coalesce(marks.closed_at + interval '72' hour <= parameters.ends_at, false) as is_eligible,
        afterwards.reopens_72h,
        marks.csat_sum,
        marks.csat_n
    from marks
    inner join afterwards
        on marks.source = afterwards.source and marks.session_id = afterwards.session_id
    cross join parameters
    union all
    select
        'human' as responder,
        marks.asked_at,
        {{ micros_between('marks.handed_off_at', 'afterwards.human_answered_at') }} as micros,
        true as is_handed_off,
        false as is_eligible,
        afterwards.reopens_72h,
        marks.csat_sum,
        marks.csat_n
    from marks
    inner join afterwards
        on marks.source = afterwards.source and marks.session_id = afterwards.session_id
    where marks.handed_off_at is not null

),

timed as (

    select
        {{ local_date('clocks.asked_at', 'parameters') }} as date,
        clocks.responder,
        clocks.micros,
        cast(clocks.micros as double) / 1000000 as seconds,
        clocks.is_handed_off,
        clocks.is_eligible,
        clocks.reopens_72h,
        clocks.csat_sum,
        clocks.csat_n
    from clocks
    cross join parameters

)

select
    date,
    responder,
    count(*) as sessions,
    count(micros) as answered,
    count(*) filter (where micros < 15000000) as within_15s,
    percentile_cont(0.5) within group (order by seconds) as p50_seconds,
    percentile_cont(0.9) within group (order by seconds) as p90_seconds,
    percentile_cont(0.95) within group (order by seconds) as p95_seconds,
    count(*) filter (where micros is null) as unanswered,
    count(*) filter (where is_handed_off) as handoffs,
    count(*) filter (where is_eligible) as eligible_72h,
    count(*) filter (
        where is_eligible and not is_handed_off and reopens_72h = 0
    ) as contained,
    cast(coalesce(sum(csat_sum), 0) as bigint) as csat_sum,
    cast(sum(csat_n) as bigint) as csat_n
from timed
group by date, responder
