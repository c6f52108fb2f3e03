with

catalogue as (
    select * from {{ ref('metric_catalogue') }}
)

select
    id,
    name_zh,
    name_en,
    formula,
    numerator,
    denominator,
    time_window as {{ adapter.quote('window') }},
    exclusions,
    null_rule,
    additivity,
    cast(version as bigint) as version,
    mart,
    mart_columns,
    seed_term
from catalogue
