with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

subscriptions as (

    select
        subscriptions.*,
        coalesce(subscriptions.account_id, subscriptions.member_id) as payer_id,
        case when subscriptions.account_id is null then 'member' else 'account' end
            as payer_id_kind,
        {{ local_date('subscriptions.occurred_at', 'parameters') }} as occurred_date
    from {{ ref('stg_commerce__subscriptions') }} as subscriptions
    cross join parameters
    where
        subscriptions.action in ('start', 'renew', 'change')
        and subscriptions.period_start < subscriptions.period_end

),

converted as (

    select
        subscriptions.*,
        cast(subscriptions.period_end - subscriptions.period_start as bigint) as days,
        {{ reporting_minor('subscriptions.amount_minor', 'rates.numerator', 'rates.denominator') }}
            as reporting_minor
    from subscriptions
    left join {{ ref('int_conversion_rates') }} as rates
        on
            subscriptions.currency = rates.currency
            and subscriptions.occurred_date = rates.on_date

)

select
    converted.source,
    converted.subscription_id,
    converted.event_id,
    converted.plan_id,
    converted.action,
    identities.person_id,
    converted.occurred_at,
    converted.period_start,
    converted.period_end,
    converted.reporting_minor,
    {{ reporting_minor('converted.reporting_minor', '30', 'converted.days') }} as monthly_minor
from converted
cross join parameters
inner join {{ ref('int_identities') }} as identities
    on
        converted.source = identities.source
        and converted.payer_id_kind = identities.id_kind
        and converted.payer_id = identities.id
where
    not identities.is_excluded
    and not identities.is_staff
    and converted.occurred_date <= parameters.as_of_date
