with

contents as (
    select
        contents.source,
        contents.node_id,
        contents.author_person_id as person_id,
        cast(date_trunc('month', contents.published_date) as date) as month
    from {{ ref('int_contents') }} as contents
    inner join {{ ref('int_persons') }} as persons
        on contents.author_person_id = persons.person_id
    cross join {{ source('control', 'parameters') }} as parameters
    where persons.counts and contents.published_date <= parameters.as_of_date
),

at_nodes as (
    select
        month,
        source,
        node_id,
        person_id
    from contents
    union all
    select
        month,
        source,
        '*' as node_id,
        person_id
    from contents
),

creators as (
    select
        month,
        source,
        node_id,
        person_id,
        count(*) as contents
    from at_nodes
    group by month, source, node_id, person_id
),

ranked as (
    select
        month,
        source,
        node_id,
        contents,
        row_number() over (
            partition by month, source, node_id
            order by contents desc nulls last, person_id asc nulls first
        ) as position,
        sum(contents) over (
            partition by month, source, node_id
            order by contents desc nulls last, person_id asc nulls first
            rows between unbounded preceding and current row
        ) as running_contents,
        sum(contents) over (partition by month, source, node_id) as total_contents,
        count(*) over (partition by month, source, node_id) as total_creators
    from creators
)

-- With x sorted descending and i from 1, Σ|xi − xj| over all pairs is 2 Σ (n + 1 − 2i) xi, and
-- 2 n² mean is 2 n Σx.
select
    month,
    source,
    node_id,
    max(total_creators) as creators,
    cast(max(total_contents) as bigint) as contents,
    cast(sum(contents) filter (where position <= 10) as bigint) as top10_share_num,
    cast(max(total_contents) as bigint) as top10_share_den,
    cast(sum((total_creators + 1 - 2 * position) * contents) as double)
    / nullif(max(total_creators) * cast(max(total_contents) as bigint), 0) as gini,
    cast(
        min(position) filter (where 100 * running_contents >= 51 * total_contents) as bigint
    ) as bus_factor
from ranked
group by month, source, node_id
