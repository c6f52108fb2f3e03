-- Of every complete month, model and person the ledger's entries sum to the payout, and of every
-- month and model to the pool; a build that looks back before the last posting is left out.
with

parameters as (
    select * from {{ source('control', 'parameters') }}
),

later as (
    select count(*) as rows_later
    from {{ source('control', 'payout_ledger') }} as ledger
    cross join parameters
    where ledger.posted_on > parameters.as_of_date
),

payouts as (
    select * from {{ ref('creator_payouts') }}
    where is_complete
),

changes as (
    select
        month,
        model,
        person_id,
        amount_minor
    from {{ ref('payout_ledger') }}
    union all
    select
        month,
        model,
        person_id,
        -payout_minor as amount_minor
    from payouts
),

pools as (
    select
        month,
        model,
        amount_minor
    from {{ ref('payout_ledger') }}
    union all
    select distinct
        month,
        model,
        -pool_minor as amount_minor
    from payouts
),

wrong as (
    select
        month,
        model,
        person_id
    from changes
    group by month, model, person_id
    having sum(amount_minor) <> 0
    union all
    select
        month,
        model,
        '*' as person_id
    from pools
    group by month, model
    having sum(amount_minor) <> 0
)

select wrong.*
from wrong
cross join later
where later.rows_later = 0
