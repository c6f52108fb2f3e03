with

posted as (

    select
        seq,
        posted_on,
        month,
        model,
        entry_kind,
        payee,
        amount_minor,
        payee_commitment,
        prev_hash,
        row_hash
    from {{ source('control', 'payout_ledger') }}

),

entries as (

    select
        seq,
        posted_on,
        month,
        model,
        entry_kind,
        payee,
        amount_minor,
        payee_commitment,
        prev_hash,
        row_hash
    from {{ ref('int_payout_ledger_rows') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

-- Models that ran before this build's rows were posted and after give the same ledger.
ledger as (

    select * from posted
    union all
    select entries.* from entries
    left join posted on entries.seq = posted.seq
    where posted.seq is null

),

persons as (

    select * from {{ ref('int_persons') }}

),

erased_payees as (

    select distinct payees.payee
    from {{ source('control', 'payout_payees') }} as payees
    inner join {{ ref('int_identities') }} as identities
        on
            payees.id_kind = identities.id_kind
            and payees.source = identities.source
            and payees.id = identities.id
    where identities.is_erased

)

select
    ledger.seq,
    ledger.posted_on,
    ledger.month,
    ledger.model,
    case
        when ledger.payee in ('(none)', '(erased)', '(former)') then ledger.payee
        when persons.is_erased or erased_payees.payee is not null then '(erased)'
        when persons.person_id is null then '(former)'
        else ledger.payee
    end as person_id,
    ledger.entry_kind,
    ledger.amount_minor,
    ledger.payee_commitment,
    ledger.prev_hash,
    ledger.row_hash
from ledger
cross join parameters
left join persons on ledger.payee = persons.person_id
left join erased_payees on ledger.payee = erased_payees.payee
where ledger.posted_on <= parameters.as_of_date
