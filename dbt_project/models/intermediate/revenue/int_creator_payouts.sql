{#- Quotas are whole numbers of 10⁻¹² minor units; the sums behind them carry 10⁻¹⁶. -#}
{%- set quota_scale = 1000000000000 -%}
{%- set sum_scale = 10000000000000000 -%}

with

pool_orders as (

    select * from {{ ref('int_pool_orders') }}

),

reads as (

    select * from {{ ref('int_creator_reads') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

payers as (

    select
        month,
        person_id,
        sum({{ wide_integer('net_minor') }} * share_bps) as own_bps
    from pool_orders
    group by month, person_id

),

month_money as (

    select
        month,
        sum(own_bps) as pool_bps
    from payers
    group by month

),

pools as (

    select
        month,
        pool_bps,
        cast(
            case when pool_bps < 0 then -1 else 1 end
            * {{ floor_divide('2 * abs(pool_bps) + 10000', '20000') }}
            as bigint
        ) as pool_minor
    from month_money

),

month_reads as (

    select
        month,
        sum(reads) as reads
    from reads
    group by month

),

creator_reads as (

    select
        month,
        creator_id,
        sum(reads) as reads
    from reads
    group by month, creator_id

),

reader_reads as (

    select
        month,
        reader_id,
        sum(reads) as reads
    from reads
    group by month, reader_id

),

readers_money as (

    select
        payers.month,
        reads.creator_id,
        {{ scaled_share('payers.own_bps', 'reads.reads', 'reader_reads.reads', sum_scale) }}
            as creator_bps
    from payers
    inner join reader_reads
        on payers.month = reader_reads.month and payers.person_id = reader_reads.reader_id
    inner join reads
        on payers.month = reads.month and payers.person_id = reads.reader_id

),

unread_money as (

    select
        payers.month,
        sum(payers.own_bps) as own_bps
    from payers
    left join reader_reads
        on payers.month = reader_reads.month and payers.person_id = reader_reads.reader_id
    where reader_reads.reader_id is null
    group by payers.month

),

creators_money as (

    select
        month,
        creator_id,
        creator_bps
    from readers_money
    union all
    select
        unread_money.month,
        creator_reads.creator_id,
        {{ scaled_share(
            'unread_money.own_bps', 'creator_reads.reads', 'month_reads.reads', sum_scale
        ) }} as creator_bps
    from unread_money
    inner join creator_reads on unread_money.month = creator_reads.month
    inner join month_reads on unread_money.month = month_reads.month

),

creators as (

    select
        month,
        creator_id,
        sum(creator_bps) as creator_bps
    from creators_money
    group by month, creator_id

),

quotas as (

    select
        pools.month,
        'pro_rata' as model,
        creator_reads.creator_id,
        pools.pool_minor,
        {{ scaled_share(
            'pools.pool_minor', 'creator_reads.reads', 'month_reads.reads', quota_scale
        ) }} as quota
    from pools
    inner join month_reads on pools.month = month_reads.month
    inner join creator_reads on pools.month = creator_reads.month
    union all
    select
        pools.month,
        'user_centric' as model,
        creator_reads.creator_id,
        pools.pool_minor,
        coalesce({{ floor_divide(
            scaled_share('creators.creator_bps', 'abs(pools.pool_minor)', 'abs(pools.pool_bps)', '1')
            ~ ' + 5000',
            '10000'
        ) }}, 0) as quota
    from pools
    inner join creator_reads on pools.month = creator_reads.month
    left join creators
        on
            creator_reads.month = creators.month
            and creator_reads.creator_id = creators.creator_id

),

floored as (

    select
        month,
        model,
        creator_id,
        pool_minor,
        {{ floor_divide('quota', quota_scale) }} as floor_minor,
        quota - {{ floor_divide('quota', quota_scale) }} * {{ quota_scale }} as remainder
    from quotas

),

ranked_ids as (

    select
        person_id,
        is_erased,
        source,
        id,
        row_number() over (
            partition by person_id
            order by source asc nulls first, id asc nulls first, id_kind asc nulls first
        ) as smallest_first
    from {{ ref('int_identities') }}

),

ranked as (

    select
        floored.month,
        floored.model,
        case when persons.is_erased then '(erased)' else floored.creator_id end as person_id,
        floored.pool_minor,
        floored.floor_minor,
        floored.pool_minor
        - sum(floored.floor_minor) over (partition by floored.month, floored.model) as left_over,
        row_number() over (
            partition by floored.month, floored.model
            order by
                floored.remainder desc nulls last,
                persons.source asc nulls first,
                persons.id asc nulls first,
                floored.creator_id asc nulls first
        ) as remainder_rank
    from floored
    inner join ranked_ids as persons
        on floored.creator_id = persons.person_id and persons.smallest_first = 1

),

payouts as (

    select
        month,
        model,
        person_id,
        pool_minor,
        floor_minor + case when remainder_rank <= left_over then 1 else 0 end as payout_minor
    from ranked
    union all
    select
        pools.month,
        models.model,
        '(none)' as person_id,
        pools.pool_minor,
        pools.pool_minor as payout_minor
    from pools
    cross join (
        select 'pro_rata' as model
        union all
        select 'user_centric' as model
    ) as models
    left join month_reads on pools.month = month_reads.month
    where month_reads.month is null

)

select
    payouts.month,
    payouts.model,
    payouts.person_id,
    payouts.pool_minor,
    cast(sum(payouts.payout_minor) as bigint) as payout_minor,
    cast(payouts.month + interval 1 month as date) <= parameters.as_of_date + 1 as is_complete
from payouts
cross join parameters
group by
    payouts.month,
    payouts.model,
    payouts.person_id,
    payouts.pool_minor,
    parameters.as_of_date
