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

)

select
    account_key as id_key_a,
    member_key as id_key_b
from ranked_links
where newest_first = 1 and action = 'link'
union
-- A star from the key's first id joins all of its ids with the fewest edges.
select
    first_id_key as id_key_a,
    id_key as id_key_b
from shared_keys
where not is_overshared and id_key != first_id_key
