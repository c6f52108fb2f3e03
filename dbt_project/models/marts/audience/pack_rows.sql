with

files as (

    select * from {{ source('control', 'audience_rows') }}

)

select
    pack,
    version,
    cell,
    column_name,
    value,
    cell_rows
from files
