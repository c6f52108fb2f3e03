with

dates as (

    select * from {{ ref('int_dates') }}

)

select
    date,
    week_start,
    month,
    day_type,
    is_complete,
    is_calendar_known
from dates
