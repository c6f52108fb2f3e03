with

days as (

    select
        fit,
        person_id,
        paid_date,
        net_minor,
        min(paid_date) over (partition by fit, person_id) as first_paid_date
    from {{ ref('int_purchase_days') }}

)

select
    days.fit,
    days.person_id,
    count(*) - 1 as frequency,
    cast(max(days.paid_date) - days.first_paid_date as bigint) as recency_days,
    cast(cutoffs.cutoff_date - days.first_paid_date as bigint) as t_days,
    count(days.net_minor) filter (where days.paid_date > days.first_paid_date) as valued_days,
    cast(
        coalesce(sum(days.net_minor) filter (where days.paid_date > days.first_paid_date), 0)
        as bigint
    ) as value_minor
from days
inner join {{ ref('int_ltv_cutoffs') }} as cutoffs on days.fit = cutoffs.fit
group by days.fit, days.person_id, days.first_paid_date, cutoffs.cutoff_date
