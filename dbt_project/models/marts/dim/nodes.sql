with

nodes as (

    select * from {{ ref('stg_community__nodes') }}

),

ancestors as (

    select * from {{ ref('int_node_ancestors') }}

),

ancestor_levels as (

    select
        ancestors.source,
        ancestors.node_id,
        ancestors.ancestor_id,
        ancestors.depth,
        nodes.level
    from ancestors
    inner join nodes
        on
            ancestors.source = nodes.source
            and ancestors.ancestor_id = nodes.node_id

),

nearest_of_level as (

    select
        source,
        node_id,
        min_by(ancestor_id, depth) filter (where level = 'platform') as platform_id,
        min_by(ancestor_id, depth) filter (where level = 'channel') as channel_id,
        min_by(ancestor_id, depth) filter (where level = 'circle') as circle_id
    from ancestor_levels
    group by
        source,
        node_id

)

select
    nodes.source,
    nodes.node_id,
    nodes.level,
    nodes.name,
    nearest_of_level.platform_id,
    nearest_of_level.channel_id,
    nearest_of_level.circle_id
from nodes
left join nearest_of_level
    on
        nodes.source = nearest_of_level.source
        and nodes.node_id = nearest_of_level.node_id
