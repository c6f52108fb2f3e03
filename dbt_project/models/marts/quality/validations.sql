{{ config(materialized='view') }}

with

verdicts as (

    select * from {{ source('control', 'validations') }}

)

select
    run_id as run,
    stage,
    suite,
    expectation,
    success,
    observed,
    column_name,
    severity,
    table_name,
    fingerprint,
    checked_at
from verdicts
