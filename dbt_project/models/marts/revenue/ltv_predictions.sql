select
    scores.person_id,
    scores.frequency,
    scores.recency_days,
    scores.t_days,
    scores.p_alive,
    scores.expected_orders as expected_orders_90d,
    scores.expected_value_minor as expected_value_90d_minor,
    scores.model
from {{ ref('int_ltv_scores') }} as scores
inner join {{ ref('int_persons') }} as persons on scores.person_id = persons.person_id
where scores.fit = 'forecast' and not persons.is_erased
