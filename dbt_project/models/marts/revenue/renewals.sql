with

periods as (

    select * from {{ ref('int_subscription_periods') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

),

ended as (

    select
        periods.*,
        periods.period_end + 7 <= parameters.as_of_date as is_eligible,
        row_number() over (
            partition by periods.source, periods.subscription_id, periods.period_end
            order by periods.occurred_at desc nulls last, periods.event_id desc nulls last
        ) as newest_first
    from periods
    cross join parameters
    where periods.period_end <= parameters.as_of_date

),

-- What runs on over the end, and is no early renewal, means that nothing expired.
followed as (

    select
        ended.source,
        ended.event_id,
        ended.plan_id,
        ended.period_end,
        ended.is_eligible,
        coalesce(bool_or(
            others.period_start < ended.period_end
            and (others.action <> 'renew' or others.period_start <= ended.period_start)
        ), false) as is_carried_on,
        coalesce(bool_or(
            others.action = 'renew' and others.period_start <= ended.period_end + 7
        ), false) as is_renewed
    from ended
    left join periods as others
        on
            ended.source = others.source
            and ended.subscription_id = others.subscription_id
            and ended.period_end < others.period_end
    where ended.newest_first = 1
    group by
        ended.source,
        ended.event_id,
        ended.plan_id,
        ended.period_end,
        ended.is_eligible

)

select
    cast(date_trunc('month', period_end) as date) as month,
    source,
    plan_id,
    count(*) as expiring,
    case
        when count(*) filter (where is_eligible) > 0
            then count(*) filter (where is_eligible and is_renewed)
    end as renewed,
    count(*) filter (where is_eligible) as eligible
from followed
where not is_carried_on
group by cast(date_trunc('month', period_end) as date), source, plan_id
