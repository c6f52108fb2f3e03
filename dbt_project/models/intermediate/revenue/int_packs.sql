with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

spend as (

    select * from {{ ref('int_spend') }}
    where target = 'pack'

),

experiments as (

    select
        experiments.source,
        experiments.experiment_id,
        least(
            coalesce(
                experiments.ends_at,
                {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}
            ),
            {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}
        ) as measured_until
    from {{ ref('stg_operations__experiments') }} as experiments
    cross join parameters
    where experiments.unit = 'group'

),

seen as (

    select
        source,
        target_id as pack_id
    from spend
    union
    select
        source,
        seed_pack_id as pack_id
    from {{ ref('int_groups') }}
    where seed_pack_id is not null
    union
    select
        memberships.source,
        memberships.pack_id
    from {{ ref('stg_group__memberships') }} as memberships
    cross join parameters
    where
        memberships.pack_id is not null
        and {{ local_date('memberships.occurred_at', 'parameters') }}
        <= parameters.as_of_date

),

packs as (

    select
        seen.source,
        seen.pack_id,
        experiments.experiment_id is not null as is_randomised,
        coalesce(
            experiments.measured_until,
            {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}
        ) as measured_until
    from seen
    cross join parameters
    left join experiments
        on seen.source = experiments.source and seen.pack_id = experiments.experiment_id

),

spent as (

    select
        packs.source,
        packs.pack_id,
        cast(sum(spend.reporting_minor) as bigint) as spend_minor
    from packs
    inner join spend
        on packs.source = spend.source and packs.pack_id = spend.target_id
    cross join parameters
    where {{ local_midnight('spend.spent_on', 'parameters.timezone') }} < packs.measured_until
    group by packs.source, packs.pack_id

)

select
    packs.source,
    packs.pack_id,
    packs.is_randomised,
    packs.measured_until,
    coalesce(spent.spend_minor, 0) as spend_minor
from packs
left join spent
    on packs.source = spent.source and packs.pack_id = spent.pack_id
