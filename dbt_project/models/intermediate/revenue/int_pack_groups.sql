with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

spend as (

    select * from {{ ref('int_spend') }}

),

groups as (

    select * from {{ ref('int_groups') }}
    where seed_pack_id is not null

),

acquisitions as (

    select * from {{ ref('int_acquisitions') }}

),

packs as (

    select * from {{ ref('int_packs') }}

),

-- A group that was shown both arms belongs to neither.
exposed as (

    select
        exposures.source,
        exposures.experiment_id as pack_id,
        exposures.unit_id as group_id,
        max(case when exposures.variant = 'holdout' then 'holdout' else 'pack' end) as arm,
        min(exposures.occurred_at) as exposed_at,
        min(exposures.exposed_date) as exposed_date
    from {{ ref('int_experiment_exposures') }} as exposures
    inner join packs
        on
            exposures.source = packs.source
            and exposures.experiment_id = packs.pack_id
    where packs.is_randomised and exposures.unit_kind = 'group' and not exposures.is_late
    group by exposures.source, exposures.experiment_id, exposures.unit_id
    having count(distinct case when exposures.variant = 'holdout' then 1 else 0 end) = 1

),

pack_groups as (

    select
        source,
        pack_id,
        group_id,
        arm,
        exposed_at,
        exposed_date
    from exposed
    union all
    select
        groups.source,
        groups.seed_pack_id as pack_id,
        groups.group_id,
        'pack' as arm,
        cast(null as timestamp) as exposed_at,
        cast(null as date) as exposed_date
    from groups
    inner join packs
        on groups.source = packs.source and groups.seed_pack_id = packs.pack_id
    where not packs.is_randomised

),

group_spend as (

    select
        pack_groups.source,
        pack_groups.pack_id,
        pack_groups.group_id,
        cast(sum(spend.reporting_minor) as bigint) as spend_minor
    from pack_groups
    inner join packs
        on pack_groups.source = packs.source and pack_groups.pack_id = packs.pack_id
    inner join spend
        on pack_groups.source = spend.source and pack_groups.group_id = spend.target_id
    cross join parameters
    where
        spend.target = 'group'
        and (pack_groups.exposed_date is null or pack_groups.exposed_date <= spend.spent_on)
        and {{ local_midnight('spend.spent_on', 'parameters.timezone') }} < packs.measured_until
    group by pack_groups.source, pack_groups.pack_id, pack_groups.group_id

),

joiners as (

    select
        pack_groups.source,
        pack_groups.pack_id,
        pack_groups.group_id,
        count(*) as new_members,
        count(named.person_id) as members_naming_pack
    from pack_groups
    inner join packs
        on pack_groups.source = packs.source and pack_groups.pack_id = packs.pack_id
    inner join acquisitions
        on
            pack_groups.source = acquisitions.source
            and pack_groups.group_id = acquisitions.target_id
            and acquisitions.channel_kind = 'group'
    left join acquisitions as named
        on
            acquisitions.person_id = named.person_id
            and pack_groups.pack_id = named.target_id
            and named.channel_kind = 'pack'
    where
        (pack_groups.exposed_at is null or pack_groups.exposed_at <= acquisitions.acquired_at)
        and acquisitions.acquired_at < packs.measured_until
    group by pack_groups.source, pack_groups.pack_id, pack_groups.group_id

)

select
    pack_groups.source,
    pack_groups.pack_id,
    pack_groups.group_id,
    pack_groups.arm,
    pack_groups.exposed_at,
    coalesce(group_spend.spend_minor, 0) as spend_minor,
    coalesce(joiners.new_members, 0) as new_members,
    coalesce(joiners.members_naming_pack, 0) as members_naming_pack
from pack_groups
left join group_spend
    on
        pack_groups.source = group_spend.source
        and pack_groups.pack_id = group_spend.pack_id
        and pack_groups.group_id = group_spend.group_id
left join joiners
    on
        pack_groups.source = joiners.source
        and pack_groups.pack_id = joiners.pack_id
        and pack_groups.group_id = joiners.group_id
