{{ config(materialized='view') }}

with

days as (

    select * from {{ ref('int_content_days') }}

),

identities as (

    select
        source,
        id,
        person_id
    from {{ ref('int_identities') }}
    where id_kind = 'account'

),

persons as (

    select person_id from {{ ref('int_audience_eligibility') }}

),

contents as (

    select
        source,
        content_id,
        node_id,
        topic
    from {{ ref('stg_community__contents') }}

),

channels as (

    select * from {{ ref('int_node_channels') }}

),

parameters as (

    select as_of_date from {{ source('control', 'parameters') }}

)

select
    identities.person_id,
    days.activity_date,
    contents.topic,
    channels.source || '/' || channels.channel_id as channel,
    days.clicks,
    days.reads,
    days.comments + days.shares + days.collects as reactions
from days
inner join identities
    on days.source = identities.source and days.account_id = identities.id
inner join persons on identities.person_id = persons.person_id
cross join parameters
left join contents
    on days.source = contents.source and days.content_id = contents.content_id
left join channels
    on contents.source = channels.source and contents.node_id = channels.node_id
where
    days.activity_date <= parameters.as_of_date
    and days.activity_date > parameters.as_of_date - 98
    and days.clicks + days.reads + days.comments + days.shares + days.collects > 0
