with

ids as (

    select * from {{ ref('int_ids') }}

),

components as (

    select * from {{ ref('int_identity_components') }}

),

records as (

    select
        id_key,
        is_bot or is_test as is_excluded,
        is_staff,
        erased_at is not null as is_erased
    from {{ ref('int_id_records') }}

),

tombstones as (

    select distinct {{ id_key('id_kind', 'source', 'replacement_id') }} as id_key
    from {{ source('control', 'tombstones') }}

),

labelled_ids as (

    select
        ids.source,
        ids.id_kind,
        ids.id,
        ids.id_key,
        ids.is_mentioned_only,
        coalesce(components.component_key, ids.id_key) as component_key,
        coalesce(records.is_excluded, false) as is_excluded,
        coalesce(records.is_staff, false) as is_staff,
        coalesce(records.is_erased, false) or tombstones.id_key is not null as is_erased
    from ids
    left join components
        on ids.id_key = components.id_key
    left join records
        on ids.id_key = records.id_key
    left join tombstones
        on ids.id_key = tombstones.id_key

),

persons as (

    select
        component_key,
        {{ sorted_join('id_key', "chr(10)") }} as id_keys,
        bool_or(is_excluded) as is_excluded,
        bool_or(is_staff) as is_staff,
        bool_or(is_erased) as is_erased
    from labelled_ids
    group by component_key

),

tokenised_persons as (

    select
        component_key,
        left({{ tokenise('id_keys') }}, 32) as person_id,
        is_excluded,
        is_staff,
        is_erased
    from persons

)

select
    labelled_ids.source,
    labelled_ids.id_kind,
    labelled_ids.id,
    tokenised_persons.person_id,
    tokenised_persons.is_excluded,
    tokenised_persons.is_staff,
    tokenised_persons.is_erased,
    labelled_ids.is_mentioned_only
from labelled_ids
inner join tokenised_persons
    on labelled_ids.component_key = tokenised_persons.component_key
