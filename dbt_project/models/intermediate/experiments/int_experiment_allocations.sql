with

units as (

    select
        source,
        experiment_id,
        variant,
        count(*) as units
    from {{ ref('int_experiment_units') }}
    where variants = 1
    group by source, experiment_id, variant

)

select
    arms.source,
    arms.experiment_id,
    arms.variant,
    arms.weight,
    coalesce(units.units, 0) as units
from {{ ref('int_experiment_arms') }} as arms
left join units
    on
        arms.source = units.source
        and arms.experiment_id = units.experiment_id
        and arms.variant = units.variant
