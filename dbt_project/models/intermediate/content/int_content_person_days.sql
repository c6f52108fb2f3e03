{{ config(materialized='view') }}

with

deleted_contents as (

    select
        source,
        content_id,
        deleted_date
    from {{ ref('int_contents') }}
    where deleted_at is not null

),

account_days as (

    select
        days.activity_date,
        days.source,
        identities.person_id,
        days.content_id,
        days.impressions,
        days.clicks,
        days.clicks_credited,
        days.reads,
        days.comments,
        days.shares,
        days.collects
    from {{ ref('int_content_days') }} as days
    inner join {{ ref('int_identities') }} as identities
        on
            days.source = identities.source
            and days.account_id = identities.id
            and identities.id_kind = 'account'
    left join deleted_contents
        on
            days.source = deleted_contents.source
            and days.content_id = deleted_contents.content_id
    left join {{ ref('int_content_redo_days') }} as redo_days
        on
            days.source = redo_days.source
            and days.account_id = redo_days.account_id
            and days.content_id = redo_days.content_id
            and days.activity_date = redo_days.activity_date
    where
        not identities.is_excluded
        and not identities.is_staff
        and redo_days.activity_date is null
        and (
            deleted_contents.deleted_date is null
            or days.activity_date < deleted_contents.deleted_date
        )

)

select * from account_days
union all
select
    activity_date,
    source,
    person_id,
    content_id,
    impressions,
    clicks,
    clicks_credited,
    reads,
    comments,
    shares,
    collects
from {{ ref('int_content_redone_days') }}
