"""The first set's faults of stored tables, of models, and of the file that is published."""

# ruff: noqa: E501

from __future__ import annotations

from benchmarks.faults.fault import Export, Fault, Model, Table
from data_quality.catalogue import Stage

UTC_DATE = "cast(timezone(parameters.timezone, timezone('UTC', {})) as date)"


def _table(
    fault_id: str, stage: Stage, zh: str, en: str, table: str, sql: str, among: str = "true"
) -> Fault:
    return Fault(fault_id, stage, zh, en, Table(table, sql, among))


def _model(
    fault_id: str,
    stage: Stage,
    zh: str,
    en: str,
    model: str,
    old: str,
    new: str,
    keys: tuple[str, ...] = (),
    whole: bool = False,
) -> Fault:
    return Fault(fault_id, stage, zh, en, Model(model, old, new, keys, whole), large=1.0)


def _utc(
    fault_id: str,
    stage: Stage,
    zh: str,
    en: str,
    model: str,
    moment: str,
    keys: tuple[str, ...] = (),
) -> Fault:
    """A business date taken in UTC."""
    local = UTC_DATE.format(moment)
    return _model(fault_id, stage, zh, en, model, local, f"cast({moment} as date)", keys)


def _export(fault_id: str, zh: str, en: str, table: str, sql: str, among: str = "true") -> Fault:
    return Fault(fault_id, "export", zh, en, Export(table, sql, among))


RAW = [
    _table("raw_rows_lost", "raw", "原始层丢行", "rows of raw are lost", "raw.community__events", "delete from {t} where {hit}"),
    _table("raw_rows_doubled", "raw", "原始层重复行", "rows of raw are doubled", "raw.commerce__orders", "insert into {t} select * from {t} where {hit}"),
    _table("raw_states_doubled", "raw", "原始层实体状态重复", "states in raw are doubled", "raw.community__accounts", "insert into {t} select * from {t} where {hit}"),
    _table("raw_load_killed", "raw", "载入一半：台账有、行没有", "a load half done: the ledger has what raw has not", "control.files", "update {t} set accepted = accepted + 7, lines_read = lines_read + 7 where {hit}", "accepted > 0"),
    _table("raw_ledger_lost", "raw", "台账缺行", "rows of the ledger are lost", "control.files", "delete from {t} where {hit}", "accepted > 0"),
    _table("raw_column_renamed", "raw", "原始层列改名", "a column of raw is renamed", "raw.group__messages", "alter table {t} rename topic to subject"),
    _table("raw_type_changed", "raw", "原始层列类型改变", "a column of raw changes its type", "raw.commerce__orders", "create or replace table {t} as select * replace (cast(amount_minor as double) as amount_minor) from {t}"),
    _table("raw_required_null", "raw", "原始层必填字段为空", "a required field of raw is null", "raw.group__memberships", "update {t} set member_id = null where {hit}"),
    _table("raw_sign_flipped", "raw", "原始层金额变号", "amounts in raw change their sign", "raw.commerce__orders", "update {t} set amount_minor = -amount_minor where {hit}"),
    _table("raw_future", "raw", "原始层出现远未来的时间", "times of the far future in raw", "raw.group__messages", "update {t} set occurred_at = timestamp '2999-01-01' where {hit}"),
    _table("raw_epoch_zero", "raw", "原始层时间为 1970 年", "times of 1970 in raw", "raw.community__events", "update {t} set occurred_at = timestamp '1970-01-21' where {hit}"),
    _table("raw_enum_changed", "raw", "原始层枚举外的值", "values outside the enum in raw", "raw.group__deliveries", "update {t} set status = 'opened' where {hit}"),
    _table("raw_file_twice", "raw", "同一内容载入两次", "one content is loaded twice", "control.files", "insert into {t} select * replace (file_id + 5000 as file_id, 0 as lines_read, 0 as accepted, 0 as duplicates, 0 as rejected) from {t} where {hit}", "state = 'loaded'"),
]  # fmt: skip

STAGING = [
    _model("stg_filter_added", "staging", "暂存层多了过滤", "a filter in staging", "stg_community__events", "from raw_events", "from raw_events where event_type <> 'vote'"),
    _model("stg_inner_join", "staging", "暂存层用内连接丢行", "an inner join in staging drops rows", "stg_commerce__orders", "from raw_orders", "from raw_orders where account_id is not null"),
    _model("stg_fan_out", "staging", "暂存层连接放大行", "a join in staging fans out", "stg_group__messages", "", "select m.* from {query} as m, range(2) as twice (n) where n = 0 or m.kind = 'text'"),
    _model("stg_amount_in_units", "staging", "暂存层把金额除以 100", "staging divides amounts by 100", "stg_commerce__orders", "amount_minor,", "cast(amount_minor / 100 as bigint) as amount_minor,"),
    _model("stg_refund_sign", "staging", "暂存层退款变号", "staging changes the sign of refunds", "stg_commerce__refunds", "amount_minor,", "-amount_minor as amount_minor,"),
    _model("stg_oldest_state", "staging", "当前状态取了最旧的", "the current state is the oldest", "stg_community__contents", "where valid_to is null", "where version = 1"),
    _model("stg_history_reversed", "staging", "历史按时间倒排", "the history is in reverse", "stg_community__accounts_history", "order by updated_at asc nulls first", "order by updated_at desc nulls first"),
    _model("stg_plain_pii", "staging", "明文个人信息进入暂存层", "plain personal data in staging", "stg_community__accounts_history", "birth_year,", "birth_year, phone,", whole=True),
    _model("stg_token_is_plain", "staging", "令牌列是明文", "a token column holds plain text", "stg_community__accounts_history", "", "select * replace (coalesce(display_name_token[1:4], display_name_token) as display_name_token) from {query}"),
    _model("stg_id_trimmed", "staging", "暂存层改写 ID", "staging rewrites ids", "stg_community__events", "event_id,", "event_id || '-1' as event_id,", ("source", "account_id", "occurred_at")),
    _model("stg_distinct_on_less", "staging", "去重键变了", "deduplicated by another key", "stg_community__events", "", "select * from {query} as e where occurred_at = (select min(o.occurred_at) from raw.community__events as o where o.source = e.source and o.account_id = e.account_id and o.content_id = e.content_id and o.event_type = e.event_type) or content_id is null"),
    _model("stg_times_shifted", "staging", "暂存层把时间移 8 小时", "staging moves times by 8 h", "stg_group__messages", "        occurred_at,", "        occurred_at + interval 8 hour as occurred_at,"),
    _model("stg_default_wrong", "staging", "标记全部填成 false", "a flag is false for all", "stg_community__accounts_history", "coalesce(is_bot, false) as is_bot", "false as is_bot"),
]  # fmt: skip

INTERMEDIATE = [
    _model("int_bots_counted", "intermediate", "机器人被计入", "bots are counted", "int_persons", "not persons.is_excluded and not persons.is_staff as counts", "true as counts", ("person_id",)),
    _model("int_staff_counted", "intermediate", "员工被计入", "staff are counted", "int_persons", "not persons.is_excluded and not persons.is_staff as counts", "not persons.is_excluded as counts", ("person_id",)),
    _model("int_persons_dropped", "intermediate", "左连接变成内连接，人丢失", "a left join becomes inner: persons are lost", "int_persons", "left join profiles", "inner join profiles", ("person_id",)),
    _model("int_persons_fan_out", "intermediate", "人表按账号放大", "persons fan out by account", "int_persons", "left join profiles\n    on persons.person_id = profiles.person_id", "left join person_accounts as fan on persons.person_id = fan.person_id left join profiles on persons.person_id = profiles.person_id", ("person_id",)),
    _model("int_links_ignored", "intermediate", "身份关联被忽略", "identity links are ignored", "int_identities", "coalesce(components.component_key, ids.id_key)", "ids.id_key", ("source", "id_kind", "id")),
    _model("int_person_id_plain", "intermediate", "person_id 是明文", "person_id is the plain id", "int_identities", "", "select * replace (id as person_id) from {query}", ("source", "id_kind", "id")),
    _model("int_impressions_active", "intermediate", "曝光算作活跃", "impressions count as activity", "int_activity", "where event_type != 'impression'", "where true", ("source", "log", "event_id")),
    _model("int_system_messages_active", "intermediate", "系统消息算作活跃", "system messages count as activity", "int_activity", "where kind != 'system'", "where true", ("source", "log", "event_id")),
    _model("int_activity_union_distinct", "intermediate", "union all 变成 union", "union all becomes union over fewer columns", "int_activity", "", "select * from {query} where event_id not like '%7'", ("source", "log", "event_id")),
    Fault("int_activity_in_utc", "intermediate", "活跃日按 UTC 计", "activity dates in UTC", Model("int_activity", UTC_DATE.format("active_events.occurred_at"), "cast(active_events.occurred_at as date)", ("source", "log", "event_id")), large=1.0),
    _model("int_reactions_contribute", "intermediate", "互动算作贡献", "reactions count as contributions", "int_activity", "kind != 'reaction' as is_contribution", "true as is_contribution", ("source", "log", "event_id")),
    _model("int_days_gap", "intermediate", "增量缺了日期", "an incremental build skips dates", "int_identity_days", "where true", "where extract(day from activity_date) <> 15"),
    _model("int_days_twice", "intermediate", "增量重复了日期", "an incremental build repeats dates", "int_identity_days", "", "select * from {query} union all select * from {query} where extract(day from activity_date) = 15"),
    _model("int_person_days_all", "intermediate", "人日表忘了过滤", "person days forget the filter", "int_person_days", "where not is_excluded and not is_staff", "where true", ("activity_date", "core", "source", "person_id")),
    _model("int_person_days_by_id", "intermediate", "人日表连接忘了来源", "person days joined without the source", "int_person_days", "identity_days.source = identities.source\n        and ", "", ("activity_date", "core", "source", "person_id")),
    _model("int_orders_lost", "intermediate", "无汇率订单被丢弃", "orders without a rate are dropped", "int_orders", "left join \"warehouse\".\"intermediate\".\"int_conversion_rates\"", "inner join \"warehouse\".\"intermediate\".\"int_conversion_rates\"", ("source", "order_id")),
    _model("int_orders_fan_out", "intermediate", "订单按退款放大", "orders fan out by refunds", "int_orders", "left join refunded\n    on", "left join (select * from refunded union all select * from refunded) as refunded\n    on", ("source", "order_id")),
    _model("int_orders_unconverted", "intermediate", "金额没有换算", "amounts are not converted", "int_orders", "", "select * replace (amount_minor as reporting_minor) from {query}", ("source", "order_id")),
    _model("int_orders_rounded_down", "intermediate", "换算向下取整", "conversion rounds down", "int_orders", "+ cast(rates.denominator as hugeint)", "", ("source", "order_id")),
    _utc("int_orders_in_utc", "intermediate", "支付日按 UTC 计", "payment dates in UTC", "int_orders", "orders.paid_at", ("source", "order_id")),
    _model("int_refunds_kept_twice", "intermediate", "退款重复", "refunds are doubled", "int_refunds", "", "select r.* from {query} as r, range(2)", ("source", "refund_id")),
    _model("int_leaves_ignored", "intermediate", "退群被忽略", "leaves are ignored", "int_membership_changes", "or (memberships.action = 'leave' and groups.observes_leave)", "", ("source", "group_id", "person_id", "change_id")),
    _model("int_joins_repeated", "intermediate", "重复进群不折叠", "repeated joins are not folded", "int_membership_changes", "where (neighbours.kind = 'leave') <> (neighbours.kind_before = 'leave')", "where true", ("source", "group_id", "person_id", "change_id")),
    _model("int_groups_unrecorded_lost", "intermediate", "无档案的群被丢弃", "groups without a record are dropped", "int_groups", "left join groups", "inner join groups", ("source", "group_id")),
    _model("int_origin_label_first", "intermediate", "声明的来源被忽略", "the declared origin is ignored", "int_contents", "coalesce(contents.origin_declared, contents.origin_label, 'unknown')", "coalesce(contents.origin_label, 'unknown')", ("source", "content_id")),
    _model("int_contents_lost", "intermediate", "删除的内容被丢弃", "deleted contents are dropped", "int_contents", "", "select * from {query} where deleted_at is null", ("source", "content_id")),
    _model("int_group_days_kol", "marts", "群日表把系统消息算作发言", "group days count system messages as talk", "int_group_days", "kind not in ('reaction', 'system')", "kind not in ('reaction')"),
]  # fmt: skip

MARTS = [
    _model("dau_wau_window", "marts", "周活窗口取成 28 天", "the week's window has 28 days", "daily_active", "windows.days = 7)", "windows.days = 28)"),
    _model("dau_window_off_by_one", "marts", "周活窗口差一天", "the week's window is off by one", "daily_active", "select 7 as days", "select 8 as days"),
    _model("dau_days_summed", "marts", "日活按天相加而不去重", "persons are added up over sources, not counted once", "daily_active", "having min(core) <> max(core) or min(source) <> max(source)", "having false"),
    _model("dau_contributing_all", "marts", "贡献日活等于日活", "contributing persons are all persons", "daily_active", "case when person_days.contributions > 0 then 1 else 0 end as contributed", "1 as contributed"),
    _model("retention_same_day", "marts", "留存多算一天", "retention by the day after", "retention", "cohort_date + 7 then", "cohort_date + 8 then"),
    _model("retention_zero_for_unknown", "marts", "不可观察写成 0", "0 where nothing could be observed", "retention", "> parameters.as_of_date then null", "> parameters.as_of_date then 0"),
    _model("retention_eligible_all", "marts", "未到期也算可观察", "cohorts count before their day", "retention", "<= parameters.as_of_date\n            then counted.cohort_size", "<= parameters.as_of_date + 3\n            then counted.cohort_size"),
    _model("lifecycle_resurrected", "marts", "回归者算作留存", "the resurrected count as returning", "lifecycle_weekly", "previous_week = week_start - 7) as came_back", "previous_week <= week_start - 7) as came_back"),
    _model("lifecycle_dormant", "marts", "沉默边界 > 变 >=", "dormant: > becomes >=", "lifecycle_weekly", "next_week > week_start + 7", "next_week >= week_start + 7"),
    _model("rfm_staff_kept", "marts", "员工留在表里", "staff stay in the table", "rfm", "persons.counts\n        and not persons.is_erased", "true"),
    _model("rfm_gross", "marts", "RFM 金额没减退款", "RFM money without refunds", "rfm", "- coalesce(refunded.refund_reporting_minor, 0) as net_minor", "as net_minor"),
    _model("rfm_boundary", "marts", "RFM 边界 <= 变 <", "RFM: <= becomes <", "rfm", "scored.frequency >= parameters.rfm_frequency_orders", "scored.frequency > parameters.rfm_frequency_orders"),
    _model("cross_core_window", "marts", "转化窗口缩成一天", "the window of conversion is a day", "cross_core", "interval '720' hour", "interval '24' hour"),
    _model("cross_core_left_join", "marts", "一个月消失", "a month vanishes", "cross_core", "", "select * from {query} where extract(month from month) <> 5", ("month",)),
    _model("revenue_payers_counted", "marts", "付款人没有去重", "payers without distinct", "daily", "count(distinct entries.payer)", "count(entries.payer)"),
    _model("revenue_refund_sign", "marts", "退款被加上", "refunds are added", "daily", "entries.gmv_minor - entries.refunds_cash_minor", "entries.gmv_minor + entries.refunds_cash_minor"),
    _model("revenue_all_orders", "marts", "不计入者的订单被计入", "orders of persons who do not count", "daily", "where counts", "where true"),
    _model("revenue_last_day_lost", "marts", "漏掉最后一天", "the last day is missing", "daily", "entries.date <= parameters.as_of_date", "entries.date < parameters.as_of_date"),
    _model("performance_fan_out", "marts", "内容表现按人放大", "content performance fans out", "daily_performance", "count(distinct person_id)", "count(person_id) + 1"),
    _model("performance_future", "marts", "截止日之后的行被计入", "a stale filter of dates", "daily_performance", "where parts.activity_date <= parameters.as_of_date", "where parts.activity_date <= parameters.as_of_date - 1"),
    _model("group_daily_window", "marts", "群发言窗口差一天", "the speakers' window is off by one", "group_daily", "date + 7", "date + 8"),
    _model("group_daily_silent", "marts", "沉默群边界 < 变 <=", "silent groups: < becomes <=", "group_daily", "* 100 < parameters", "* 100 <= parameters"),
    _model("group_daily_leaves_zero", "marts", "不可观察的退群写成 0", "0 leaves where leaving is not observed", "group_daily", "case when observes_leave then leaves end as leaves", "leaves"),
    _model("group_daily_members", "marts", "群成员忘减退群", "members forget the leaves", "group_daily", "changes.joins + changes.inferred_joins - changes.leaves", "changes.joins + changes.inferred_joins"),
    _model("mrr_new_every_month", "marts", "每月都算新增", "every month is new", "mrr_movements", "case when earlier_month is null then mrr_minor else 0 end", "mrr_minor"),
    _model("mrr_churn_late", "marts", "流失晚记一月", "churn comes a month late", "mrr_movements", "next_month as month", "cast(next_month + interval 1 month as date) as month"),
    _model("repurchase_boundary", "marts", "复购窗口单位错了", "the repurchase window has the wrong unit", "repurchase", "windows.day_n * 86400000000, false", "windows.day_n * 3600000000, false"),
    _model("acquisition_spend_twice", "marts", "花费重复", "spend is doubled", "acquisition", "from spend\n    union all", "from spend, range(2)\n    union all"),
    _model("attribution_unsplit", "marts", "归因没有分摊", "credit is not split", "attribution", "floor_minor + case when remainder_rank <= left_over then 1 else 0 end", "floor_minor"),
    _model("ltv_eligible", "marts", "LTV 未到期也算", "lifetime value before its time", "ltv", "observed_micros >= windows.day_n * 86400000000", "observed_micros >= 0"),
    _model("funnel_clicks_over_reads", "marts", "送达阶梯不单调", "a delivery ladder that is not monotone", "broadcast_funnel", "rung >= 3) as delivered", "rung = 3) as delivered"),
    _model("consult_boundary", "marts", "15 秒写成毫秒", "15 s with the wrong unit", "consult_service", "micros < 15000000)", "micros < 15000000000)"),
    _model("node_dau_direct", "marts", "节点日活没有上卷", "node counts without a roll-up", "node_daily_active", "person_visits.node_id = ancestors.node_id", "person_visits.node_id = ancestors.node_id and ancestors.depth <= 1"),
    _model("experiment_valid", "marts", "实验总是有效", "every experiment is valid", "experiment_health", "", "select * replace (true as is_valid) from {query}"),
    _model("persons_excluded_kept", "marts", "人维表含机器人", "bots in the dimension of persons", "persons", "where not is_excluded and not is_erased", "where not is_erased"),
    _model("persons_pii", "marts", "个人信息列进入集市", "a personal column in a mart", "persons", "aged_persons.is_staff", "aged_persons.is_staff, 'x' as phone_token", whole=True),
    _model("persons_erased_kept", "marts", "人维表含已擦除的人", "erased persons in the dimension of persons", "persons", "where not is_excluded and not is_erased", "where not is_excluded"),
    _table("mart_stale_snapshot", "marts", "集市表是昨天的", "a mart is yesterday's", "users.daily_active", "delete from {t} where date = (select max(date) from {t})"),
    _table("mart_emptied", "marts", "集市表是空的", "a mart is empty", "revenue.daily", "delete from {t}"),
    _table("pack_k_broken", "marts", "人群包的格子小于 k", "a pack's cell is smaller than k", "audience.pack_rows", "update {t} set cell_rows = 4 where {hit}"),
]  # fmt: skip

EXPORT = [
    _export("export_rows_lost", "发布文件丢行", "rows are lost in the file", "revenue.daily", "delete from {t} where {hit}"),
    _export("export_rows_doubled", "发布文件重复行", "rows are doubled in the file", "users.daily_active", "insert into {t} select * from {t} where {hit}"),
    _export("export_value_altered", "发布文件数值被改", "a number is altered in the file", "revenue.daily", "update {t} set gmv_minor = gmv_minor + 1 where {hit}"),
    _export("export_private_column", "发布文件含个人信息列", "a personal column in the file", "dim.persons", "alter table {t} add column phone varchar"),
    _export("export_token_column", "发布文件含令牌列", "a token column in the file", "dim.persons", "alter table {t} add column email_token varchar"),
    _export("export_column_lost", "发布文件缺列", "a column is lost in the file", "users.rfm", "alter table {t} drop column segment"),
    _export("export_column_renamed", "发布文件列改名", "a column is renamed in the file", "users.rfm", "alter table {t} rename segment to label"),
    _export("export_type_changed", "发布文件列类型改变", "a type changes in the file", "revenue.daily", "alter table {t} alter orders type double"),
    _export("export_table_lost", "发布文件缺表", "a table is lost in the file", "users.retention", "drop table {t}"),
    _export("export_private_schema", "私有模式进入发布文件", "a private schema is in the file", "raw.community__accounts", "create schema raw; create table {t} (phone varchar)"),
    _export("export_other_table", "发布文件多出一张表", "another table is in the file", "users.backup", "create table {t} as select * from users.rfm"),
    _export("export_view", "发布文件含视图", "a view is in the file", "users.everybody", "create view {t} as select * from users.rfm"),
    _export("export_small_cell", "发布文件人群格子小于 k", "a cell under k in the file", "audience.pack_rows", "update {t} set cell_rows = 2 where {hit}"),
    _export("export_ids_merged", "发布文件合并了 person_id", "person ids are merged in the file", "dim.identities", "update {t} set person_id = (select min(person_id) from {t}) where {hit}"),
]  # fmt: skip

WAREHOUSE = [*RAW, *STAGING, *INTERMEDIATE, *MARTS, *EXPORT]
