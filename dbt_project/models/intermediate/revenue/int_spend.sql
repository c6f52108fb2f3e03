with

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    spend.source,
    spend.spend_id,
    spend.target,
    spend.target_id,
    spend.spent_on,
    {{ reporting_minor('spend.amount_minor', 'rates.numerator', 'rates.denominator') }}
        as reporting_minor
from {{ ref('stg_operations__spend') }} as spend
cross join parameters
left join {{ ref('int_conversion_rates') }} as rates
    on spend.currency = rates.currency and spend.spent_on = rates.on_date
where spend.spent_on <= parameters.as_of_date
