with

groups as (

    select
        source,
        group_id,
        coalesce(kind, 'unknown') as group_kind,
        first_date,
        last_date
    from {{ ref('int_groups') }}

),

dates as (

    select
        date,
        day_type
    from {{ ref('int_dates') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member' and not is_excluded and not is_staff

),

-- Groups of a kind with the same dates are counted together: as many dates as in group_daily.
lifetimes as (

    select
        group_kind,
        first_date,
        last_date,
        count(*) as groups
    from groups
    group by group_kind, first_date, last_date

),

exposure as (

    select
        dates.day_type,
        lifetimes.group_kind,
        sum(lifetimes.groups) as group_days
    from lifetimes
    inner join dates on lifetimes.first_date <= dates.date and lifetimes.last_date >= dates.date
    group by dates.day_type, lifetimes.group_kind

),

all_exposure as (

    select
        day_type,
        group_kind,
        group_days
    from exposure
    union all
    select
        day_type,
        '*' as group_kind,
        sum(group_days) as group_days
    from exposure
    group by day_type

),

bands as (

    {%- for band in ['night', 'morning', 'afternoon', 'evening'] %}
        {{ 'union all' if not loop.first }}
        select '{{ band }}' as hour_band
    {%- endfor %}

),

talk as (

    select
        dates.day_type,
        days.hour_band,
        groups.group_kind,
        identities.person_id,
        sum(days.messages) as messages,
        sum(days.messages + days.reactions) as interactions
    from {{ ref('int_group_band_days') }} as days
    inner join groups
        on
            days.source = groups.source
            and days.group_id = groups.group_id
            and days.activity_date >= groups.first_date
            and days.activity_date <= groups.last_date
    inner join dates on days.activity_date = dates.date
    inner join identities
        on days.source = identities.source and days.member_id = identities.id
    group by dates.day_type, days.hour_band, groups.group_kind, identities.person_id

),

measured as (

    select
        day_type,
        hour_band,
        group_kind,
        sum(interactions) as interactions,
        count(distinct case when messages > 0 then person_id end) as speakers
    from talk
    group by day_type, hour_band, group_kind
    union all
    select
        day_type,
        hour_band,
        '*' as group_kind,
        sum(interactions) as interactions,
        count(distinct case when messages > 0 then person_id end) as speakers
    from talk
    group by day_type, hour_band

)

select
    all_exposure.day_type,
    bands.hour_band,
    all_exposure.group_kind,
    cast(coalesce(measured.interactions, 0) as bigint) as interactions,
    cast(all_exposure.group_days as bigint) as group_days,
    coalesce(measured.speakers, 0) as speakers
from all_exposure
cross join bands
left join measured
    on
        all_exposure.day_type = measured.day_type
        and bands.hour_band = measured.hour_band
        and all_exposure.group_kind = measured.group_kind
