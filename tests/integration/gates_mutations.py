"""For each rule a change of the good warehouse that it, and it alone in its suite, must see."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice
from tests.integration.gates_mutations_arrival import ARRIVAL
from tests.integration.gates_mutations_audience import AUDIENCE
from tests.integration.gates_mutations_engagement import ENGAGEMENT
from tests.integration.gates_mutations_experiments import EXPERIMENTS
from tests.integration.gates_mutations_layers import LAYERS
from tests.integration.gates_mutations_ledger import LEDGER
from tests.integration.gates_mutations_live import LIVE
from tests.integration.gates_mutations_loops import LOOPS
from tests.integration.gates_mutations_ltv import LTV
from tests.integration.gates_mutations_revenue import REVENUE
from tests.integration.gates_mutations_sense import SENSE
from tests.integration.gates_mutations_users import CONTENT, USERS

RAW = [
    *of(
        "raw",
        "control.files",
        (
            "accepted_is_raw",
            "delete from raw.group__messages where message_id = 't0'",
        ),
        ("lines_balance", "update {t} set lines_read = lines_read + 1 where file_id = 1"),
        (
            "loaded_once",
            "insert into {t} select * replace (99 as file_id, 0 as lines_read, 0 as accepted)"
            " from {t} where file_id = 1",
        ),
        ("state_known", "update {t} set state = 'lost' where file_id = 1"),
        (
            "quarantined_accepts_nothing",
            "update {t} set state = 'quarantined' where file_id = 1",
            "no_file_quarantined",
        ),
        (
            "no_file_quarantined",
            "insert into {t} select * replace (99 as file_id, 0 as lines_read, 0 as accepted,"
            " 'quarantined' as state) from {t} where file_id = 1",
        ),
        (
            "rejected_lines_kept",
            "update {t} set rejected = 1, lines_read = 1001, duplicates = 1000 - accepted"
            " where file_id = 1",
        ),
        (
            "few_rejected",
            "update {t} set rejected = 1, lines_read = lines_read + 1 where file_id = 1;"
            " insert into quarantine.lines values"
            " (1, 'p', 'community/accounts', 1, 'malformed', null, 'x', 1, now())",
        ),
    ),
    *of(
        "raw",
        "quarantine.lines",
        ("reason_known", "insert into {t} values (1, 'p', 'l', 1, 'odd', null, 'x', 1, now())"),
        ("reason_given", "insert into {t} values (1, 'p', 'l', 1, null, null, 'x', 1, now())"),
    ),
    *of(
        "raw",
        "control.schema_drift",
        ("no_drift", "insert into {t} values ('community/events', 'extra', 1, 1, now())"),
    ),
    *of(
        "raw",
        "raw.commerce__refunds",
        ("orders_known", "update {t} set order_id = 'none'"),
        ("within_order", "update {t} set amount_minor = 1001"),
        ("after_payment", "update {t} set refunded_at = timestamp '2026-01-01 00:00:00'"),
    ),
    *of(
        "raw",
        "raw.commerce__subscriptions",
        ("period_not_empty", "update {t} set period_end = period_start"),
    ),
    *of(
        "raw",
        "raw.commerce__fx_rates",
        ("no_jump", "update {t} set rate = '0.14' where rate_id = 'fx5'"),
        ("rate_is_decimal", "update {t} set rate = '7,1' where rate_id = 'fx5'"),
        ("currency_known", "update {t} set currency = 'XYZ'"),
    ),
    *of(
        "raw",
        "raw.community__contents",
        ("deleted_after_published", "update {t} set deleted_at = timestamp '2026-01-01'"),
        ("texts_readable", "update {t} set title = 'bad ' || chr(65533)"),
        ("state_unique", twice("content_id = 'c1'")),
        ("times_from_2000", "update {t} set published_at = timestamp '1970-01-21'"),
        ("kind_known", "update {t} set kind = 'Article' where content_id = 'c1'"),
    ),
    *of(
        "raw",
        "raw.community__events",
        ("key_unique", twice("event_id = 'e1'")),
        ("required_given", "update {t} set account_id = null where event_id = 'e1'"),
        ("ids_not_empty", "update {t} set content_id = '' where event_id = 'e1'"),
        ("event_type_known", "update {t} set event_type = 'view' where event_id = 'e1'"),
        ("dwell_ms_in_bounds", "update {t} set dwell_ms = -1 where event_id = 'e1'"),
        (
            "times_not_in_future",
            "update {t} set occurred_at = timestamp '2999-01-01', received_at = null"
            " where event_id = 'e1'",
        ),
        ("times_from_2000", "update {t} set occurred_at = timestamp '1970-01-21'", "no_echo"),
        ("files_known", "update {t} set _file_id = 1 where event_id = 'e1'"),
        ("properties_is_json", "update {t} set properties = '[1]' where event_id = 'e1'"),
        (
            "types",
            "create or replace table {t} as"
            " select * replace (cast(dwell_ms as varchar) as dwell_ms) from {t}",
            "dwell_ms_in_bounds",
            "dwell_ms_as_usual",
        ),
        (
            "columns",
            "alter table {t} rename topic to subject",
            "types",
            "fields_still_given",
            "texts_readable",
            "no_echo",
        ),
    ),
    *of(
        "raw",
        "raw.community__nodes",
        ("record_rule_1", "update {t} set parent_node_id = null"),
        ("level_known", "update {t} set level = 'planet' where node_id = 'n3'"),
    ),
    *of(
        "raw",
        "raw.commerce__orders",
        ("record_rule_1", "update {t} set account_id = null"),
        ("amount_minor_in_bounds", "update {t} set amount_minor = -1"),
    ),
    *of(
        "raw",
        "raw.group__groups",
        ("closed_after_created", "update {t} set closed_at = timestamp '2026-01-01'"),
        ("observes_is_json", "update {t} set observes = '{{}}' where group_id = 'g2'"),
        ("observes_items_known", "update {t} set observes = '[\"seen\"]' where group_id = 'g2'"),
    ),
    *of(
        "raw",
        "raw.group__messages",
        ("replies_in_group", "update {t} set group_id = 'g2' where message_id = 't1'"),
        ("texts_readable", "update {t} set text = chr(65533)"),
    ),
    *of(
        "raw",
        "raw.operations__exposures",
        ("experiments_known", "update {t} set experiment_id = 'none'"),
    ),
]

STAGING = [
    *of(
        "staging",
        "staging.stg_community__events",
        ("keys_conserved", "delete from {t} where event_id = 'e1'", "times_conserved"),
        ("keys_conserved", twice("event_id = 'e1'"), "times_conserved"),
        ("keys_conserved", "update {t} set event_id = 'E1' where event_id = 'e1'"),
        ("no_plain_pii", "alter table {t} rename topic to device_id"),
        ("query_token_is_token", "update {t} set query_token = 'call me'"),
    ),
    *of(
        "staging",
        "staging.stg_commerce__orders",
        ("amount_minor_conserved", "update {t} set amount_minor = amount_minor * 100"),
    ),
    *of(
        "staging",
        "staging.stg_community__accounts",
        ("keys_conserved", "delete from {t} where account_id = 'a1'"),
        (
            "latest_state",
            "update {t} set updated_at = updated_at - interval 1 hour where account_id = 'a1'",
        ),
        ("no_plain_pii", "alter table {t} rename region to phone"),
    ),
    *of(
        "staging",
        "staging.stg_community__accounts_history",
        ("keys_conserved", "delete from {t} where account_id = 'a1' and valid_to is not null"),
        ("one_open_state", "update {t} set valid_to = valid_from where account_id = 'a2'"),
        (
            "states_in_order",
            "update {t} set valid_to = valid_from - interval 1 day where valid_to is not null",
        ),
        ("phone_token_is_token", "update {t} set phone_token = '13800138000'"),
    ),
]

INTERMEDIATE = [
    *of(
        "intermediate",
        "intermediate.int_identities",
        ("key_unique", twice("id = 'a1'")),
        (
            "key_given",
            "update {t} set person_id = null where id = 't9'; insert into {t}"
            " select * replace ('z9' as id, null as source) from {t} where id = 'a1'",
        ),
        (
            "id_kind_known",
            "insert into {t} select * replace ('phone' as id_kind) from {t} where id = 'a1'",
        ),
        (
            "person_opaque",
            "update {t} set person_id = 'a3' where id = 'a3'",
        ),
        ("flags_agree", "update {t} set is_staff = true where id = 'a2'"),
        (
            "links_hold",
            "update {t} set person_id = repeat('0', 32) where id = 'a2'",
        ),
        ("records_present", "delete from {t} where id = 'a4'"),
    ),
    *of(
        "intermediate",
        "intermediate.int_persons",
        ("key_unique", twice("is_staff")),
        ("same_persons", "delete from {t} where is_staff"),
        ("counts_as_defined", "update {t} set counts = true where is_excluded"),
    ),
    *of(
        "intermediate",
        "intermediate.int_activity",
        ("events_conserved", "delete from {t} where action = 'publish' and event_id = 'c1'"),
    ),
    *of(
        "intermediate",
        "intermediate.int_identity_days",
        (
            "key_unique",
            "insert into {t} select * replace (active_events - 1 as active_events,"
            " 0 as reactions, 0 as contributions) from {t} where active_events = 3;"
            " update {t} set active_events = 1, reactions = 0, contributions = 0"
            " where active_events = 3",
        ),
        ("events_conserved", "delete from {t} where activity_date = date '2026-01-05'"),
        ("parts_within", "update {t} set contributions = active_events + 1"),
    ),
    *of(
        "intermediate",
        "intermediate.int_person_days",
        (
            "key_unique",
            "insert into {t} select * replace (0 as active_events, 0 as contributions) from {t}"
            " where activity_date = date '2026-01-05'",
        ),
        (
            "events_conserved",
            "update {t} set active_events = active_events + 1",
        ),
    ),
    *of(
        "intermediate",
        "intermediate.int_contents",
        (
            "key_unique",
            "update {t} set content_id = 'c1'",
            "origin_as_declared",
        ),
        ("contents_conserved", "delete from {t} where content_id = 'c1'"),
        ("origin_known", "update {t} set origin = 'human'", "origin_as_declared"),
    ),
    *of(
        "intermediate",
        "intermediate.int_node_ancestors",
        ("key_unique", twice("node_id = 'n1'")),
        ("itself_first", "update {t} set depth = depth + 1"),
    ),
    *of(
        "intermediate",
        "intermediate.int_groups",
        ("key_unique", twice("group_id = 'g1'")),
        ("records_present", "delete from {t} where group_id = 'g1'", "seen_groups_present"),
    ),
    *of(
        "intermediate",
        "intermediate.int_membership_changes",
        ("kind_known", "update {t} set kind = 'enter' where kind = 'join'"),
        ("delta_as_kind", "update {t} set kind = 'join' where kind = 'leave'"),
        ("in_or_out", twice("kind = 'inferred_join'")),
    ),
    *of(
        "intermediate",
        "intermediate.int_orders",
        ("key_unique", "update {t} set order_id = 'o1'"),
        (
            "orders_conserved",
            "update {t} set amount_minor = amount_minor + 1 where currency <> 'CNY'",
            "converted_at_the_rate",
        ),
        (
            "own_currency_unconverted",
            "update {t} set reporting_minor = reporting_minor + 1 where currency = 'CNY'",
            "converted_at_the_rate",
        ),
        ("rates_found", "update {t} set reporting_minor = null where currency <> 'CNY'"),
    ),
    *of(
        "intermediate",
        "intermediate.int_refunds",
        (
            "key_unique",
            "insert into {t} select * replace (0 as amount_minor) from {t}",
            "refunds_conserved",
        ),
        ("refunds_conserved", "update {t} set amount_minor = amount_minor + 1"),
    ),
]

_PRIVATE = "alter table {t} add column phone varchar"

MARTS = [
    *of(
        "marts",
        "dim.dates",
        ("key_unique", twice("date = date '2026-01-05'"), "every_date"),
        ("every_date", "delete from {t} where date = date '2026-01-05'"),
        ("day_type_known", "update {t} set day_type = 'monday' where date = date '2026-01-05'"),
        ("weeks_start_monday", "update {t} set week_start = week_start - 1"),
        ("complete_to_as_of", "update {t} set is_complete = false"),
        ("no_private_columns", _PRIVATE),
    ),
    *of(
        "marts",
        "dim.persons",
        ("key_unique", twice("is_staff")),
        (
            "person_opaque",
            "update {t} set person_id = 'a1' where is_staff",
            "nobody_erased",
        ),
        (
            "nobody_erased",
            "insert into {t} (person_id, is_staff)"
            " select person_id, false from intermediate.int_persons where is_erased",
        ),
        ("first_dates_agree", "update {t} set first_active_date = date '2020-01-01'"),
    ),
    *of(
        "marts",
        "dim.identities",
        ("key_unique", twice("id = 'a1'")),
        (
            "id_kind_known",
            "update {t} set id_kind = 'phone' where id = 'a1'",
            "same_persons",
        ),
        (
            "same_persons",
            "insert into {t} (source, id_kind, id, person_id) select source, id_kind, id,"
            " person_id from intermediate.int_identities where is_erased",
        ),
    ),
    *of(
        "marts",
        "dim.nodes",
        ("key_unique", twice("node_id = 'n1'")),
        (
            "level_known",
            "update {t} set level = 'planet' where node_id = 'n3'",
        ),
        ("nodes_conserved", "delete from {t} where node_id = 'n3'"),
        ("own_level", "update {t} set circle_id = channel_id"),
    ),
    *of(
        "marts",
        "dim.groups",
        ("key_unique", twice("group_id = 'g1'")),
        ("key_given", "update {t} set group_id = null where group_id = 'g1'"),
    ),
    *of(
        "marts",
        "dim.contents",
        ("key_unique", "update {t} set content_id = 'c1'"),
        ("origin_known", "update {t} set origin = 'human'"),
        ("contents_conserved", "delete from {t} where content_id = 'c1'"),
    ),
    *of(
        "marts",
        "dim.campaigns",
        ("key_unique", twice("true")),
        ("kind_known", "update {t} set kind = 'party'"),
    ),
    *of(
        "marts",
        "dim.scenes",
        ("key_unique", twice("true")),
        ("key_given", "update {t} set group_id = null"),
    ),
    *of(
        "marts",
        "users.daily_active",
        (
            "key_unique",
            "update {t} set date = date '2026-01-05' where core = 'group' and source <> '*'"
            " and date = date '2026-01-06'",
        ),
        (
            "core_known",
            "update {t} set core = 'both' where core = 'community' and source <> '*'",
            "wau_recomputed",
            "contributing_recomputed",
        ),
        (
            "not_negative",
            "update {t} set dau_contributing = -1 where date = date '2026-01-05'",
            "contributing_recomputed",
        ),
        (
            "windows_nested",
            "update {t} set mau28 = mau30 + 1 where date = date '2026-01-05'",
        ),
        ("parts_within", "update {t} set new_persons = dau + 1 where date = date '2026-01-05'"),
        (
            "every_date",
            "delete from {t} where date = date '2026-01-06' and source <> '*'",
        ),
        (
            "totals_present",
            "update {t} set source = '**' where core = 'group' and source = '*'",
            "wau_recomputed",
            "contributing_recomputed",
        ),
        (
            "sources_within",
            "update {t} set mau30 = mau30 + 100 where source <> '*' and core = 'community'",
        ),
        (
            "dau_recomputed",
            "update {t} set dau = dau + 1, wau = wau + 1, mau28 = mau28 + 1, mau30 = mau30 + 1"
            " where core = 'all' and source = '*' and date = date '2026-01-05'",
        ),
        (
            "mau_recomputed",
            "update {t} set mau28 = mau28 + 1, mau30 = mau30 + 1 where core = 'all'"
            " and source = '*'",
        ),
        ("no_private_columns", _PRIVATE),
    ),
    *of(
        "marts",
        "users.node_daily_active",
        ("key_unique", twice("true")),
        (
            "not_after_as_of",
            "insert into {t} select * replace (date '2026-02-01' as date) from {t}",
            "key_unique",
            "within_source",
        ),
        ("dau_positive", "update {t} set dau = 0 where node_id = 'n3'"),
        ("within_source", "update {t} set dau = dau + 9"),
    ),
    *of(
        "marts",
        "content.daily_performance",
        (
            "key_unique",
            "insert into {t} select * replace (0 as impressions, 0 as clicks, 0 as reads,"
            " 0 as unique_viewers, 0 as clicks_credited) from {t}"
            " where date = date '2026-01-05'",
        ),
        ("not_after_as_of", "update {t} set date = date + 60"),
        ("not_negative", "update {t} set shares = -1 where date = date '2026-01-05'"),
        (
            "credited_within_impressions",
            "update {t} set impressions = 0 where date = date '2026-01-05'",
        ),
        (
            "credited_within_clicks",
            "update {t} set clicks = 0 where date = date '2026-01-05'",
        ),
        (
            "viewers_within_reads",
            "update {t} set unique_viewers = 9 where date = date '2026-01-05'",
        ),
        ("likes_not_below_zero", "update {t} set likes = -1 where likes = 1"),
        ("no_more_than_events", "update {t} set shares = shares * 2"),
    ),
    *of(
        "marts",
        "engagement.group_daily",
        (
            "key_unique",
            "update {t} set date = date '2026-01-05' where date = date '2026-01-06'"
            " and group_id = 'g1'",
        ),
        (
            "not_after_as_of",
            "update {t} set date = date + 60",
            "every_group",
            "talk_recomputed",
        ),
        (
            "roll_forward",
            "update {t} set joins = joins + 1 where date = date '2026-01-05'",
        ),
        (
            "open_is_last_close",
            "update {t} set members_open = members_open + 1, members_close = members_close + 1"
            " where date = date '2026-01-05' and group_id = 'g1'",
        ),
        (
            "not_negative",
            "update {t} set inferred_joins = -1, joins = joins + inferred_joins + 1"
            " where date = date '2026-01-05'",
        ),
        (
            "every_date",
            "delete from {t} where date = date '2026-01-06'",
        ),
        (
            "parts_within",
            "update {t} set kol_messages = messages + 1 where date = date '2026-01-05'",
        ),
        ("silence_as_defined", "update {t} set is_silent = not is_silent"),
    ),
    *of(
        "marts",
        "revenue.daily",
        (
            "key_unique",
            "insert into {t} select * replace (0 as orders, 0 as payers, 0 as gmv_minor,"
            " 0 as net_cash_minor, 0 as net_order_minor, 0 as refunds_cash_minor,"
            " 0 as refunds_order_minor) from {t} where date = date '2026-01-05'",
        ),
        (
            "not_after_as_of",
            "update {t} set date = date + 60",
            "orders_recomputed",
            "own_currency_recomputed",
        ),
        (
            "core_known",
            "update {t} set core = 'all'",
            "orders_recomputed",
            "own_currency_recomputed",
            "refunds_conserved",
        ),
        ("net_as_defined", "update {t} set net_cash_minor = gmv_minor + refunds_cash_minor"),
        (
            "not_negative",
            "update {t} set refunds_cash_minor = -refunds_cash_minor,"
            " net_cash_minor = gmv_minor + refunds_cash_minor",
            "refunds_conserved",
        ),
        (
            "payers_within_orders",
            "update {t} set payers = orders + 1",
            "orders_recomputed",
        ),
        (
            "money_conserved",
            "update {t} set gmv_minor = gmv_minor + 1, net_cash_minor = net_cash_minor + 1,"
            " net_order_minor = net_order_minor + 1",
            "own_currency_recomputed",
        ),
    ),
]

QUALITY = [
    *of(
        "marts",
        "quality.ingestion",
        ("lines_balance", "update {t} set lines_read = lines_read + 1"),
        ("files_conserved", "delete from {t} where log = 'group/messages'"),
    ),
    *of(
        "marts",
        "quality.rejected",
        ("key_given", "insert into {t} (file) values ('x')"),
        ("lines_conserved", "insert into {t} (file, reason, line) values ('x', 'malformed', 1)"),
    ),
    *of(
        "marts",
        "quality.freshness",
        ("key_unique", "update {t} set log = 'group/groups' where log = 'group/messages'"),
        ("every_log", "delete from {t} where log = 'group/messages'"),
    ),
    *of(
        "marts",
        "quality.reconciliation",
        ("key_unique", twice("stage_pair like 'raw.group__messages%'")),
        ("nothing_unexplained", "update {t} set unexplained = 1"),
    ),
    *of(
        "marts",
        "quality.metrics",
        ("key_unique", twice("id = (select min(id) from {t})")),
        ("key_given", "update {t} set formula = null where id = (select min(id) from {t})"),
    ),
]

EXPORT = [
    *of(
        "export",
        "information_schema.tables",
        (
            "published_schemas_only",
            "create schema raw; create table raw.orders as select 1 as one",
        ),
        ("no_mart_missing", "drop table revenue.daily"),
        ("no_other_table", "create table users.secret as select 1 as one"),
        ("tables_only", "drop table revenue.daily; create view revenue.daily as select 1 as one"),
        ("no_private_columns", "alter table dim.persons add column email varchar"),
    ),
    *of(
        "export",
        "quality.validations",
        ("rows_known", "insert into {t} (run) values ('never')"),
    ),
    *of(
        "export",
        "revenue.daily",
        ("same_columns", "alter table {t} rename payers to buyers"),
        ("same_columns", "alter table {t} alter payers type integer"),
        ("same_rows", "delete from {t} where date = date '2026-01-05'"),
        ("same_rows", "update {t} set payers = payers + 1"),
        (
            "same_rows",
            "update {t} set gmv_minor = net_cash_minor, net_cash_minor = gmv_minor",
        ),
    ),
]

MUTATIONS = (
    RAW
    + STAGING
    + INTERMEDIATE
    + MARTS
    + USERS
    + CONTENT
    + ENGAGEMENT
    + REVENUE
    + LIVE
    + QUALITY
    + LTV
    + LOOPS
    + EXPERIMENTS
    + LEDGER
    + ARRIVAL
    + AUDIENCE
    + SENSE
    + LAYERS
)
