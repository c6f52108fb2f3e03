with

spans as (
    select * from {{ ref('int_tier_spans') }}
),

persons as (
    select * from {{ ref('int_persons') }}
)

select
    spans.person_id,
    spans.tier,
    spans.valid_from,
    spans.valid_to
from spans
inner join persons on spans.person_id = persons.person_id
where not persons.is_erased
