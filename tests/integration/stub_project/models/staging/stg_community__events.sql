select
    source,
    event_id,
    account_id,
    occurred_at,
    _batch_id as batch_id
from {{ source('raw', 'community__events') }}
