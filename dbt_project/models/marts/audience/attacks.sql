with

attacks as (

    select * from {{ source('control', 'audience_attacks') }}

)

select
    pack,
    version,
    attack,
    value,
    gate,
    passed
from attacks
