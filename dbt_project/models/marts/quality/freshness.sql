with

files as (

    select
        log,
        max(loaded_at) as last_loaded_at
    from {{ source('control', 'files') }}
    where accepted > 0
    group by log

),

last_records as (

    {% call(log, table, key, time, is_entity) union_logs() -%}
    select
        '{{ log }}' as log,
        max(cast({{ time }} as timestamp)) as last_occurred_at
    from {{ ref('stg_' ~ table) }}
    {%- endcall %}

)

select
    last_records.log,
    last_records.last_occurred_at,
    files.last_loaded_at,
    {{ seconds_between('last_records.last_occurred_at', 'files.last_loaded_at') }} as lag_seconds
from last_records
left join files on last_records.log = files.log
