with

orders as (

    select * from {{ ref('int_orders_counted') }}

),

contents as (

    select * from {{ ref('int_contents') }}

),

policies as (

    select * from {{ ref('int_share_policies_in_force') }}

),

pool_orders as (

    select
        orders.source,
        orders.order_id,
        orders.month,
        orders.person_id,
        orders.content_id,
        contents.node_id,
        orders.net_minor
    from orders
    left join contents
        on orders.source = contents.source and orders.content_id = contents.content_id
    where orders.kind in ('column', 'tip') or contents.is_paid

),

nodes as (

    select distinct
        source,
        node_id,
        month
    from pool_orders
    where node_id is not null

),

ranked_node_policies as (

    select
        nodes.source,
        nodes.node_id,
        nodes.month,
        policies.policy_id,
        policies.share_bps,
        row_number() over (
            partition by nodes.source, nodes.node_id, nodes.month
            order by ancestors.depth asc nulls last
        ) as nearest_first
    from nodes
    inner join {{ ref('int_node_ancestors') }} as ancestors
        on nodes.source = ancestors.source and nodes.node_id = ancestors.node_id
    inner join policies
        on
            nodes.month = policies.month
            and nodes.source = policies.source
            and policies.scope = 'node'
            and ancestors.ancestor_id = policies.node_id

)

select
    pool_orders.source,
    pool_orders.order_id,
    pool_orders.month,
    pool_orders.person_id,
    pool_orders.content_id,
    pool_orders.node_id,
    pool_orders.net_minor,
    coalesce(node_policies.policy_id, platform_policies.policy_id) as policy_id,
    coalesce(node_policies.share_bps, platform_policies.share_bps, 0) as share_bps
from pool_orders
left join ranked_node_policies as node_policies
    on
        pool_orders.source = node_policies.source
        and pool_orders.node_id = node_policies.node_id
        and pool_orders.month = node_policies.month
        and node_policies.nearest_first = 1
left join policies as platform_policies
    on
        pool_orders.source = platform_policies.source
        and pool_orders.month = platform_policies.month
        and platform_policies.scope = 'platform'
