select
    days.activity_date as date,
    days.source,
    count(distinct days.account_id) as dau
from {{ ref('int_days') }} as days
cross join {{ source('control', 'parameters') }} as parameters
where days.activity_date <= parameters.as_of_date
group by 1, 2
