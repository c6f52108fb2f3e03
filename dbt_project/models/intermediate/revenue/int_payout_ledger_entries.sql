with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

ledger as (

    select * from {{ source('control', 'payout_ledger') }}

),

persons as (

    select * from {{ ref('int_persons') }}

),

-- A build that looks back to before the last posting is none of record: it posts nothing.
head as (

    select
        coalesce(max(ledger.seq), 0) as last_seq,
        coalesce(max(ledger.posted_on) <= max(parameters.as_of_date), true) as may_post
    from parameters
    left join ledger on true

),

targets as (

    select
        month,
        model,
        person_id as payee,
        payout_minor
    from {{ ref('int_creator_payouts') }}
    where is_complete

),

months_posted as (

    select
        month,
        model,
        max_by(refunds_minor, seq) as refunds_minor
    from ledger
    group by month, model

),

months_refunded as (

    select
        pool_orders.month,
        cast(coalesce(sum(orders.refunded_reporting_minor), 0) as bigint) as refunds_minor
    from {{ ref('int_pool_orders') }} as pool_orders
    inner join {{ ref('int_orders') }} as orders
        on
            pool_orders.source = orders.source
            and pool_orders.order_id = orders.order_id
    group by pool_orders.month

),

balances as (

    select
        ledger.month,
        ledger.model,
        case when persons.is_erased then '(erased)' else ledger.payee end as payee,
        persons.person_id is null
        and ledger.payee not in ('(erased)', '(former)', '(none)') as is_former,
        cast(sum(ledger.amount_minor) as bigint) as balance_minor
    from ledger
    left join persons on ledger.payee = persons.person_id
    group by
        ledger.month,
        ledger.model,
        case when persons.is_erased then '(erased)' else ledger.payee end,
        persons.person_id is null
        and ledger.payee not in ('(erased)', '(former)', '(none)')

),

-- Whose ids a former person's ids are now: several persons where links were taken apart.
heirs as (

    select distinct
        payees.payee,
        case when identities.is_erased then '(erased)' else identities.person_id end as heir
    from {{ source('control', 'payout_payees') }} as payees
    inner join {{ ref('int_identities') }} as identities
        on
            payees.id_kind = identities.id_kind
            and payees.source = identities.source
            and payees.id = identities.id

),

claims as (

    select
        balances.month,
        balances.model,
        balances.payee,
        balances.balance_minor,
        heirs.heir,
        greatest(coalesce(targets.payout_minor, 0), 0) as weight
    from balances
    inner join heirs on balances.payee = heirs.payee
    left join targets
        on
            balances.month = targets.month
            and balances.model = targets.model
            and heirs.heir = targets.payee
    where balances.is_former and balances.balance_minor <> 0

),

ranked_claims as (

    select
        month,
        model,
        payee,
        balance_minor,
        heir,
        weight,
        sum(weight) over (partition by month, model, payee) as weights,
        row_number() over (
            partition by month, model, payee
            order by weight desc nulls last, heir asc nulls first
        ) as heaviest_first
    from claims

),

floored_claims as (

    select
        month,
        model,
        payee,
        balance_minor,
        heir,
        heaviest_first,
        coalesce(
            {{ floor_divide(wide_integer('balance_minor') ~ ' * weight', 'weights') }}, 0
        ) as floor_minor
    from ranked_claims

),

inherited as (

    select
        month,
        model,
        payee,
        heir,
        floor_minor
        + case
            when heaviest_first = 1
                then
                    balance_minor
                    - sum(floor_minor) over (partition by month, model, payee)
            else 0
        end as amount_minor
    from floored_claims

),

transfers as (

    select
        month,
        model,
        payee,
        -amount_minor as amount_minor
    from inherited
    union all
    select
        month,
        model,
        heir as payee,
        amount_minor
    from inherited

),

changes as (

    select
        month,
        model,
        payee,
        payout_minor as amount_minor
    from targets
    union all
    select
        month,
        model,
        payee,
        -balance_minor as amount_minor
    from balances
    union all
    select
        month,
        model,
        payee,
        -amount_minor as amount_minor
    from transfers

),

entries as (

    select
        month,
        model,
        payee,
        true as is_transfer,
        sum(amount_minor) as amount_minor
    from transfers
    group by month, model, payee
    union all
    select
        month,
        model,
        payee,
        false as is_transfer,
        sum(amount_minor) as amount_minor
    from changes
    group by month, model, payee

),

classified as (

    select
        entries.month,
        entries.model,
        entries.payee,
        case
            when entries.is_transfer then 'transfer'
            when months_posted.month is null then 'payout'
            when
                entries.amount_minor < 0
                and coalesce(months_refunded.refunds_minor, 0) > months_posted.refunds_minor
                then 'claw_back'
            else 'adjustment'
        end as entry_kind,
        cast(entries.amount_minor as bigint) as amount_minor,
        coalesce(months_refunded.refunds_minor, 0) as refunds_minor
    from entries
    left join months_posted
        on entries.month = months_posted.month and entries.model = months_posted.model
    left join months_refunded on entries.month = months_refunded.month
    where entries.amount_minor <> 0

),

numbered as (

    select
        head.last_seq + row_number() over (
            order by
                classified.month asc nulls first,
                classified.model asc nulls first,
                case classified.entry_kind
                    when 'payout' then 1
                    when 'transfer' then 2
                    when 'claw_back' then 3
                    else 4
                end asc nulls first,
                classified.payee asc nulls first
        ) as seq,
        parameters.as_of_date as posted_on,
        classified.month,
        classified.model,
        classified.entry_kind,
        classified.payee,
        classified.amount_minor,
        classified.refunds_minor
    from classified
    cross join head
    cross join parameters
    where head.may_post

),

salted as (

    select
        numbered.*,
        {{ tokenise("'payout_ledger|' || cast(numbered.seq as string)") }} as salt
    from numbered

)

select
    seq,
    posted_on,
    month,
    model,
    entry_kind,
    payee,
    amount_minor,
    refunds_minor,
    salt,
    {{ sha256_hex("salt || '|' || payee") }} as payee_commitment
from salted
