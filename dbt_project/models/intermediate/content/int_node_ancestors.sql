with recursive

nodes as (

    select
        source,
        node_id,
        parent_node_id
    from {{ ref('stg_community__nodes') }}

),

named_nodes as (

    select
        source,
        node_id
    from nodes
    union distinct
    select
        source,
        parent_node_id as node_id
    from nodes
    where parent_node_id is not null
    union distinct
    select
        source,
        node_id
    from {{ ref('stg_community__contents') }}
    union distinct
    select
        source,
        node_id
    from {{ ref('stg_group__groups') }}
    where node_id is not null
    union distinct
    select
        source,
        node_id
    from {{ ref('int_node_days') }}

),

numbered_nodes as (

    select
        source,
        node_id,
        cast(row_number() over (
            order by source asc nulls first, node_id asc nulls first
        ) as string) as node_number
    from named_nodes

),

edges as (

    select
        nodes.source,
        nodes.node_id,
        nodes.parent_node_id,
        parents.node_number as parent_number
    from nodes
    inner join numbered_nodes as parents
        on nodes.source = parents.source and nodes.parent_node_id = parents.node_id

),

-- The numbers walked so far, as `/1/2/`, end the walk where it would enter a node again.
walks as (

    select
        source,
        node_id,
        node_id as ancestor_id,
        cast(0 as bigint) as depth,
        '/' || node_number || '/' as walked
    from numbered_nodes
    union all
    select
        walks.source,
        walks.node_id,
        edges.parent_node_id as ancestor_id,
        walks.depth + 1 as depth,
        walks.walked || edges.parent_number || '/' as walked
    from walks
    inner join edges on walks.source = edges.source and walks.ancestor_id = edges.node_id
    where position('/' || edges.parent_number || '/' in walks.walked) = 0

)

select
    source,
    node_id,
    ancestor_id,
    depth
from walks
