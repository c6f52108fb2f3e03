with

links as (

    select
        {{ id_key("'account'", 'account_source', 'account_id') }} as account_key,
        {{ id_key("'member'", 'member_source', 'member_id') }} as member_key,
        action,
        occurred_at,
        source,
        link_id
    from {{ ref('stg_commerce__identity_links') }}

),

ranked_links as (

    select
        account_key,
        member_key,
        action,
        row_number() over (
            partition by account_key, member_key
            order by occurred_at desc nulls last, source desc nulls last, link_id desc nulls last
        ) as newest_first
    from links

),

shared_keys as (

    select * from {{ ref('int_identity_keys') }}

),

tombstones as (

    select
        {{ id_key('id_kind', 'source', 'replacement_id') }} as id_key,
        erasure
    from {{ source('control', 'tombstones') }}

),

-- What was one person when it was erased stays one, whatever is linked to it or unlinked later.
erased_ids as (

    select
        id_key,
        min(id_key) over (partition by erasure) as first_id_key
    from tombstones

)

select
    ranked_links.account_key as id_key_a,
    ranked_links.member_key as id_key_b
from ranked_links
where
    ranked_links.newest_first = 1
    and ranked_links.action = 'link'
    and ranked_links.account_key not in (select tombstones.id_key from tombstones)
    and ranked_links.member_key not in (select tombstones.id_key from tombstones)
union
select
    first_id_key as id_key_a,
    id_key as id_key_b
from erased_ids
where id_key != first_id_key
union
-- A star from the key's first id joins all of its ids with the fewest edges.
select
    first_id_key as id_key_a,
    id_key as id_key_b
from shared_keys
where not is_overshared and id_key != first_id_key
