with

months as (

    select distinct month
    from {{ ref('int_orders_counted') }}

),

policies as (

    select * from {{ ref('stg_commerce__share_policies') }}

),

ranked as (

    select
        months.month,
        policies.source,
        policies.scope,
        policies.policy_id,
        policies.share_bps,
        case when policies.scope = 'node' then policies.scope_id end as node_id,
        row_number() over (
            partition by
                months.month,
                policies.source,
                policies.scope,
                case when policies.scope = 'node' then policies.scope_id end
            order by policies.valid_from desc nulls last, policies.policy_id desc nulls last
        ) as newest_first
    from policies
    inner join months on policies.valid_from <= months.month
    where policies.scope = 'platform' or policies.scope_id is not null

)

select
    month,
    source,
    scope,
    node_id,
    policy_id,
    share_bps
from ranked
where newest_first = 1
