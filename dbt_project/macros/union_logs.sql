{#- A union over all logs: the caller gives the select of one, from its log (`core/log`), table name
    (`core__log`), key, time column, and whether it holds states. A test holds the list against
    orchestration/contracts. -#}
{% macro union_logs() -%}
    {%- set logs = [
        ('community/accounts', 'account_id', 'updated_at', true),
        ('community/contents', 'content_id', 'updated_at', true),
        ('community/events', 'event_id', 'occurred_at', false),
        ('community/nodes', 'node_id', 'updated_at', true),
        ('group/attendance', 'event_id', 'occurred_at', false),
        ('group/broadcasts', 'broadcast_id', 'updated_at', true),
        ('group/consults', 'event_id', 'occurred_at', false),
        ('group/deliveries', 'event_id', 'occurred_at', false),
        ('group/groups', 'group_id', 'updated_at', true),
        ('group/members', 'member_id', 'updated_at', true),
        ('group/memberships', 'event_id', 'occurred_at', false),
        ('group/messages', 'message_id', 'occurred_at', false),
        ('group/scenes', 'scene_id', 'updated_at', true),
        ('operations/assistant_requests', 'request_id', 'occurred_at', false),
        ('operations/campaign_events', 'event_id', 'occurred_at', false),
        ('operations/campaigns', 'campaign_id', 'updated_at', true),
        ('operations/experiments', 'experiment_id', 'updated_at', true),
        ('operations/exposures', 'event_id', 'occurred_at', false),
        ('operations/spend', 'spend_id', 'spent_on', false),
        ('commerce/fx_rates', 'rate_id', 'rate_date', false),
        ('commerce/identity_links', 'link_id', 'occurred_at', false),
        ('commerce/orders', 'order_id', 'paid_at', false),
        ('commerce/refunds', 'refund_id', 'refunded_at', false),
        ('commerce/share_policies', 'policy_id', 'valid_from', false),
        ('commerce/subscriptions', 'event_id', 'occurred_at', false),
    ] -%}
    {%- for log, key, time, is_entity in logs %}
    {{ caller(log, log | replace('/', '__'), key, time, is_entity) }}
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
