"""Faults of the files that arrive and of their records, written without a look at the rules."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta

from benchmarks.faults.changes import (
    Change,
    again,
    bytewise,
    dropped,
    each,
    given,
    line_by_line,
    lost,
    moved,
    newest,
    put,
    shifted,
    turn,
)
from benchmarks.faults.fault import Delivery, Fault, InjectionError, Landed, Record, Written

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def is_one_of(field: str, *values: str) -> Callable[[Record], object]:
    """Records whose field has one of the values."""
    return lambda record: str(record.get(field)) in values


def fill(field: str, value: object) -> Change:
    """Set a field whether it is there or not."""
    return each(lambda record: record.update({field: value}))


def switch(field: str, values: dict[str, object]) -> Change:
    """Replace values of a field by others."""
    return each(
        lambda record: record.update({field: values[str(record[field])]}),
        lambda record: str(record.get(field)) in values,
    )


def times(field: str, factor: float, wanted: Callable[[Record], object] | None = None) -> Change:
    """Multiply a whole number, and keep it whole."""
    return each(
        lambda record: record.update({field: int(int(record[field]) * factor)}),
        wanted or given(field),
    )


def swapped(one: str, other: str) -> Change:
    """Exchange two fields of one record."""

    def change(record: Record) -> None:
        record[one], record[other] = record.get(other), record.get(one)

    return each(change, given(one))


def before(field: str, other: str, by: timedelta) -> Change:
    """Put one time before another one of the record."""
    return each(lambda record: record.update({field: moved(str(record[other]), -by)}), given(other))


def slid(field: str) -> Change:
    """Give each chosen record the value of the chosen one before it, as after sorting one column.

    Records that lack the field have no part in it.
    """

    def apply(delivery: Delivery) -> None:
        chosen = delivery.some(given(field), 2)
        values = [record[field] for record in chosen]
        for record, value in zip(chosen, values[-1:] + values[:-1], strict=True):
            record[field] = value

    return apply


def of_last_date(wanted: Callable[[Record], object], field: str = "occurred_at") -> Change:
    """Lose the wanted records: at a small rate of the last date, at a large one of all dates."""

    def apply(delivery: Delivery) -> None:
        last = max(str(record[field])[:10] for record in delivery.records())
        for name, records in delivery.files.items():
            delivery.files[name] = [
                record
                for record in records
                if not (wanted(record) and (delivery.rate > 0.1 or str(record[field])[:10] == last))
            ]

    return apply


def other_log(log: str, rename: dict[str, str]) -> Change:
    """Lay a file of another log's records beside the right ones."""

    def apply(delivery: Delivery) -> None:
        name, records = next(iter(delivery.files.items()))
        wrong = [
            {rename.get(key, key): value for key, value in record.items()} for record in records
        ]
        folder = name.split("/")[0]
        delivery.files[f"{folder}/{log.replace('/', '-')}.jsonl"] = wrong[
            : max(2, round(delivery.rate * len(wrong)))
        ]

    return apply


def as_csv(delimiter: str = ",", *, header: bool = True) -> Change:
    """Write the delivery as CSV of a careless exporter."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            names = list(dict.fromkeys(name for record in records for name in record))
            text = io.StringIO()
            writer = csv.writer(text, delimiter=delimiter)
            if header:
                writer.writerow(names)
            for record in records:
                row = (record.get(name) for name in names)
                writer.writerow(["" if value is None else str(value) for value in row])
            path.unlink()
            path.with_suffix(".csv").write_text(text.getvalue(), encoding="utf-8")

    return apply


def unquoted_commas(field: str) -> Change:
    """Write CSV by joining with commas, where one field holds a comma of its own."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            names = list(dict.fromkeys(name for record in records for name in record))
            lines = [",".join(names)]
            for record in records:
                record[field] = f"{record.get(field)}, renewed"
                lines.append(",".join(str(record.get(name) or "") for name in names))
            path.unlink()
            path.with_suffix(".csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return apply


def rewritten(change: Callable[[list[str]], list[str]]) -> Change:
    """Change the list of lines of the files that a rate is about."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            lines = path.read_text("utf-8").splitlines()
            path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")

    return apply


def summed(field: str, change: Callable[[int], int]) -> Change:
    """Write control totals with a sum, and then change the values that were summed."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            total = sum(int(record[field]) for record in records)
            totals = {"lines": len(records), "sums": {field: total}}
            path.with_name(f"{path.name}.control.json").write_text(json.dumps(totals))
            for record in records:
                record[field] = change(int(record[field]))
            text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            path.write_text(text, encoding="utf-8")

    return apply


def totals_of_before(delivery: Delivery) -> None:
    """Control totals of a file to which three lines were added since."""
    for path in newest(delivery):
        lines = len(path.read_text("utf-8").splitlines()) - 3
        path.with_name(f"{path.name}.control.json").write_text(json.dumps({"lines": lines}))


def interleaved(lines: list[str]) -> list[str]:
    """Two writers without a lock: every tenth line begins in the middle of the one before."""
    mixed: list[str] = []
    for number, line in enumerate(lines):
        if number % 10 == 9:
            cut = len(mixed[-1]) // 2
            mixed[-1] = mixed[-1][:cut] + line
        else:
            mixed.append(line)
    if mixed == lines:
        raise InjectionError("too few lines to mix")
    return mixed


def stale_rates(delivery: Delivery) -> None:
    """The provider's feed hangs: the last dates repeat the rate from before."""
    dates = sorted({str(record["rate_date"]) for record in delivery.records()})
    frozen = dates[-20 if delivery.rate > 0.1 else -7 :]
    rates = {
        (record["source"], record["currency"]): record["rate"]
        for record in delivery.records()
        if str(record["rate_date"]) == frozen[0]
    }
    for record in delivery.records():
        if str(record["rate_date"]) in frozen:
            record["rate"] = rates[record["source"], record["currency"]]


def no_last_rates(delivery: Delivery) -> None:
    """The last dates have no rate at all."""
    dates = sorted({str(record["rate_date"]) for record in delivery.records()})
    left = set(dates[: -20 if delivery.rate > 0.1 else -3])
    for name, records in delivery.files.items():
        delivery.files[name] = [record for record in records if str(record["rate_date"]) in left]


def no_last_orders(delivery: Delivery) -> None:
    """The orders of the last two dates are missing, at a large rate those of two weeks."""
    dates = sorted({str(record["paid_at"])[:10] for record in delivery.records()})
    left = set(dates[: -14 if delivery.rate > 0.1 else -2])
    for name, records in delivery.files.items():
        delivery.files[name] = [record for record in records if str(record["paid_at"])[:10] in left]


def crawled(delivery: Delivery) -> None:
    """One account reads whatever others were shown, a second later, and no flag says a robot."""
    account = delivery.files[next(iter(delivery.files))][0]["account_id"]

    def read(record: Record, number: int) -> None:
        record |= {
            "event_id": f"crawl-{number}",
            "account_id": account,
            "event_type": "read",
            "occurred_at": moved(str(record["occurred_at"]), timedelta(seconds=1)),
        }

    again(read)(delivery)


def counter_reset(delivery: Delivery) -> None:
    """After a deployment the event numbers begin anew, and meet numbers that were given before."""
    for number, record in enumerate(delivery.some(bool)):
        record["event_id"] = f"e{number + 1}"


def renumbered(record: Record, number: int) -> None:
    """A retry of the client that takes a new event id."""
    record["event_id"] = f"retry-{number}"


def as_text(value: str, start: int, end: int) -> str:
    """The text with its middle masked by stars, as gateways do with phones."""
    return value[:start] + "*" * (end - start) + value[end:]


FILES = [
    Fault(
        "file_json_array",
        "raw",
        "生产方写成一个 JSON 数组",
        "one JSON array instead of lines",
        Written(
            "operations/assistant_requests",
            rewritten(lambda lines: ["[", *(f"{line}," for line in lines[:-1]), lines[-1], "]"]),
        ),
    ),
    Fault(
        "file_utf16",
        "raw",
        "从 Excel 另存为 UTF-16",
        "saved as UTF-16 by a spreadsheet",
        Written("group/scenes", bytewise(lambda data: data.decode().encode("utf-16"))),
    ),
    Fault(
        "file_gbk",
        "raw",
        "群名单用 GBK 编码",
        "encoded as GBK",
        Written("group/groups", bytewise(lambda data: data.decode().encode("gbk"))),
    ),
    Fault(
        "file_gzip_twice",
        "raw",
        "压缩了两次",
        "compressed twice",
        Written("commerce/orders", bytewise(lambda data: gzip.compress(data, mtime=0), ".gz")),
    ),
    Fault(
        "file_gzip_unnamed",
        "raw",
        "压缩后的文件没有 .gz 后缀",
        "compressed bytes under a plain name",
        Written("group/memberships", bytewise(lambda data: gzip.compress(data, mtime=0))),
    ),
    Fault(
        "file_plain_as_zst",
        "raw",
        "未压缩却以 .zst 命名",
        "plain text named .zst",
        Written("group/consults", bytewise(lambda data: data, ".zst")),
    ),
    Fault(
        "file_nul_tail",
        "raw",
        "采集机断电,文件尾部是空字节",
        "a tail of NUL bytes after a power loss",
        Written("group/messages", bytewise(lambda data: data[:-200] + b"\0" * 4096)),
    ),
    Fault(
        "file_login_page",
        "raw",
        "网关的登录页被存成数据文件",
        "the gateway's login page saved as data",
        Written("commerce/fx_rates", bytewise(lambda _: b"<html><body>Sign in</body></html>\n")),
    ),
    Fault(
        "file_two_writers",
        "raw",
        "两个进程同时写,行被打断",
        "two writers without a lock tear lines",
        Written("community/events", rewritten(interleaved)),
    ),
    Fault(
        "file_pretty_json",
        "raw",
        "JSON 带缩进,一条记录多行",
        "indented JSON over several lines",
        Written(
            "operations/experiments",
            rewritten(lambda lines: [json.dumps(json.loads(line), indent=1) for line in lines]),
        ),
    ),
    Fault(
        "file_python_repr",
        "raw",
        "打印了 Python 字典而不是 JSON",
        "Python dictionaries instead of JSON",
        Written("operations/campaign_events", line_by_line(lambda line: str(json.loads(line)))),
    ),
    Fault(
        "file_nan_number",
        "raw",
        "数值写成 NaN",
        "NaN for a number",
        Written(
            "community/events",
            line_by_line(lambda line: line.replace('"dwell_ms": null', '"dwell_ms": NaN')),
        ),
    ),
    Fault(
        "file_half_emoji",
        "raw",
        "SDK 按 UTF-16 截断,留下半个表情",
        "half an emoji left by truncation",
        Written(
            "operations/assistant_requests",
            line_by_line(lambda line: line.replace('"intent": "', '"intent": "\\ud83d')),
        ),
    ),
    Fault(
        "file_csv_semicolons",
        "raw",
        "CSV 用分号分隔",
        "CSV with semicolons",
        Written("operations/spend", as_csv(";")),
    ),
    Fault(
        "file_csv_headerless",
        "raw",
        "CSV 没有表头",
        "CSV without a header",
        Written("commerce/identity_links", as_csv(header=False)),
    ),
    Fault(
        "file_csv_unquoted",
        "raw",
        "名称里的逗号未加引号,列错位",
        "an unquoted comma shifts the columns",
        Written("operations/campaigns", unquoted_commas("name")),
    ),
    Fault(
        "file_empty_upload",
        "raw",
        "最新的文件是空的",
        "the newest file came empty",
        Written("group/attendance", bytewise(lambda _: b"")),
    ),
    Fault(
        "file_first_half",
        "raw",
        "上传停在行尾,只有前一半",
        "an upload that stopped at a line's end",
        Written("community/events", rewritten(lambda lines: lines[: len(lines) // 2])),
    ),
    Fault(
        "file_appended_after_totals",
        "raw",
        "写完控制总数后又追加了行",
        "lines added after the control totals were written",
        Written("group/deliveries", totals_of_before),
    ),
    Fault(
        "file_sum_disagrees",
        "raw",
        "金额与控制总数不符",
        "amounts that disagree with the control sum",
        Written("commerce/refunds", summed("amount_minor", lambda amount: amount + 1)),
    ),
    Fault(
        "file_of_another_log",
        "raw",
        "账号文件放进了成员目录",
        "a file of accounts in the members' folder",
        Landed("group/members", other_log("community/accounts", {"member_id": "account_id"})),
    ),
]

PEOPLE = [
    Fault(
        "accounts_registered_later",
        "raw",
        "注册时间晚于状态更新时间",
        "registered after the state's update",
        Landed("community/accounts", shifted("registered_at", 90 * DAY)),
    ),
    Fault(
        "accounts_phone_masked",
        "intermediate",
        "网关把手机号打码,陌生人因此合并",
        "masked phones, by which strangers become one",
        Landed(
            "community/accounts",
            turn("phone", lambda text: as_text(text[-11:], 3, 7), least=3),
        ),
    ),
    Fault(
        "accounts_phone_default",
        "intermediate",
        "未填手机号写成同一个默认号码",
        "one default phone for all who gave none",
        Landed(
            "community/accounts",
            each(lambda record: record.update(phone="13800000000"), least=4),
        ),
    ),
    Fault(
        "accounts_union_undefined",
        "raw",
        "union_id 写成字面值 undefined",
        "the word undefined for a union id",
        Landed(
            "community/accounts",
            each(lambda record: record.update(union_id="undefined"), least=3),
        ),
    ),
    Fault(
        "accounts_all_staff",
        "raw",
        "人事同步后全员成为员工",
        "everybody is staff after a sync",
        Landed("community/accounts", fill("is_staff", True)),
        small=0.02,
    ),
    Fault(
        "accounts_consent_default",
        "raw",
        "新版 SDK 默认同意被圈选",
        "a release that consents by default",
        Landed("community/accounts", fill("consent_audience", True)),
        small=0.02,
    ),
    Fault(
        "accounts_short_birth_year",
        "raw",
        "出生年只有两位",
        "a birth year of two digits",
        Landed("community/accounts", turn("birth_year", lambda text: int(text) % 100)),
    ),
    Fault(
        "accounts_region_in_words",
        "marts",
        "地区写成中文名而非 ISO 代码",
        "regions in words instead of ISO codes",
        Landed("community/accounts", put("region", "广东省")),
    ),
    Fault(
        "accounts_self_invited",
        "raw",
        "邀请人是自己",
        "accounts that invited themselves",
        Landed(
            "community/accounts",
            each(lambda record: record.update(inviter_account_id=record["account_id"])),
        ),
    ),
    Fault(
        "accounts_channel_utm",
        "marts",
        "渠道写成整条 UTM 链接",
        "a whole tracking link for a channel",
        Landed(
            "community/accounts",
            turn("acquisition_channel", lambda text: f"?utm_source={text}&utm_id=7"),
        ),
    ),
    Fault(
        "accounts_name_cell_error",
        "raw",
        "表格公式出错,值为 #REF!",
        "a spreadsheet's #REF! for a value",
        Landed("community/accounts", put("acquisition_channel", "#REF!")),
    ),
    Fault(
        "members_union_slid",
        "intermediate",
        "union_id 一列单独排序,错开一行",
        "union ids slid by one row",
        Landed("group/members", slid("union_id")),
        small=0.02,
    ),
    Fault(
        "members_all_kol",
        "raw",
        "全员成为 KOL",
        "every member is a key opinion leader",
        Landed("group/members", fill("is_kol", True)),
    ),
    Fault(
        "members_updated_long_ago",
        "raw",
        "旧快照以更旧的更新时间重发",
        "states re-sent with a time before all others",
        Landed("group/members", put("updated_at", "2001-01-01T00:00:00Z")),
    ),
    Fault(
        "links_swapped_ids",
        "raw",
        "账号与成员两列对调",
        "the account's and the member's columns swapped",
        Landed("commerce/identity_links", swapped("account_id", "member_id")),
    ),
    Fault(
        "links_shared_kiosk",
        "intermediate",
        "共用终端把许多账号连到一个成员",
        "one shared terminal links many accounts to one member",
        Landed(
            "commerce/identity_links",
            each(
                lambda record: record.update(
                    member_source="wecom", member_id="wm100130", action="link"
                ),
                is_one_of("member_source", "wecom"),
                least=4,
            ),
        ),
    ),
    Fault(
        "links_source_lost_case",
        "raw",
        "来源名大小写变了",
        "a source in another case",
        Landed("commerce/identity_links", turn("account_source", str.upper)),
    ),
]

COMMUNITY = [
    Fault(
        "contents_author_is_node",
        "raw",
        "作者与节点两列对调",
        "the author's and the node's columns swapped",
        Landed("community/contents", swapped("author_account_id", "node_id")),
    ),
    Fault(
        "contents_deleted_first",
        "raw",
        "删除早于发布",
        "deleted before published",
        Landed("community/contents", before("deleted_at", "published_at", 2 * DAY)),
    ),
    Fault(
        "contents_own_parent",
        "raw",
        "回复的上级是自己",
        "replies to themselves",
        Landed(
            "community/contents",
            each(
                lambda record: record.update(parent_content_id=record["content_id"]),
                given("parent_content_id"),
            ),
        ),
    ),
    Fault(
        "contents_origin_dropped",
        "raw",
        "发布系统不再写来源标签",
        "the origin is written no more",
        Landed(
            "community/contents",
            each(lambda record: record.update(origin_declared=None, origin_label=None)),
        ),
        small=0.02,
    ),
    Fault(
        "contents_all_paid",
        "raw",
        "付费标记默认为真",
        "paid by default",
        Landed("community/contents", fill("is_paid", True)),
        small=0.02,
    ),
    Fault(
        "contents_topic_escaped",
        "raw",
        "话题被 HTML 转义",
        "topics escaped for HTML",
        Landed("community/contents", turn("topic", lambda text: f"&lt;{text}&gt;")),
    ),
    Fault(
        "contents_answers_orphaned",
        "raw",
        "回答丢了所属问题",
        "answers without their question",
        Landed(
            "community/contents",
            each(lambda record: record.update(parent_content_id=None), is_one_of("kind", "answer")),
        ),
        small=0.02,
    ),
    Fault(
        "events_float_ids",
        "raw",
        "长 id 经浮点取整",
        "long ids rounded by a float",
        Landed("community/events", turn("account_id", lambda text: str(int(float(text))))),
    ),
    Fault(
        "events_retried",
        "raw",
        "客户端重试换了新 event_id",
        "retries with a new event id",
        Landed("community/events", again(renumbered)),
    ),
    Fault(
        "events_noon_lost",
        "raw",
        "十二小时制丢了下午标记",
        "a twelve-hour clock without its half of the day",
        Landed(
            "community/events",
            each(
                lambda record: record.update(
                    occurred_at=moved(str(record["occurred_at"]), -12 * HOUR)
                ),
                lambda record: datetime.fromisoformat(str(record["occurred_at"])).hour >= 12,
            ),
        ),
    ),
    Fault(
        "events_summer_time",
        "raw",
        "夏令时多加一小时",
        "an hour of summer time too many",
        Landed("community/events", shifted("occurred_at", HOUR)),
    ),
    Fault(
        "events_flush_time",
        "raw",
        "时间戳取整到小时",
        "times cut to the hour",
        Landed(
            "community/events",
            turn(
                "occurred_at",
                lambda text: (
                    datetime.fromisoformat(text)
                    .replace(minute=0, second=0, microsecond=0)
                    .isoformat()
                ),
            ),
        ),
    ),
    Fault(
        "events_crawler",
        "raw",
        "爬虫以一个账号读遍全站",
        "a crawler reads everything as one account",
        Landed("community/events", crawled),
    ),
    Fault(
        "events_unlike_is_like",
        "raw",
        "枚举重构后取消赞成了赞",
        "unlikes arrive as likes",
        Landed("community/events", switch("event_type", {"unlike": "like"})),
    ),
    Fault(
        "events_no_web_clicks",
        "raw",
        "某一端的点击被拦截",
        "one platform's clicks are blocked",
        Landed(
            "community/events",
            of_last_date(
                lambda record: record["event_type"] == "click" and record["platform"] == "android"
            ),
        ),
    ),
    Fault(
        "events_no_exits",
        "raw",
        "离开事件不再上报",
        "exits are reported no more",
        Landed(
            "community/events", of_last_date(lambda record: record["event_type"] == "space_exit")
        ),
    ),
    Fault(
        "events_follow_nobody",
        "raw",
        "关注事件没有对象",
        "follows of nobody",
        Landed(
            "community/events",
            each(
                lambda record: record.update(target_account_id=None),
                is_one_of("event_type", "follow"),
            ),
        ),
    ),
    Fault(
        "events_rotation_gap",
        "raw",
        "日志轮转丢了每小时最后五分钟",
        "log rotation loses each hour's last minutes",
        Landed(
            "community/events",
            of_last_date(lambda record: str(record["occurred_at"])[14:16] >= "55"),
        ),
    ),
    Fault(
        "events_source_case",
        "raw",
        "来源名首字母变大写",
        "a source's name with a capital",
        Landed("community/events", turn("source", str.title)),
    ),
    Fault(
        "events_tenants_mixed",
        "raw",
        "两个租户的日志混成一个来源",
        "two tenants under one source",
        Landed("community/events", switch("source", {"agora": "plaza"})),
    ),
    Fault(
        "events_numbers_anew",
        "raw",
        "重新部署后事件编号从头开始",
        "event numbers begin anew",
        Landed("community/events", counter_reset),
    ),
    Fault(
        "events_platform_unknown",
        "raw",
        "UA 解析失效,全归 other",
        "a broken parser says other for every platform",
        Landed("community/events", put("platform", "other")),
    ),
    Fault(
        "events_dwell_in_seconds",
        "raw",
        "停留时长单位变成秒",
        "dwell in seconds",
        Landed("community/events", times("dwell_ms", 0.001)),
    ),
    Fault(
        "nodes_parent_lost",
        "raw",
        "圈子丢了上级",
        "circles without a parent",
        Landed(
            "community/nodes",
            each(lambda record: record.update(parent_node_id=None), is_one_of("level", "circle")),
        ),
    ),
    Fault(
        "nodes_level_wrong",
        "raw",
        "圈子被标成频道",
        "circles called channels",
        Landed("community/nodes", switch("level", {"circle": "channel"})),
    ),
]

GROUPS = [
    Fault(
        "groups_owner_unknown",
        "raw",
        "群主写成了账号 id",
        "an account's id for an owner",
        Landed("group/groups", turn("owner_member_id", lambda text: f"acct-{text}")),
    ),
    Fault(
        "groups_closed_first",
        "raw",
        "关闭早于建群",
        "closed before created",
        Landed("group/groups", before("closed_at", "created_at", DAY)),
    ),
    Fault(
        "groups_observes_words",
        "raw",
        "可观测项写成逗号文本",
        "observes as text with commas",
        Landed("group/groups", put("observes", "delivered,read")),
    ),
    Fault(
        "groups_kind_default",
        "raw",
        "群类型全归 other",
        "every group's kind is other",
        Landed("group/groups", put("kind", "other")),
    ),
    Fault(
        "memberships_inverted",
        "raw",
        "入群与退群映射反了",
        "joins and leaves exchanged",
        Landed("group/memberships", switch("action", {"join": "leave", "leave": "join"})),
    ),
    Fault(
        "memberships_swapped",
        "raw",
        "群与成员两列对调",
        "the group's and the member's columns swapped",
        Landed("group/memberships", swapped("group_id", "member_id")),
    ),
    Fault(
        "memberships_pack_renamed",
        "raw",
        "人群包编号改了写法",
        "a pack's id in another writing",
        Landed("group/memberships", turn("pack_id", lambda text: text.upper())),
    ),
    Fault(
        "memberships_self_invited",
        "raw",
        "邀请人是自己",
        "members that invited themselves",
        Landed(
            "group/memberships",
            each(
                lambda record: record.update(inviter_member_id=record["member_id"]),
                given("inviter_member_id"),
            ),
        ),
    ),
    Fault(
        "messages_year_2000",
        "raw",
        "设备没电后时钟回到 2000 年",
        "a clock that restarted in 2000",
        Landed("group/messages", put("occurred_at", "2000-01-01T00:00:07Z")),
    ),
    Fault(
        "messages_reply_unknown",
        "raw",
        "回复了不存在的消息",
        "replies to messages that never were",
        Landed("group/messages", turn("reply_to_message_id", lambda text: f"old-{text}", least=2)),
    ),
    Fault(
        "messages_length_in_bytes",
        "raw",
        "文本长度按字节计",
        "text length in bytes",
        Landed(
            "group/messages",
            each(
                lambda record: record.update(text_length=3 * len(str(record["text"]))),
                given("text"),
            ),
        ),
    ),
    Fault(
        "messages_notices_as_text",
        "raw",
        "系统通知当成文本消息",
        "notices of the system sent as text",
        Landed("group/messages", switch("kind", {"system": "text"})),
    ),
    Fault(
        "messages_backfill_now",
        "raw",
        "补发历史消息用了导出时间",
        "a backfill stamped with the time of export",
        Landed(
            "group/messages",
            again(
                lambda record, number: record.update(
                    message_id=f"export-{number}",
                    occurred_at="2026-06-29T04:00:00Z",
                    received_at="2026-06-29T04:00:01Z",
                ),
                least=3,
            ),
        ),
    ),
    Fault(
        "messages_mentions_names",
        "raw",
        "提及里是昵称而非 id",
        "names instead of ids in mentions",
        Landed("group/messages", put("mentions", ["示例用户1"])),
    ),
    Fault(
        "broadcasts_sent_late",
        "raw",
        "群发时间晚于送达",
        "broadcasts sent after they were delivered",
        Landed("group/broadcasts", shifted("sent_at", 3 * DAY)),
    ),
    Fault(
        "deliveries_inverted",
        "raw",
        "送达与失败映射反了",
        "delivered and failed exchanged",
        Landed(
            "group/deliveries", switch("status", {"delivered": "failed", "failed": "delivered"})
        ),
    ),
    Fault(
        "deliveries_early",
        "raw",
        "回执早于群发",
        "receipts from before the broadcast",
        Landed("group/deliveries", shifted("occurred_at", -5 * DAY)),
    ),
    Fault(
        "deliveries_all_read",
        "raw",
        "网关把一切标为已读",
        "a gateway that marks everything read",
        Landed("group/deliveries", switch("status", {"targeted": "read", "sent": "read"})),
    ),
    Fault(
        "consults_ten_points",
        "raw",
        "评分变成十分制",
        "scores out of ten",
        Landed("group/consults", put("score", 10)),
    ),
    Fault(
        "consults_answer_first",
        "raw",
        "回答早于提问",
        "answers from before the question",
        Landed(
            "group/consults",
            each(
                lambda record: record.update(occurred_at=moved(str(record["occurred_at"]), -HOUR)),
                is_one_of("action", "ai_answer", "human_answer"),
            ),
        ),
    ),
    Fault(
        "consults_one_session",
        "raw",
        "会话 id 固定不变",
        "one session id for all",
        Landed("group/consults", turn("session_id", lambda _: "session-0", least=3)),
    ),
    Fault(
        "consults_ai_as_human",
        "raw",
        "AI 回答被记成人工",
        "answers of the AI recorded as human",
        Landed("group/consults", switch("action", {"ai_answer": "human_answer"})),
    ),
    Fault(
        "scenes_end_first",
        "raw",
        "结束早于开始",
        "scenes that end before they begin",
        Landed("group/scenes", before("ends_at", "starts_at", HOUR)),
    ),
    Fault(
        "scenes_local_as_utc",
        "raw",
        "本地时间当成 UTC",
        "local times called UTC",
        Landed("group/scenes", shifted("starts_at", 8 * HOUR)),
    ),
    Fault(
        "attendance_unknown_scene",
        "raw",
        "场次 id 加了前缀",
        "scene ids with a prefix",
        Landed("group/attendance", turn("scene_id", lambda text: f"live-{text}")),
    ),
]

OPERATIONS = [
    Fault(
        "campaigns_far_year",
        "raw",
        "开始年份敲错",
        "a start in a far year",
        Landed("operations/campaigns", put("starts_at", "2062-05-29T00:00:00+08:00")),
    ),
    Fault(
        "campaigns_end_first",
        "raw",
        "结束早于开始",
        "campaigns that end before they begin",
        Landed("operations/campaigns", before("ends_at", "starts_at", DAY)),
    ),
    Fault(
        "campaign_events_no_inviter",
        "raw",
        "接受邀请没有邀请人",
        "acceptances that name nobody",
        Landed("operations/campaign_events", lost("inviter_member_id")),
    ),
    Fault(
        "campaign_events_self_invited",
        "raw",
        "接受者即邀请者",
        "acceptances of one's own invitation",
        Landed(
            "operations/campaign_events",
            each(
                lambda record: record.update(inviter_member_id=record["member_id"]),
                is_one_of("action", "accept"),
            ),
        ),
    ),
    Fault(
        "campaign_events_unknown",
        "raw",
        "活动 id 是活动名",
        "a campaign's name for its id",
        Landed("operations/campaign_events", turn("campaign_id", lambda text: f"活动 {text}")),
    ),
    Fault(
        "experiments_percent_text",
        "raw",
        "分流权重写成百分比文本",
        "weights as text with a percent sign",
        Landed("operations/experiments", put("variants", {"control": "50%", "treatment": "50%"})),
    ),
    Fault(
        "experiments_end_first",
        "raw",
        "实验结束早于开始",
        "experiments that end before they begin",
        Landed("operations/experiments", before("ends_at", "starts_at", DAY)),
    ),
    Fault(
        "exposures_variant_case",
        "raw",
        "分组名首字母变大写",
        "variants with a capital",
        Landed("operations/exposures", turn("variant", str.title)),
    ),
    Fault(
        "exposures_rebucketed",
        "intermediate",
        "发版后重新分流,同一人进两组",
        "units dealt anew into the other variant",
        Landed(
            "operations/exposures",
            again(
                lambda record, number: record.update(
                    event_id=f"again-{number}",
                    variant="control" if record["variant"] != "control" else "treatment",
                )
            ),
        ),
    ),
    Fault(
        "exposures_device_units",
        "raw",
        "实验单位写成设备号",
        "device ids for units",
        Landed("operations/exposures", turn("unit_id", lambda text: f"idfa-{text}")),
    ),
    Fault(
        "assistant_microseconds",
        "raw",
        "延迟单位变成微秒",
        "latency in microseconds",
        Landed("operations/assistant_requests", times("latency_ms", 1000)),
    ),
    Fault(
        "assistant_nobody",
        "raw",
        "请求不带用户",
        "requests that name nobody",
        Landed(
            "operations/assistant_requests",
            each(lambda record: record.update(account_id=None, member_id=None)),
        ),
        small=0.02,
    ),
    Fault(
        "assistant_failed_fast",
        "raw",
        "失败被记成已回答",
        "failures recorded as answers",
        Landed("operations/assistant_requests", switch("outcome", {"failed": "answered"})),
    ),
    Fault(
        "spend_in_yuan",
        "raw",
        "花费单位由分变成元",
        "spend in whole yuan",
        Landed("operations/spend", times("amount_minor", 0.01)),
    ),
    Fault(
        "spend_campaign_names",
        "raw",
        "花费对象是活动名而非 id",
        "campaigns' names for targets",
        Landed(
            "operations/spend",
            each(
                lambda record: record.update(target_id=f"theme {record['target_id']}"),
                is_one_of("target", "campaign"),
            ),
        ),
    ),
    Fault(
        "spend_slashed_date",
        "raw",
        "日期写成斜杠格式",
        "dates with slashes",
        Landed("operations/spend", turn("spent_on", lambda text: text.replace("-", "/"))),
    ),
    Fault(
        "spend_day_is_month",
        "raw",
        "日与月对调",
        "day and month exchanged",
        Landed(
            "operations/spend",
            each(
                lambda record: record.update(
                    spent_on="-".join(str(record["spent_on"]).split("-")[i] for i in (0, 2, 1))
                ),
                lambda record: (
                    int(str(record["spent_on"])[8:]) <= 12
                    and str(record["spent_on"])[5:7] != str(record["spent_on"])[8:]
                ),
            ),
        ),
        small=0.02,
    ),
    Fault(
        "spend_next_year",
        "raw",
        "预算行混进了花费",
        "next year's budget among the spend",
        Landed("operations/spend", turn("spent_on", lambda text: f"{int(text[:4]) + 1}{text[4:]}")),
    ),
    Fault(
        "spend_booked_twice",
        "raw",
        "同一笔花费换号重报",
        "the same spend reported under another id",
        Landed(
            "operations/spend",
            again(lambda record, number: record.update(spend_id=f"rebooked-{number}")),
        ),
    ),
]

COMMERCE = [
    Fault(
        "orders_in_yuan",
        "raw",
        "订单金额单位由分变成元",
        "amounts in whole yuan",
        Landed("commerce/orders", times("amount_minor", 0.01)),
        small=0.02,
    ),
    Fault(
        "orders_currency_sign",
        "raw",
        "币种写成 RMB",
        "RMB for a currency",
        Landed("commerce/orders", put("currency", "RMB")),
    ),
    Fault(
        "orders_all_cny",
        "raw",
        "外币订单被标成人民币",
        "foreign orders called CNY",
        Landed(
            "commerce/orders",
            each(
                lambda record: record.update(currency="CNY"),
                lambda record: record["currency"] != "CNY",
            ),
        ),
    ),
    Fault(
        "orders_dinar_hundredths",
        "raw",
        "三位小数的币种按两位记",
        "a currency of three decimals written with two",
        Landed(
            "commerce/orders",
            times("amount_minor", 0.1, is_one_of("currency", "KWD", "JPY", "USD")),
        ),
    ),
    Fault(
        "orders_at_midnight",
        "raw",
        "支付时间只剩日期",
        "payments at midnight",
        Landed("commerce/orders", turn("paid_at", lambda text: f"{text[:10]}T00:00:00+08:00")),
        small=0.02,
    ),
    Fault(
        "orders_zero_amount",
        "raw",
        "金额为零的订单涌入",
        "orders of amount zero",
        Landed("commerce/orders", fill("amount_minor", 0)),
        small=0.02,
    ),
    Fault(
        "orders_webhook_twice",
        "raw",
        "支付回调重试换了新单号",
        "a payment's webhook retried under a new id",
        Landed(
            "commerce/orders",
            again(lambda record, number: record.update(order_id=f"hook-{number}")),
        ),
    ),
    Fault(
        "orders_content_unknown",
        "raw",
        "订单的内容 id 属于别处",
        "orders of contents that nobody published",
        Landed("commerce/orders", turn("content_id", lambda text: f"sku-{text}")),
    ),
    Fault(
        "orders_group_unknown",
        "raw",
        "订单的群 id 是群名",
        "a group's name for its id",
        Landed("commerce/orders", turn("group_id", lambda text: f"示例群 {text}")),
    ),
    Fault(
        "refunds_beyond_order",
        "raw",
        "退款按整个购物车计",
        "refunds of the whole cart",
        Landed("commerce/refunds", times("amount_minor", 12)),
    ),
    Fault(
        "refunds_first",
        "raw",
        "退款早于支付",
        "refunds from before the payment",
        Landed("commerce/refunds", shifted("refunded_at", -60 * DAY)),
    ),
    Fault(
        "refunds_prefixed",
        "raw",
        "退款的单号带前缀",
        "refunds name orders with a prefix",
        Landed("commerce/refunds", turn("order_id", lambda text: f"ORD-{text}", least=2)),
    ),
    Fault(
        "refunds_retried",
        "raw",
        "退款重试换了新退款号",
        "refunds retried under a new id",
        Landed(
            "commerce/refunds",
            again(lambda record, number: record.update(refund_id=f"again-{number}")),
        ),
    ),
    Fault(
        "subscriptions_last_day",
        "raw",
        "周期末日含当天",
        "periods with an inclusive end",
        Landed(
            "commerce/subscriptions",
            turn("period_end", lambda text: moved(text, -DAY)[:10]),
        ),
    ),
    Fault(
        "subscriptions_backwards",
        "raw",
        "周期首尾对调",
        "periods that end before they begin",
        Landed("commerce/subscriptions", swapped("period_start", "period_end")),
    ),
    Fault(
        "subscriptions_amount_text",
        "raw",
        "金额带小数",
        "amounts with a decimal point",
        Landed("commerce/subscriptions", turn("amount_minor", lambda text: f"{text}.0")),
    ),
    Fault(
        "subscriptions_yearly_per_month",
        "raw",
        "年费按月金额上报",
        "a year's price sent per month",
        Landed(
            "commerce/subscriptions",
            times("amount_minor", 1 / 12, is_one_of("plan_id", "yearly")),
        ),
    ),
    Fault(
        "policies_percent",
        "raw",
        "分成比例写成百分数",
        "shares in percent",
        Landed("commerce/share_policies", times("share_bps", 0.01)),
    ),
    Fault(
        "policies_node_lost",
        "raw",
        "节点政策丢了节点",
        "a node's policy without its node",
        Landed("commerce/share_policies", lost("scope_id")),
    ),
    Fault(
        "rates_inverted",
        "raw",
        "汇率取了倒数",
        "rates upside down",
        Landed("commerce/fx_rates", turn("rate", lambda text: f"{1 / float(text):.8f}")),
    ),
    Fault(
        "rates_per_hundred",
        "raw",
        "汇率按每百单位报价",
        "rates for a hundred units",
        Landed("commerce/fx_rates", turn("rate", lambda text: f"{100 * float(text):.6f}")),
    ),
    Fault(
        "rates_frozen",
        "raw",
        "汇率源卡住,连日不变",
        "a feed of rates that hangs",
        Landed("commerce/fx_rates", stale_rates),
    ),
    Fault(
        "rates_stopped",
        "raw",
        "汇率源停了",
        "a feed of rates that stopped",
        Landed("commerce/fx_rates", no_last_rates),
    ),
    Fault(
        "orders_night_lost",
        "raw",
        "最后一天的订单没有送到",
        "the last date's orders did not arrive",
        Landed("commerce/orders", no_last_orders),
        small=0.02,
    ),
    Fault(
        "messages_one_group_silent",
        "raw",
        "一个群的机器人掉线",
        "one group's collector is off",
        Landed(
            "group/messages",
            dropped(
                lambda record, rate, last: (
                    record["group_id"] in ("gr1", "gr2", "gr3")
                    and (rate > 0.1 or str(record["occurred_at"])[:10] == last)
                )
            ),
        ),
    ),
]

FAULTS = [*FILES, *PEOPLE, *COMMUNITY, *GROUPS, *OPERATIONS, *COMMERCE]
