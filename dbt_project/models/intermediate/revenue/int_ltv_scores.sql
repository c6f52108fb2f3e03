with

fits as (

    select * from {{ ref('int_ltv_fits') }}

),

scored as (

    select
        histories.fit,
        histories.person_id,
        histories.frequency,
        histories.recency_days,
        histories.t_days,
        expectations.p_alive,
        expectations.expected_orders,
        fits.gamma_p * (fits.gamma_minor + greatest(histories.value_minor, 0))
        / nullif(fits.gamma_p * histories.valued_days + fits.gamma_q - 1, 0) as value_of_purchase,
        fits.model
    from {{ ref('int_purchase_histories') }} as histories
    inner join fits on histories.fit = fits.fit
    left join {{ ref('int_ltv_expectations') }} as expectations
        on
            histories.fit = expectations.fit
            and histories.frequency = expectations.frequency
            and histories.recency_days = expectations.recency_days
            and histories.t_days = expectations.t_days

)

select
    fit,
    person_id,
    frequency,
    recency_days,
    t_days,
    p_alive,
    expected_orders,
    try_cast(round(expected_orders * value_of_purchase) as bigint) as expected_value_minor,
    model
from scored
