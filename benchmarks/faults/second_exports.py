"""Faults of the file that is about to be published, written without a look at the rules."""

from __future__ import annotations

from benchmarks.faults.fault import Export, Fault

FAULTS = [
    Fault(
        "export_raw_messages",
        "export",
        "原始消息表混进发布文件",
        "a table with raw messages",
        Export(
            "main.messages_debug",
            "create table main.messages_debug as"
            " select 1 as message_id, '有人在吗 138 0013 8000' as text",
        ),
    ),
    Fault(
        "export_control_schema",
        "export",
        "内部控制表被一并发布",
        "a table of the control schema",
        Export(
            "control.builds",
            "create schema control; create table control.builds as select 1 as build_id",
        ),
    ),
    Fault(
        "export_phone_column",
        "export",
        "人员维度多出手机号",
        "a phone's column among the persons",
        Export(
            "dim.persons",
            "alter table {t} add column phone varchar;"
            " update {t} set phone = '13800138000' where {hit}",
        ),
    ),
    Fault(
        "export_token_column",
        "export",
        "令牌列被发布",
        "a column of tokens",
        Export(
            "dim.identities",
            "alter table {t} add column phone_token varchar;"
            " update {t} set phone_token = sha256(id) where {hit}",
        ),
    ),
    Fault(
        "export_pseudonym_is_id",
        "export",
        "假名被换回真实 id",
        "real ids in place of opaque ones",
        Export(
            "users.rfm",
            "update {t} set person_id = coalesce((select min(i.id) from dim.identities as i"
            " where i.person_id = {t}.person_id), person_id) where {hit}",
        ),
    ),
    Fault(
        "export_old_key",
        "export",
        "用旧密钥生成的假名",
        "pseudonyms of the key before",
        Export("users.tier_history", "update {t} set person_id = md5(person_id) where {hit}"),
    ),
    Fault(
        "export_stale_revenue",
        "export",
        "营收表停在上次发布",
        "a mart of the publication before",
        Export(
            "revenue.daily",
            "delete from {t} where date > (select max(date) - 3 from {t})",
        ),
    ),
    Fault(
        "export_table_empty",
        "export",
        "表在,行没有",
        "a table without its rows",
        Export("engagement.funnels", "delete from {t}"),
    ),
    Fault(
        "export_table_missing",
        "export",
        "少发布一张表",
        "a table that is missing",
        Export("users.retention", "drop table {t}"),
    ),
    Fault(
        "export_rows_twice",
        "export",
        "复制时行重复",
        "rows copied twice",
        Export("revenue.attribution", "insert into {t} select * from {t} where {hit}"),
    ),
    Fault(
        "export_rounded",
        "export",
        "复制时小数被取整",
        "doubles rounded on the way",
        Export("content.concentration", "update {t} set gini = round(gini, 1) where {hit}"),
    ),
    Fault(
        "export_type_changed",
        "export",
        "金额列成了浮点",
        "money as a double",
        Export("revenue.daily", "alter table {t} alter gmv_minor type double"),
    ),
    Fault(
        "export_column_renamed",
        "export",
        "列名改了",
        "a column under another name",
        Export("users.daily_active", "alter table {t} rename column dau to daily_users"),
    ),
    Fault(
        "export_column_lost",
        "export",
        "少了一列",
        "a column that is missing",
        Export("engagement.group_daily", "alter table {t} drop column is_silent"),
    ),
    Fault(
        "export_local_times",
        "export",
        "时间按本地写出",
        "times written in the local zone",
        Export(
            "engagement.live_board",
            "update {t} set five_minute_start = five_minute_start + interval 8 hour where {hit}",
        ),
    ),
    Fault(
        "export_names_garbled",
        "export",
        "中文名成了问号",
        "names that became question marks",
        Export(
            "dim.groups",
            "update {t} set name = regexp_replace(name, '[^ -~]', '?', 'g') where {hit}",
        ),
    ),
    Fault(
        "export_phone_in_name",
        "export",
        "群名里带手机号",
        "a phone number in a group's name",
        Export("dim.groups", "update {t} set name = '加微信 13800138000' where {hit}"),
    ),
    Fault(
        "export_mail_in_title",
        "export",
        "标题里带邮箱",
        "an e-mail address in a title",
        Export("dim.contents", "update {t} set title = '联系 li.lei@example.com' where {hit}"),
    ),
    Fault(
        "export_erased_back",
        "export",
        "已注销的人又出现",
        "an erased person in the file",
        Export(
            "content.creators_28d",
            "insert into {t} select * replace ((select p.person_id from"
            " warehouse.intermediate.int_persons as p where p.is_erased limit 1) as person_id)"
            " from {t} where {hit}",
        ),
    ),
    Fault(
        "export_nulls_are_zero",
        "export",
        "未知写成零",
        "zero for what is unknown",
        Export("users.retention", "update {t} set retained = 0 where {hit}", "retained is null"),
    ),
    Fault(
        "export_future_complete",
        "export",
        "未完整日期标为完整",
        "incomplete dates called complete",
        Export("dim.dates", "update {t} set is_complete = true where {hit}", "not is_complete"),
    ),
    Fault(
        "export_pack_below_k",
        "export",
        "人群包格子低于 k",
        "a cell of a pack below k",
        Export("audience.pack_rows", "update {t} set cell_rows = 7 where {hit}"),
    ),
    Fault(
        "export_pack_stale",
        "export",
        "人群包的行是旧版本",
        "rows of another version of the pack",
        Export("audience.pack_rows", "update {t} set version = 2 where {hit}"),
    ),
    Fault(
        "export_pack_order",
        "export",
        "格子编号泄露处理顺序",
        "cells numbered in the order of processing",
        Export("audience.pack_rows", "update {t} set cell = 40 - cell where {hit}"),
    ),
    Fault(
        "export_pack_ids",
        "export",
        "人群包里出现 id",
        "ids among a pack's values",
        Export(
            "audience.pack_rows",
            "update {t} set value = (select min(id) from dim.identities) where {hit}",
        ),
    ),
    Fault(
        "export_pack_exact_total",
        "export",
        "精确的合格人数被发布",
        "the exact number of eligible persons",
        Export(
            "audience.pack_counts",
            "insert into {t} values ('seeds', 1, '{}', 'eligible', 12345)",
        ),
    ),
    Fault(
        "export_pack_revoked",
        "export",
        "撤销的包仍带着行",
        "rows of a pack that was revoked",
        Export("audience.packs", "update {t} set status = 'revoked' where {hit}"),
    ),
    Fault(
        "export_pack_expired",
        "export",
        "过期的包仍带着行",
        "rows of a pack that expired",
        Export(
            "audience.packs",
            "update {t} set expires_at = created_at + interval 1 hour where {hit}",
        ),
    ),
    Fault(
        "export_pack_epsilon",
        "export",
        "写小了隐私花费",
        "a smaller epsilon than was charged",
        Export("audience.packs", "update {t} set epsilon = epsilon / 4 where {hit}"),
    ),
    Fault(
        "export_ledger_reordered",
        "export",
        "隐私台账顺序被改",
        "a privacy ledger in another order",
        Export("audience.release_ledger", "update {t} set seq = 9 - seq where seq in (2, 7)"),
    ),
    Fault(
        "export_attack_hidden",
        "export",
        "失败的攻击被删去",
        "an attack left out",
        Export("audience.attacks", "delete from {t} where {hit}"),
    ),
    Fault(
        "export_counts_sharpened",
        "export",
        "噪声被去掉后的数",
        "counts other than those that were drawn",
        Export("audience.pack_counts", "update {t} set value = value + 1 where {hit}"),
    ),
    Fault(
        "export_raw_line",
        "export",
        "拒收表带出原文",
        "the raw text of rejected lines",
        Export("quality.rejected", "alter table {t} add column raw_line varchar"),
    ),
    Fault(
        "export_empty_text",
        "export",
        "空值成了空字符串",
        "empty text for null",
        Export(
            "dim.persons",
            "update {t} set region = '' where {hit}",
            "region is null",
        ),
    ),
    Fault(
        "export_cents_lost",
        "export",
        "金额抹掉了分",
        "cents dropped on the way",
        Export(
            "revenue.creator_payouts",
            "update {t} set payout_minor = payout_minor // 10 * 10 where {hit}",
            "payout_minor % 10 <> 0",
        ),
    ),
]
