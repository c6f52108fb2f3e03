select distinct cast(timezone(parameters.timezone, timezone('UTC', events.occurred_at)) as date) as activity_date
from {{ ref('stg_community__events') }} as events
cross join {{ source('control', 'parameters') }} as parameters
where events.batch_id > parameters.watermark_batch_id
union
select activity_date from {{ source('control', 'window_dates') }}
