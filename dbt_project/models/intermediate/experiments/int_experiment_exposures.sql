with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

experiments as (

    select
        experiments.source,
        experiments.experiment_id,
        experiments.unit,
        experiments.ends_at,
        {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }} as known_until
    from {{ ref('stg_operations__experiments') }} as experiments
    cross join parameters

),

exposures as (

    select
        exposures.source,
        exposures.experiment_id,
        exposures.event_id,
        exposures.variant,
        exposures.unit_id,
        exposures.occurred_at,
        experiments.unit,
        least(coalesce(experiments.ends_at, experiments.known_until), experiments.known_until)
            as measured_until
    from {{ ref('stg_operations__exposures') }} as exposures
    inner join experiments
        on
            exposures.source = experiments.source
            and exposures.experiment_id = experiments.experiment_id
    where exposures.occurred_at < experiments.known_until

),

units as (

    select
        exposures.*,
        exposures.unit_id as counted_id
    from exposures
    where exposures.unit = 'group'
    union all
    select
        exposures.*,
        identities.person_id as counted_id
    from exposures
    inner join {{ ref('int_identities') }} as identities
        on
            exposures.source = identities.source
            and exposures.unit = identities.id_kind
            and exposures.unit_id = identities.id
    where not identities.is_excluded and not identities.is_staff

)

select
    units.source,
    units.experiment_id,
    units.event_id,
    units.unit as unit_kind,
    units.counted_id as unit_id,
    units.variant,
    units.occurred_at,
    {{ local_date('units.occurred_at', 'parameters') }} as exposed_date,
    units.measured_until,
    units.occurred_at >= units.measured_until as is_late
from units
cross join parameters
