with

identities as (

    select * from {{ ref('int_identities') }}

)

select
    source,
    id,
    id_kind,
    person_id
from identities
where not is_erased and not is_mentioned_only
