with

campaigns as (

    select * from {{ ref('stg_operations__campaigns') }}

),

parameters as (

    select * from {{ source('control', 'parameters') }}

)

select
    campaigns.source,
    campaigns.campaign_id,
    campaigns.name,
    campaigns.kind,
    campaigns.starts_at,
    {{ local_date('campaigns.starts_at', 'parameters') }} as start_date,
    campaigns.ends_at,
    {{ local_date('campaigns.ends_at', 'parameters') }} as end_date
from campaigns
cross join parameters
