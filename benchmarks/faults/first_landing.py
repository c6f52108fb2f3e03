"""The first set's faults of what arrives: files, bytes, clocks, keys, values, volumes."""

# ruff: noqa: E501

from __future__ import annotations

from datetime import datetime, timedelta, timezone

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
    promised,
    put,
    renamed,
    shifted,
    turn,
)
from benchmarks.faults.fault import Delivery, Fault, Landed, Record, Written

EVENTS, CONTENTS, MESSAGES = "community/events", "community/contents", "group/messages"
ACCOUNTS, ORDERS, REFUNDS = "community/accounts", "commerce/orders", "commerce/refunds"
H8, D3 = timedelta(hours=8), timedelta(days=3)
CST = timezone(timedelta(hours=8))
_WIDE = str.maketrans({code: chr(code + 0xFEE0) for code in range(0x30, 0x3A)})


def _records(
    fault_id: str, zh: str, en: str, log: str, change: Change, small: float = 0.01
) -> Fault:
    return Fault(fault_id, "raw", zh, en, Landed(log, change), small)


def _files(fault_id: str, zh: str, en: str, log: str, change: Change, small: float = 0.01) -> Fault:
    return Fault(fault_id, "raw", zh, en, Written(log, change), small)


def _twin(delivery: Delivery) -> None:
    for path in newest(delivery):
        path.with_name(f"copy-of-{path.name}").write_bytes(path.read_bytes())


def _twin_in_other_bytes(delivery: Delivery) -> None:
    for path in newest(delivery):
        path.with_name(f"copy-of-{path.name}").write_bytes(path.read_bytes() + b"\n")


def _misplaced(delivery: Delivery) -> None:
    for path in newest(delivery):
        folder = delivery.folder.with_name("evnts")
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"{path.parent.name}-{path.name}")


def _no_gz(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _flip(data: bytes) -> bytes:
    spoilt = bytearray(data)
    spoilt[len(spoilt) // 2] ^= 0x10
    return bytes(spoilt)


def _zeroes(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + b"\0" * 512 + data[middle + 512 :]


def _local(record: Record) -> datetime:
    return datetime.fromisoformat(record["occurred_at"]).astimezone(CST)


def _silent(record: Record, rate: float, last: str) -> bool:
    """The smaller community's last day, or all its days."""
    return record["source"] == "agora" and (rate > 0.1 or _local(record).date().isoformat() >= last)


def _hour_missing(record: Record, rate: float, last: str) -> bool:
    """An evening hour of a workday, or every evening from 19 to 23."""
    moment = _local(record)
    if rate > 0.1:
        return record["source"] == "plaza" and 19 <= moment.hour < 23
    return record["source"] == "plaza" and moment.hour == 21 and moment.date().isoformat() == last


def _day_missing(record: Record, rate: float, last: str) -> bool:
    """A day of the smaller community, or two days of everything."""
    days = (datetime.fromisoformat(last).date() - _local(record).date()).days
    return days in (1, 2) if rate > 0.1 else record["source"] == "agora" and days == 1


def _all_late(delivery: Delivery) -> None:
    """A producer sends local times as if they were UTC: one source, or both."""
    for record in delivery.records():
        if delivery.rate > 0.1 or record["source"] == "agora":
            for field in ("occurred_at", "received_at"):
                record[field] = moved(record[field], H8)


def _flood(delivery: Delivery) -> None:
    """One account acts all day, every few seconds."""
    chosen = delivery.some(lambda record: record["source"] == "plaza")
    name = next(iter(delivery.files))
    account, first = chosen[0]["account_id"], max(r["occurred_at"] for r in delivery.files[name])
    bots: list[Record] = []
    for number in range(len(chosen) * 2):
        moment = moved(first, -timedelta(seconds=3 * number))
        bots.append(
            chosen[0]
            | {"event_id": f"bot{number}", "account_id": account}
            | {"occurred_at": moment, "received_at": moved(moment, timedelta(seconds=1))}
        )
    delivery.files[name] += bots


def _spam(delivery: Delivery) -> None:
    """One member repeats one text in a group."""
    chosen = delivery.some(lambda record: record.get("text"), least=8)
    name = next(iter(delivery.files))
    for number in range(max(60, len(chosen))):
        moment = moved(chosen[0]["occurred_at"], timedelta(seconds=20 * number))
        delivery.files[name].append(
            chosen[0]
            | {"message_id": f"spam{number}", "text": "加我微信领红包", "text_length": 7}
            | {"occurred_at": moment, "received_at": moved(moment, timedelta(seconds=1))}
        )


def _orphans(field: str, prefix: str) -> Change:
    def apply(delivery: Delivery) -> None:
        for number, record in enumerate(delivery.some(given(field))):
            record[field] = f"{prefix}{number}"

    return apply


def _reused(delivery: Delivery) -> None:
    """New records under the ids of older ones."""
    chosen = delivery.some()
    ids = [record["event_id"] for record in delivery.records()][: len(chosen)]
    for record, event_id in zip(chosen, ids, strict=True):
        record["event_id"] = event_id


def _renumbered(record: Record, number: int) -> None:
    record["event_id"] = f"resent-{number}"


def _second_state(record: Record, number: int) -> None:
    record["updated_at"] = "1990-01-01T00:00:00Z"
    record["topic"] = f"topic {number}"


def _swapped(first: str, second: str) -> Change:
    def change(record: Record) -> None:
        record[first], record[second] = record[second], record[first]

    return each(change, lambda record: record.get(first) and record.get(second))


def _over_paid(record: Record) -> None:
    record["amount_minor"] = int(record["amount_minor"]) * 50


def _in_plaza(record: Record) -> bool:
    """A recent order of the source that has most."""
    recent = record["paid_at"] >= "2026-06-17"
    return bool(recent and record["source"] == "plaza" and record["currency"] == "CNY")


def _euros(record: Record) -> None:
    record["currency"] = "EUR"


def _hundredfold(record: Record) -> None:
    record["amount_minor"] = int(record["amount_minor"]) * 100


def _hundredth(record: Record) -> None:
    record["amount_minor"] = max(1, int(record["amount_minor"]) // 100)


def _mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


FILES = [
    _files("duplicated_file", "同一文件以另一名字再次送达", "the same file arrives again under another name", EVENTS, _twin),
    _files("duplicated_file_repacked", "同一批记录以不同字节再次送达", "the same records arrive again in other bytes", EVENTS, _twin_in_other_bytes),
    _files("truncated_gz", "gzip 文件被截断", "a gzip file is cut off", EVENTS, bytewise(_no_gz, ".gz")),
    _files("bit_flip", "gzip 文件翻转一位", "one bit of a gzip file is flipped", EVENTS, bytewise(_flip, ".gz")),
    _files("half_written_upload", "上传到一半：最后一行不完整", "a half-written upload: the last line is cut", EVENTS, bytewise(lambda data: data[:-40])),
    _files("zeroed_block", "文件中间一块变成零字节", "a block in the middle of a file is zero bytes", EVENTS, bytewise(_zeroes)),
    _files("lines_lost_in_transit", "行在传输中丢失，控制总数不符", "lines are lost in transit, against the control totals", EVENTS, promised(lambda lines: lines[: -max(1, len(lines) // 100)])),
    _files("lines_doubled_in_transit", "行在传输中重复，控制总数不符", "lines are doubled in transit, against the control totals", ORDERS, promised(lambda lines: lines + lines[:1])),
    _files("gbk_file", "文件改用 GBK 编码", "a file is written in GBK", CONTENTS, bytewise(lambda data: data.decode().encode("gbk", "replace"))),
    _files("utf16_file", "文件改用 UTF-16 编码", "a file is written in UTF-16", EVENTS, bytewise(lambda data: data.decode().encode("utf-16"))),
    _files("wrong_folder", "文件放进了拼错的日志目录", "files lie in a misspelt log's folder", EVENTS, _misplaced),
    _files("unknown_format", "文件扩展名不认识", "a file has an extension that nobody reads", EVENTS, bytewise(bytes, ".xlsx")),
    _files("empty_gz", "文件为空的 gzip 名", "a gzip file of zero bytes", EVENTS, bytewise(lambda _: b"", ".gz")),
    _files("broken_json", "JSON 用了单引号", "JSON with single quotes", EVENTS, line_by_line(lambda line: line.replace('"', "'"))),
    _files("lone_surrogate", "文本中有孤立代理", "a lone surrogate in a text", CONTENTS, line_by_line(lambda line: line.replace('"title": "', '"title": "\\ud800'))),
    _files("two_records_a_line", "两条记录粘在一行", "two records stick together on one line", MESSAGES, line_by_line(lambda line: line + line)),
]  # fmt: skip

CLOCKS = [
    _records("clock_8h_ahead", "生产者时钟快 8 小时", "a producer's clock is 8 h ahead", EVENTS, shifted("occurred_at", H8), 0.02),
    _records("clock_8h_behind", "生产者时钟慢 8 小时", "a producer's clock is 8 h behind", EVENTS, shifted("occurred_at", -H8), 0.02),
    _records("clock_3d_ahead", "生产者时钟快 3 天", "a producer's clock is 3 days ahead", EVENTS, shifted("occurred_at", D3), 0.02),
    _records("clock_3d_behind", "生产者时钟慢 3 天", "a producer's clock is 3 days behind", EVENTS, shifted("occurred_at", -D3), 0.02),
    _records("clock_8h_ahead_messages", "群消息的时钟快 8 小时", "the clock of messages is 8 h ahead", MESSAGES, shifted("occurred_at", H8), 0.02),
    _records("clock_3d_behind_messages", "群消息的时钟慢 3 天", "the clock of messages is 3 days behind", MESSAGES, shifted("occurred_at", -D3), 0.02),
    _records("clock_8h_ahead_orders", "订单的时钟快 8 小时", "the clock of orders is 8 h ahead", ORDERS, shifted("paid_at", H8), 0.02),
    _records("local_time_as_utc", "当地时间当作 UTC，采集时刻也是", "local times sent as UTC, those of collection too", EVENTS, _all_late, 0.02),
    _records("naive_times", "时间没有时区", "times without an offset", EVENTS, turn("occurred_at", lambda text: text[:19])),
    _records("date_only", "时间只剩日期", "times cut to dates", EVENTS, turn("occurred_at", lambda text: text[:10])),
    _records("epoch_seconds", "时间改成秒数", "times sent as epoch seconds", EVENTS, turn("occurred_at", lambda text: int(datetime.fromisoformat(text).timestamp()))),
    _records("seconds_as_milliseconds", "秒被当作毫秒：1970 年", "seconds taken for milliseconds: 1970", EVENTS, turn("occurred_at", lambda text: datetime.fromtimestamp(datetime.fromisoformat(text).timestamp() / 1000, CST).isoformat())),
    _records("milliseconds_as_seconds", "毫秒被当作秒：远未来", "milliseconds taken for seconds: the far future", EVENTS, turn("occurred_at", lambda text: f"9999{text[4:]}")),
    _records("us_dates", "美式日期", "American dates", EVENTS, turn("occurred_at", lambda text: f"{text[5:7]}/{text[8:10]}/{text[:4]}")),
    _records("deleted_before_published", "删除早于发布", "deleted before published", CONTENTS, each(lambda record: record.update(deleted_at=moved(record["published_at"], -D3)))),
    _records("refund_before_payment", "退款早于支付", "refunded before paid", REFUNDS, shifted("refunded_at", -timedelta(days=90)), 0.02),
    _records("entity_state_from_the_past", "实体状态的更新时间回到过去", "states with an update time in the past", CONTENTS, again(_second_state)),
]  # fmt: skip

TEXTS = [
    _records("mojibake", "标题乱码（UTF-8 被当作 Latin-1）", "mojibake in titles: UTF-8 read as Latin-1", CONTENTS, turn("title", _mojibake)),
    _records("mojibake_messages", "消息乱码", "mojibake in messages", MESSAGES, turn("text", _mojibake)),
    _records("replacement_character", "标题出现 U+FFFD", "U+FFFD in titles", CONTENTS, turn("title", lambda text: text[:2] + "\ufffd")),
    _records("replacement_character_messages", "消息出现 U+FFFD", "U+FFFD in messages", MESSAGES, turn("text", lambda text: text[:2] + "\ufffd")),
    _records("html_entities", "标题里有 HTML 实体", "HTML entities in titles", CONTENTS, turn("title", lambda text: f"{text} &amp; &quot;")),
    _records("control_characters", "标题里有控制字符", "control characters in titles", CONTENTS, turn("title", lambda text: f"{text}\x07")),
    _records("word_for_null", "空值写成单词 NULL", "the word NULL where nothing is meant", EVENTS, put("topic", "NULL")),
    _records("full_width_ids", "ID 用了全角数字", "ids in full-width digits", EVENTS, turn("account_id", lambda text: text.translate(_WIDE))),
    _records("zero_width_ids", "ID 里有零宽字符", "zero-width characters in ids", EVENTS, turn("account_id", lambda text: f"{text}\u200b")),
    _records("spaces_in_ids", "ID 末尾有空格", "ids with a trailing space", EVENTS, turn("content_id", lambda text: f"{text} ")),
    _records("ids_as_floats", "大整数 ID 变成科学计数法", "long ids in scientific notation", EVENTS, turn("account_id", lambda text: f"{float(int(text, 36)):.9E}")),
    _records("upper_case_ids", "内容 ID 变成大写", "content ids in capitals", EVENTS, turn("content_id", str.upper)),
    _records("zero_width_member_ids", "成员 ID 里有零宽字符", "zero-width characters in member ids", MESSAGES, turn("member_id", lambda text: f"\ufeff{text}")),
    _records("full_width_order_ids", "退款的订单 ID 用了全角数字", "full-width order ids of refunds", REFUNDS, turn("order_id", lambda text: text.translate(_WIDE)), 0.02),
]  # fmt: skip

KEYS = [
    _records("id_reuse", "事件 ID 被重复使用", "event ids are used again for other events", EVENTS, _reused),
    _records("dedup_key_changed", "重发的事件换了新的 ID", "events are sent again under new ids", EVENTS, again(_renumbered)),
    _records("dedup_key_changed_orders", "重发的订单换了新的 ID", "orders are sent again under new ids", ORDERS, again(lambda record, number: record.update(order_id=f"again-{number}")), 0.02),
    _records("orphan_accounts", "大量没有档案的账号", "a flood of accounts without a record", EVENTS, _orphans("account_id", "ghost-"), 0.02),
    _records("orphan_contents", "大量没有档案的内容", "a flood of contents without a record", EVENTS, _orphans("content_id", "nothing-"), 0.02),
    _records("orphan_members", "大量没有档案的成员", "a flood of members without a record", MESSAGES, _orphans("member_id", "nobody-"), 0.02),
    _records("orphan_broadcasts", "投递没有群发", "deliveries without a broadcast", "group/deliveries", _orphans("broadcast_id", "none-"), 0.02),
    _records("orphan_experiments", "曝光没有实验", "exposures without an experiment", "operations/exposures", _orphans("experiment_id", "none-")),
    _records("orphan_groups", "消息来自没有档案的群", "messages of groups without a record", MESSAGES, _orphans("group_id", "nowhere-"), 0.02),
    _records("unknown_variant", "曝光的分组不在实验里", "exposures to an arm that the experiment does not have", "operations/exposures", put("variant", "arm-z")),
    _records("swapped_columns", "两列互换", "two columns are swapped", EVENTS, _swapped("account_id", "content_id"), 0.02),
    _records("replies_across_groups", "回复跑到了别的群", "replies land in another group", MESSAGES, each(lambda record: record.update(group_id=f"{record['group_id']}0"), given("reply_to_message_id"))),
]  # fmt: skip

VALUES = [
    _records("amount_hundredfold", "金额放大 100 倍", "amounts a hundredfold", ORDERS, each(_hundredfold, _in_plaza, 3), 0.02),
    _records("amount_in_major_units", "金额用了主单位", "amounts in major units", ORDERS, each(_hundredth, _in_plaza, 3), 0.02),
    _records("amount_negative", "金额变号", "amounts change their sign", ORDERS, turn("amount_minor", lambda text: -int(text))),
    _records("amount_decimal", "金额是小数", "amounts with decimals", ORDERS, turn("amount_minor", lambda text: f"{int(text) / 100:.2f}")),
    _records("amount_decimal_comma", "金额用逗号", "amounts with a decimal comma", ORDERS, turn("amount_minor", lambda text: f"{int(text) // 100},{int(text) % 100:02d}")),
    _records("currency_swapped", "货币换成另一种", "another currency", ORDERS, each(_euros, _in_plaza, least=3), 0.02),
    _records("currency_lower_case", "货币小写", "currencies in lower case", ORDERS, turn("currency", str.lower)),
    _records("currency_unknown", "货币不在 ISO 4217", "a currency outside ISO 4217", ORDERS, put("currency", "RMB")),
    _records("currency_lost", "货币缺失", "the currency is missing", ORDERS, lost("currency")),
    _records("refund_over_paid", "退款超过支付", "refunds of more than was paid", REFUNDS, each(_over_paid), 0.02),
    _records("refund_negative", "退款为负", "negative refunds", REFUNDS, turn("amount_minor", lambda text: -int(text))),
    _records("spend_hundredfold", "花费放大 100 倍", "spend a hundredfold", "operations/spend", each(_hundredfold, lambda record: record["spent_on"] >= "2026-06-17", 3), 0.02),
    _records("dwell_negative", "停留时长为负", "negative dwell times", EVENTS, turn("dwell_ms", lambda text: -int(text))),
    _records("dwell_in_seconds", "停留时长以秒计", "dwell times in seconds", EVENTS, turn("dwell_ms", lambda text: int(text) // 1000), 0.02),
    _records("score_out_of_range", "评分超出 1–5", "scores beyond 1 to 5", "group/consults", put("score", 11)),
    _records("rate_inverted", "汇率取了倒数", "exchange rates inverted", "commerce/fx_rates", turn("rate", lambda text: f"{1 / float(text):.6f}")),
    _records("rate_decimal_comma", "汇率用逗号", "exchange rates with a comma", "commerce/fx_rates", turn("rate", lambda text: text.replace(".", ","))),
    _records("rate_zero", "汇率为零", "exchange rates of zero", "commerce/fx_rates", put("rate", "0")),
    _records("period_inverted", "订阅期止于开始之前", "subscriptions that end before they begin", "commerce/subscriptions", each(lambda record: record.update(period_end=record["period_start"]))),
    _records("share_out_of_range", "分成超过 100%", "shares above 100 %", "commerce/share_policies", put("share_bps", 65000)),
    _records("boolean_as_number", "布尔写成 0/1", "booleans as 0 and 1", ACCOUNTS, each(lambda record: record.update(is_bot=0))),
    _records("object_as_text", "对象变成普通文本", "an object sent as plain text", EVENTS, put("properties", "position=1")),
]  # fmt: skip

SHAPES = [
    _records("column_renamed_required", "必填列改名", "a required column is renamed", EVENTS, renamed("event_type", "type")),
    _records("column_renamed_optional", "可选列改名", "an optional column is renamed", EVENTS, renamed("content_id", "item_id")),
    _records("column_added", "多出一列", "a column is added", ORDERS, each(lambda record: record.update(coupon="x"))),
    _records("field_lost", "一向给出的可选字段不再送达", "an optional field that was always given is no longer sent", EVENTS, lost("received_at"), 0.02),
    _records("required_lost", "必填字段缺失", "a required field is missing", MESSAGES, lost("member_id")),
    _records("enum_grown", "枚举多出新值", "an enum has grown", EVENTS, put("event_type", "superlike")),
    _records("enum_in_capitals", "枚举大小写改变", "an enum in capitals", EVENTS, turn("event_type", str.upper)),
    _records("enum_translated", "枚举被翻译", "an enum is translated", ORDERS, put("kind", "课程")),
]  # fmt: skip

VOLUMES = [
    _records("bot_flood", "一个账号刷量", "one account floods", EVENTS, _flood, 0.02),
    _records("message_flood", "一个成员刷屏", "one member floods a group", MESSAGES, _spam, 0.02),
    _records("source_silent", "一个来源沉默", "one source falls silent", EVENTS, dropped(_silent), 0.02),
    _records("hour_missing", "缺了一小时", "one hour is missing", EVENTS, dropped(_hour_missing)),
    _records("day_missing", "缺了一天", "one day is missing", EVENTS, dropped(_day_missing), 0.02),
]  # fmt: skip

LANDING = [*FILES, *CLOCKS, *TEXTS, *KEYS, *VALUES, *SHAPES, *VOLUMES]
