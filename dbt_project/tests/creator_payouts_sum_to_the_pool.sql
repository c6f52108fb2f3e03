-- In both models a month's payouts are its pool, and its pool is what the orders say.
with

paid as (
    select
        month,
        model,
        min(pool_minor) as pool_minor,
        max(pool_minor) as greatest_pool_minor,
        sum(payout_minor) as payout_minor
    from {{ ref('creator_payouts') }}
    group by month, model
),

expected as (
    select
        month,
        sum({{ wide_integer('net_minor') }} * share_bps) as pool_bps
    from {{ ref('int_pool_orders') }}
    group by month
),

models as (
    select 'pro_rata' as model
    union all
    select 'user_centric' as model
)

select
    expected.month,
    models.model
from expected
cross join models
left join paid on expected.month = paid.month and models.model = paid.model
where
    paid.month is null
    or paid.pool_minor <> paid.greatest_pool_minor
    or paid.pool_minor <> paid.payout_minor
    or abs({{ wide_integer('paid.pool_minor') }} * 10000 - expected.pool_bps) > 5000
