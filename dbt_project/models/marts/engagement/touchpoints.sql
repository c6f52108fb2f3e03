with

parameters as (

    select * from {{ source('control', 'parameters') }}

),

identities as (

    select * from {{ ref('int_identities') }}
    where id_kind = 'member'

),

scenes as (

    select
        scenes.source,
        scenes.scene_id,
        scenes.kind,
        scenes.campaign_id,
        identities.person_id as kol_person_id
    from {{ ref('stg_group__scenes') }} as scenes
    left join identities
        on scenes.source = identities.source and scenes.kol_member_id = identities.id

),

attendance as (

    select
        attended.source,
        attended.scene_id,
        scenes.campaign_id,
        identities.person_id,
        attended.occurred_at,
        scenes.kol_person_id is not null
        and scenes.kol_person_id <> identities.person_id as meets_kol
    from {{ ref('stg_group__attendance') }} as attended
    cross join parameters
    inner join identities
        on attended.source = identities.source and attended.member_id = identities.id
    left join scenes
        on attended.source = scenes.source and attended.scene_id = scenes.scene_id
    inner join {{ source('control', 'scene_kinds') }} as scene_kinds
        on coalesce(scenes.kind, 'other') = scene_kinds.kind
    where
        attended.action in ('enter', 'submit')
        and not identities.is_excluded
        and not identities.is_staff
        and attended.occurred_at
        < {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}

),

scoped_attendance as (

    select
        source,
        campaign_id,
        person_id,
        scene_id,
        occurred_at,
        meets_kol
    from attendance
    where campaign_id is not null
    union all
    select
        source,
        '*' as campaign_id,
        person_id,
        scene_id,
        occurred_at,
        meets_kol
    from attendance

),

first_touches as (

    select
        source,
        campaign_id,
        person_id,
        min(occurred_at) as touched_at
    from scoped_attendance
    where meets_kol
    group by source, campaign_id, person_id

),

touches as (

    select
        first_touches.source,
        first_touches.campaign_id,
        first_touches.person_id,
        first_touches.touched_at,
        first_touches.touched_at
        + interval '1' hour * parameters.touch_landmark_hours as landmark_at,
        first_touches.touched_at
        + interval '24' hour * parameters.touch_conversion_days as ends_at
    from first_touches
    cross join parameters
    where
        first_touches.touched_at + interval '24' hour * parameters.touch_conversion_days
        <= {{ local_midnight('parameters.as_of_date + 1', 'parameters.timezone') }}

),

scenes_attended as (

    select
        touches.source,
        touches.campaign_id,
        touches.person_id,
        count(distinct attended.scene_id) as scenes
    from touches
    inner join scoped_attendance as attended
        on
            touches.source = attended.source
            and touches.campaign_id = attended.campaign_id
            and touches.person_id = attended.person_id
            and touches.touched_at <= attended.occurred_at
            and touches.landmark_at > attended.occurred_at
    group by touches.source, touches.campaign_id, touches.person_id

),

purchases as (

    select
        touches.source,
        touches.campaign_id,
        touches.person_id,
        bool_or(orders.paid_at < touches.landmark_at) as is_early_buyer,
        bool_or(orders.paid_at >= touches.landmark_at) as is_converted
    from touches
    inner join {{ ref('int_orders') }} as orders
        on
            touches.person_id = orders.person_id
            and touches.touched_at <= orders.paid_at
            and touches.ends_at > orders.paid_at
    group by touches.source, touches.campaign_id, touches.person_id

),

outcomes as (

    select
        scenes_attended.source,
        scenes_attended.campaign_id,
        least(scenes_attended.scenes, parameters.touch_max_scenes) as n_scenes,
        coalesce(purchases.is_early_buyer, false) as is_early_buyer,
        coalesce(purchases.is_converted, false) as is_converted
    from scenes_attended
    cross join parameters
    left join purchases
        on
            scenes_attended.source = purchases.source
            and scenes_attended.campaign_id = purchases.campaign_id
            and scenes_attended.person_id = purchases.person_id

)

select
    source,
    campaign_id,
    n_scenes,
    count(*) filter (where not is_early_buyer) as persons,
    count(*) filter (where is_converted and not is_early_buyer) as converted_7d,
    count(*) filter (where is_early_buyer) as early_buyers
from outcomes
group by source, campaign_id, n_scenes
