with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}

),

requests as (

    select
        requests.source,
        requests.surface,
        requests.outcome,
        case
            when requests.outcome = 'answered' then cast(requests.latency_ms as double)
        end as answered_ms,
        coalesce(requests.account_id, requests.member_id) as id,
        case when requests.account_id is null then 'member' else 'account' end as id_kind,
        {{ local_date('requests.occurred_at', 'parameters') }} as date
    from {{ ref('stg_operations__assistant_requests') }} as requests
    cross join parameters

)

-- A request that names nobody is nobody's to leave out.
select
    requests.date,
    requests.surface,
    count(*) as requests,
    count(*) filter (where requests.outcome = 'answered') as answered,
    count(*) filter (where requests.outcome = 'handoff') as handoffs,
    count(*) filter (where requests.outcome = 'failed') as failed,
    percentile_cont(0.5) within group (order by requests.answered_ms) as p50_ms,
    percentile_cont(0.95) within group (order by requests.answered_ms) as p95_ms
from requests
cross join parameters
left join identities
    on
        requests.source = identities.source
        and requests.id_kind = identities.id_kind
        and requests.id = identities.id
where
    requests.date <= parameters.as_of_date
    and not coalesce(identities.is_excluded or identities.is_staff, false)
group by requests.date, requests.surface
