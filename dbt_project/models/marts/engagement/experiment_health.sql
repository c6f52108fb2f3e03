with

exposed as (

    select
        source,
        experiment_id,
        count(*) filter (where is_late) as late_exposures
    from {{ ref('int_experiment_exposures') }}
    group by source, experiment_id

),

units as (

    select
        units.source,
        units.experiment_id,
        count(*) as units,
        count(*) filter (where units.variants > 1) as multi_exposed,
        count(*) filter (where arms.variant is null) as undeclared_units
    from {{ ref('int_experiment_units') }} as units
    left join {{ ref('int_experiment_arms') }} as arms
        on
            units.source = arms.source
            and units.experiment_id = arms.experiment_id
            and units.variant = arms.variant
    group by units.source, units.experiment_id

),

persons as (

    select
        source,
        experiment_id,
        count(*) as reached,
        count(*) filter (where variants > 1) as contaminated
    from {{ ref('int_experiment_reached') }}
    group by source, experiment_id

),

counted as (

    select
        exposed.source,
        exposed.experiment_id,
        ratios.srm_p,
        coalesce(units.units, 0) as units,
        coalesce(units.multi_exposed, 0) as multi_exposed,
        coalesce(persons.reached, 0) as reached,
        coalesce(persons.contaminated, 0) as contaminated,
        exposed.late_exposures,
        coalesce(units.undeclared_units, 0) as undeclared_units
    from exposed
    left join units
        on
            exposed.source = units.source
            and exposed.experiment_id = units.experiment_id
    left join persons
        on
            exposed.source = persons.source
            and exposed.experiment_id = persons.experiment_id
    left join {{ ref('int_experiment_sample_ratios') }} as ratios
        on
            exposed.source = ratios.source
            and exposed.experiment_id = ratios.experiment_id

)

select
    counted.source,
    counted.experiment_id,
    counted.srm_p,
    counted.units,
    counted.multi_exposed,
    counted.reached,
    counted.contaminated,
    counted.late_exposures,
    counted.undeclared_units,
    coalesce(counted.srm_p >= parameters.experiment_srm_min_p, false)
    and counted.multi_exposed * 10000
    <= parameters.experiment_max_multi_exposed_bps * counted.units
    and counted.contaminated * 10000
    <= parameters.experiment_max_contaminated_bps * counted.reached
        as is_valid
from counted
cross join {{ source('control', 'parameters') }} as parameters
