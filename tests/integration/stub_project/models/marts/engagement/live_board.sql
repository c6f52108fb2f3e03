select
    {{ five_minute_start('events.occurred_at') }} as five_minute_start,
    events.source,
    count(*) as events
from {{ ref('stg_community__events') }} as events
group by 1, 2
