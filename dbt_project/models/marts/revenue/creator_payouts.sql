select
    month,
    model,
    person_id,
    pool_minor,
    payout_minor,
    is_complete
from {{ ref('int_creator_payouts') }}
