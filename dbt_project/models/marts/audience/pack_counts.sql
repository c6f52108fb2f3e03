with

files as (

    select * from {{ source('control', 'audience_counts') }}

)

select
    pack,
    version,
    cell,
    measure,
    value
from files
