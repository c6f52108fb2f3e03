with

packs as (

    select * from {{ ref('int_packs') }}

),

sums as (

    select
        source,
        pack_id,
        arm,
        count(*) as groups,
        sum(spend_minor) as spend_minor,
        sum(new_members) as new_members,
        sum(members_naming_pack) as members_naming_pack,
        sum({{ wide_integer('spend_minor') }} * spend_minor) as spend_squares,
        sum({{ wide_integer('spend_minor') }} * new_members) as spend_members,
        sum({{ wide_integer('new_members') }} * new_members) as member_squares
    from {{ ref('int_pack_groups') }}
    group by source, pack_id, arm

),

arms as (

    select 'pack' as arm
    union all
    select 'holdout' as arm

)

select
    packs.source,
    packs.pack_id,
    arms.arm,
    packs.is_randomised,
    coalesce(sums.groups, 0) as groups,
    case when arms.arm = 'pack' then packs.spend_minor else 0 end as pack_spend_minor,
    cast(coalesce(sums.spend_minor, 0) as bigint) as group_spend_minor,
    cast(coalesce(sums.new_members, 0) as bigint) as new_members,
    cast(coalesce(sums.members_naming_pack, 0) as bigint) as members_naming_pack,
    cast(coalesce(sums.spend_squares, 0) as string) as spend_squares,
    cast(coalesce(sums.spend_members, 0) as string) as spend_members,
    cast(coalesce(sums.member_squares, 0) as string) as member_squares
from packs
cross join arms
left join sums
    on
        packs.source = sums.source
        and packs.pack_id = sums.pack_id
        and arms.arm = sums.arm
