with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where not is_excluded and not is_staff

),

contents as (

    select * from {{ ref('int_contents') }}

),

-- Groups publish no contents, so what they ask may be met by any source; the rest by its own.
needs as (

    select
        source,
        'search' as need_kind,
        event_id as need_id,
        topic,
        'account' as id_kind,
        account_id as id,
        occurred_at as needed_at,
        source as supply_scope
    from {{ ref('stg_community__events') }}
    where event_type = 'search' and topic is not null
    union all
    select
        source,
        'question' as need_kind,
        content_id as need_id,
        topic,
        'account' as id_kind,
        author_account_id as id,
        published_at as needed_at,
        source as supply_scope
    from contents
    where kind = 'question' and topic is not null
    union all
    select
        source,
        'consult' as need_kind,
        event_id as need_id,
        topic,
        'member' as id_kind,
        member_id as id,
        occurred_at as needed_at,
        cast(null as string) as supply_scope
    from {{ ref('stg_group__consults') }}
    where action = 'question' and topic is not null

),

counted_needs as (

    select
        needs.source,
        needs.need_kind,
        needs.need_id,
        needs.topic,
        needs.needed_at,
        needs.supply_scope,
        {{ local_date('needs.needed_at', 'parameters') }} as need_date
    from needs
    cross join parameters
    inner join identities
        on
            needs.source = identities.source
            and needs.id_kind = identities.id_kind
            and needs.id = identities.id
    where
        needs.needed_at
        < {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}

),

supplies as (

    select
        contents.source,
        contents.topic,
        contents.published_at
    from contents
    cross join parameters
    inner join identities
        on
            contents.source = identities.source
            and contents.author_account_id = identities.id
            and identities.id_kind = 'account'
    where
        contents.kind <> 'question'
        and contents.topic is not null
        and contents.published_date <= parameters.as_of_date

),

scoped_supplies as (

    select
        source as supply_scope,
        topic,
        published_at,
        source
    from supplies
    group by source, topic, published_at
    union all
    select
        cast(null as string) as supply_scope,
        topic,
        published_at,
        min(source) as source
    from supplies
    group by topic, published_at

),

timeline as (

    select
        source,
        need_kind,
        need_id,
        topic,
        need_date,
        needed_at,
        supply_scope,
        needed_at as happened_at,
        cast(null as timestamp) as published_at
    from counted_needs
    union all
    select
        source,
        cast(null as string) as need_kind,
        cast(null as string) as need_id,
        topic,
        cast(null as date) as need_date,
        cast(null as timestamp) as needed_at,
        supply_scope,
        published_at as happened_at,
        published_at
    from scoped_supplies

),

-- A range begins with its peers: what is published at the very instant is new as well.
followed as (

    select
        source,
        need_kind,
        need_id,
        topic,
        need_date,
        needed_at,
        supply_scope,
        min(published_at) over (
            partition by supply_scope, topic
            order by happened_at asc nulls first
            range between current row and unbounded following
        ) as next_published_at
    from timeline

),

answered as (

    select
        followed.source,
        followed.need_kind,
        followed.need_id,
        followed.topic,
        followed.need_date,
        followed.needed_at,
        followed.supply_scope,
        followed.needed_at + interval '24' hour * parameters.loop_supply_days
        <= {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }} as is_eligible,
        case
            when
                followed.next_published_at
                < followed.needed_at + interval '24' hour * parameters.loop_supply_days
                then followed.next_published_at
        end as supplied_at
    from followed
    cross join parameters
    where followed.need_id is not null

)

select
    answered.source,
    answered.need_kind,
    answered.need_id,
    answered.topic,
    answered.need_date,
    answered.needed_at,
    answered.is_eligible,
    answered.supplied_at,
    scoped_supplies.source as supplied_by
from answered
left join scoped_supplies
    on
        answered.supply_scope is not distinct from scoped_supplies.supply_scope
        and answered.topic = scoped_supplies.topic
        and answered.supplied_at = scoped_supplies.published_at
