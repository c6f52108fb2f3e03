with

files as (

    select * from {{ source('control', 'files') }}

)

select
    path as file,
    log,
    lines_read,
    accepted,
    rejected,
    duplicates,
    loaded_at,
    file_id,
    state,
    reason,
    batch_id
from files
