with

entries as (

    select * from {{ source('control', 'release_ledger') }}

)

select
    seq,
    recorded_at,
    entry,
    status,
    population,
    purpose,
    pack,
    version,
    spec_sha256,
    snapshot_id,
    mechanism,
    params,
    epsilon,
    delta,
    prev_hash,
    row_hash
from entries
