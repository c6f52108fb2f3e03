with

files as (

    select * from {{ source('control', 'files') }}

),

lines as (

    select
        file_id,
        path,
        log,
        line,
        reason,
        field,
        rejected_at
    from {{ source('quarantine', 'lines') }}

),

-- A file that was quarantined whole is one row without a line, once.
whole_files as (

    select
        files.file_id,
        files.path,
        files.log,
        cast(null as bigint) as line,
        files.reason,
        cast(null as string) as field,
        files.loaded_at as rejected_at
    from files
    left join lines on files.file_id = lines.file_id
    where files.state = 'quarantined' and lines.file_id is null

),

rejections as (

    select * from lines
    union all
    select * from whole_files

)

select
    path as file,
    line,
    log,
    reason,
    field,
    rejected_at,
    file_id
from rejections
