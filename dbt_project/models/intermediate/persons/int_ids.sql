{#- Every log and column that names an id, by how it does so. -#}
{%- set actors = [
    ('community__accounts', 'account', 'source', 'account_id'),
    ('group__members', 'member', 'source', 'member_id'),
    ('community__contents', 'account', 'source', 'author_account_id'),
    ('community__events', 'account', 'source', 'account_id'),
    ('group__memberships', 'member', 'source', 'member_id'),
    ('group__messages', 'member', 'source', 'member_id'),
    ('group__deliveries', 'member', 'source', 'member_id'),
    ('group__consults', 'member', 'source', 'member_id'),
    ('group__attendance', 'member', 'source', 'member_id'),
    ('operations__campaign_events', 'account', 'source', 'account_id'),
    ('operations__campaign_events', 'member', 'source', 'member_id'),
    ('operations__assistant_requests', 'account', 'source', 'account_id'),
    ('operations__assistant_requests', 'member', 'source', 'member_id'),
    ('commerce__orders', 'account', 'source', 'account_id'),
    ('commerce__orders', 'member', 'source', 'member_id'),
    ('commerce__subscriptions', 'account', 'source', 'account_id'),
    ('commerce__subscriptions', 'member', 'source', 'member_id'),
    ('commerce__identity_links', 'account', 'account_source', 'account_id'),
    ('commerce__identity_links', 'member', 'member_source', 'member_id'),
] -%}
{%- set mentions = [
    ('community__accounts', 'account', 'inviter_account_id'),
    ('community__events', 'account', 'target_account_id'),
    ('group__groups', 'member', 'owner_member_id'),
    ('group__memberships', 'member', 'inviter_member_id'),
    ('group__scenes', 'member', 'kol_member_id'),
    ('operations__campaign_events', 'account', 'inviter_account_id'),
    ('operations__campaign_events', 'member', 'inviter_member_id'),
] -%}

with

experiments as (

    select
        source,
        experiment_id,
        unit
    from {{ ref('stg_operations__experiments') }}
    where unit in ('account', 'member')

),

exposures as (

    select
        source,
        experiment_id,
        unit_id
    from {{ ref('stg_operations__exposures') }}

),

seen as (

    {% for log, id_kind, source, id in actors %}
        select distinct
            {{ source }} as source,
            '{{ id_kind }}' as id_kind,
            {{ id }} as id,
            true as is_actor
        from {{ ref('stg_' ~ log) }}
        union all
    {% endfor %}
    {% for log, id_kind, id in mentions %}
        select distinct
            source,
            '{{ id_kind }}' as id_kind,
            {{ id }} as id,
            false as is_actor
        from {{ ref('stg_' ~ log) }}
        union all
    {% endfor %}
    select distinct
        exposures.source,
        experiments.unit as id_kind,
        exposures.unit_id as id,
        true as is_actor
    from exposures
    inner join experiments
        on
            exposures.source = experiments.source
            and exposures.experiment_id = experiments.experiment_id

)

select
    source,
    id_kind,
    id,
    {{ id_key('id_kind', 'source', 'id') }} as id_key,
    not bool_or(is_actor) as is_mentioned_only
from seen
where id is not null
group by
    source,
    id_kind,
    id
