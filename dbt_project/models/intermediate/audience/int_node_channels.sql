with

nodes as (

    select
        source,
        node_id,
        level
    from {{ ref('stg_community__nodes') }}

),

ancestors as (

    select * from {{ ref('int_node_ancestors') }}

)

select
    ancestors.source,
    ancestors.node_id,
    min_by(ancestors.ancestor_id, ancestors.depth) as channel_id
from ancestors
inner join nodes
    on ancestors.source = nodes.source and ancestors.ancestor_id = nodes.node_id
where nodes.level = 'channel'
group by ancestors.source, ancestors.node_id
