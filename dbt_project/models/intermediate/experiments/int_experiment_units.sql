with

exposures as (

    select * from {{ ref('int_experiment_exposures') }}
    where not is_late

),

in_order as (

    select
        source,
        experiment_id,
        unit_kind,
        unit_id,
        variant,
        occurred_at,
        exposed_date,
        measured_until,
        row_number() over (
            partition by source, experiment_id, unit_id
            order by occurred_at asc nulls first, event_id asc nulls first
        ) as place
    from exposures

),

seen as (

    select
        source,
        experiment_id,
        unit_id,
        count(distinct variant) as variants
    from exposures
    group by source, experiment_id, unit_id

)

select
    in_order.source,
    in_order.experiment_id,
    in_order.unit_kind,
    in_order.unit_id,
    in_order.variant,
    seen.variants,
    in_order.occurred_at as first_exposed_at,
    in_order.exposed_date as first_exposed_date,
    in_order.measured_until
from in_order
inner join seen
    on
        in_order.source = seen.source
        and in_order.experiment_id = seen.experiment_id
        and in_order.unit_id = seen.unit_id
where in_order.place = 1
