with

experiments as (

    select
        experiments.source,
        experiments.experiment_id,
        experiments.unit,
        experiments.ends_at,
        {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }} as known_until,
        parameters.timezone
    from {{ ref('stg_operations__experiments') }} as experiments
    cross join {{ source('control', 'parameters') }} as parameters

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
        experiments.timezone,
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
    source,
    experiment_id,
    event_id,
    unit as unit_kind,
    counted_id as unit_id,
    variant,
    occurred_at,
    {{ local_date('occurred_at', 'timezone') }} as exposed_date,
    measured_until,
    occurred_at >= measured_until as is_late
from units
