with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

currencies as (

    select
        currency,
        coalesce(exponent, 0) as exponent
    from {{ ref('currencies') }}

),

paid as (

    select
        currency,
        paid_at as moment
    from {{ ref('stg_commerce__orders') }}
    union all
    select
        currency,
        occurred_at as moment
    from {{ ref('stg_commerce__subscriptions') }}

),

wanted as (

    select
        paid.currency,
        {{ local_date('paid.moment', 'parameters') }} as on_date
    from paid
    cross join parameters
    union distinct
    select
        currency,
        spent_on as on_date
    from {{ ref('stg_operations__spend') }}

),

ranked_rates as (

    select
        currency,
        rate_date,
        rate,
        row_number() over (
            partition by currency, rate_date
            order by source desc nulls last, rate_id desc nulls last
        ) as place
    from {{ ref('stg_commerce__fx_rates') }}
    where rate is not null

),

rates as (

    select
        currency,
        rate_date,
        regexp_replace(cast(rate as string), '[.]?0+$', '') as rate_text
    from ranked_rates
    where place = 1

),

timeline as (

    select
        currency,
        on_date,
        cast(null as date) as rate_date
    from wanted
    union all
    select
        currency,
        rate_date as on_date,
        rate_date
    from rates

),

running as (

    select
        currency,
        on_date,
        max(rate_date) over (
            partition by currency
            order by on_date asc nulls first
            range between unbounded preceding and current row
        ) as rate_date
    from timeline

),

last_rates as (

    select distinct
        currency,
        on_date,
        rate_date
    from running

),

chosen as (

    select
        wanted.currency,
        wanted.on_date,
        case
            when wanted.currency <> parameters.reporting_currency then rates.rate_date
        end as rate_date,
        case
            when wanted.currency = parameters.reporting_currency then '1'
            else rates.rate_text
        end as rate_text,
        reporting.exponent - currencies.exponent as shift
    from wanted
    cross join parameters
    inner join currencies on wanted.currency = currencies.currency
    inner join currencies as reporting on parameters.reporting_currency = reporting.currency
    left join last_rates
        on wanted.currency = last_rates.currency and wanted.on_date = last_rates.on_date
    left join rates
        on last_rates.currency = rates.currency and last_rates.rate_date = rates.rate_date

),

scaled as (

    select
        currency,
        on_date,
        rate_date,
        rate_text,
        replace(rate_text, '.', '') as digits,
        shift - case
            when position('.' in rate_text) = 0 then 0
            else length(rate_text) - position('.' in rate_text)
        end as power
    from chosen
    where rate_text is not null

)

select
    currency,
    on_date,
    rate_date,
    rate_text as rate,
    try_cast(
        digits || repeat('0', cast(greatest(power, 0) as integer)) as decimal(38, 0)
    ) as numerator,
    try_cast('1' || repeat('0', cast(greatest(-power, 0) as integer)) as decimal(38, 0))
        as denominator
from scaled
