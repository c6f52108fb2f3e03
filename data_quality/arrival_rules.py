"""Rules of raw that compare what arrives with what arrived before: all of them only warn.

A contract accepts such data, so it may be true: a campaign, a new market, a busy account. Each
threshold comes from the log's own history. Windows end at the newest record and are whole days of
24 hours, so that neither a time zone nor the moment of the build moves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from data_quality.contract_rules import RuleDict, no_rows
from orchestration.contracts import LogContract, contracts

RECENT_DAYS: Final = 14
_GIVEN: Final = ("enum", "id", "text", "integer", "currency", "timestamp")
_TIMES: Final = {
    "commerce/orders": "paid_at",
    "commerce/refunds": "refunded_at",
}
_STREAMS: Final = ("community/events", "group/messages")
_ECHOES: Final = (*_STREAMS, "commerce/orders")
_ACTORS: Final = {"community/events": "account_id", "group/messages": "member_id"}
_REFERENCES: Final = {
    "community/events": (
        ("account_id", "community__accounts", "account_id"),
        ("content_id", "community__contents", "content_id"),
    ),
    "group/messages": (
        ("member_id", "group__members", "member_id"),
        ("group_id", "group__groups", "group_id"),
    ),
    "group/deliveries": (("broadcast_id", "group__broadcasts", "broadcast_id"),),
}
_AMOUNTS: Final = {
    "community/events": ("dwell_ms", "occurred_at", "source"),
    "commerce/orders": ("amount_minor", "paid_at", "source, currency"),
    "operations/spend": ("amount_minor", "cast(spent_on as timestamp)", "source, target, currency"),
}
# Zero-width and direction marks, full-width forms, the ideographic space, U+FFFD.
_ODD: Final = "[\\x{200B}-\\x{200F}\\x{2060}\\x{FEFF}\\x{3000}\\x{FF01}-\\x{FF5E}\\x{FFFD}]"
# U+FFFD, control characters, UTF-8 read as Latin-1 or Windows-1252, HTML entities.
_UNREADABLE: Final = (
    "[\\x{FFFD}\\x{80}-\\x{9F}\\x{1}-\\x{8}\\x{B}\\x{C}\\x{E}-\\x{1F}\\x{7F}]"
    "|[\\x{C2}-\\x{F4}][\\x{A0}-\\x{BF}][\\x{A0}-\\x{BF}]|\\x{C3}[\\x{A0}-\\x{BF}]|\\x{E2}\\x{20AC}"
    "|&(amp|lt|gt|quot|nbsp|#[0-9]+);"
)


def arrival_rules() -> dict[str, list[RuleDict]]:
    """Table of raw to the rules of what arrives."""
    return {f"raw.{contract.table}": list(_rules(contract)) for contract in contracts().values()}


def _rules(contract: LogContract) -> Iterator[RuleDict]:
    yield _ids_plain(contract)
    texts = [field.name for field in contract.fields if field.type == "text"]
    if texts:
        yield _texts_readable(texts)
    time = _time_of(contract)
    if time is not None:
        yield from _clock_rules(time)
        yield from _given_rules(contract, time)
    if contract.log in _STREAMS and time is not None:
        yield from _volume_rules(time, _ACTORS[contract.log])
    if contract.log in _ECHOES and time is not None:
        yield _no_echo(contract, time)
    if time is not None:
        for field, table, key in _REFERENCES.get(contract.log, ()):
            yield _records_follow(time, field, table, key)
    if contract.log in _AMOUNTS:
        yield _sizes_as_usual(*_AMOUNTS[contract.log])


def _time_of(contract: LogContract) -> str | None:
    names = {field.name for field in contract.fields}
    if contract.kind != "event":
        return None
    return _TIMES.get(contract.log, "occurred_at" if "occurred_at" in names else None)


def _ids_plain(contract: LogContract) -> RuleDict:
    ids = [field.name for field in contract.all_fields if field.type == "id"]
    # Most ids are ASCII: comparing lengths costs a hundredth of the pattern.
    long = " or ".join(f"strlen({name}) <> length({name})" for name in ids)
    bare = " or ".join(f"starts_with({name}, ' ') or ends_with({name}, ' ')" for name in ids)
    powers = " or ".join(
        f"case when contains({name}, 'E+') then regexp_full_match({name}, '[0-9.]+E[+][0-9]+') end"
        for name in ids
    )
    return no_rows(
        "ids_plain",
        f"""
        with batch as (select {", ".join(ids)} from {{batch}}),
        odd as (
            select concat_ws(' ', {", ".join(ids)}) as ids, {long} as is_long
            from batch where {long} or {bare} or {powers}
        )
        select 1 from odd
        where not coalesce(is_long, false) or regexp_matches(ids, '{_doubled(_ODD)}')
        """,
        (
            "ID 没有零宽、全角、替换字符与首尾空格，也不是科学计数法",
            "no id has zero-width, full-width or replacement characters, spaces around it,"
            " or is in scientific notation",
        ),
        ["zero_width_ids", "full_width_ids", "spaces_in_ids", "ids_as_floats"],
        "warning",
    )


def _doubled(pattern: str) -> str:
    """Braces doubled: Great Expectations formats the query."""
    return pattern.replace("{", "{{").replace("}", "}}")


def _texts_readable(texts: list[str]) -> RuleDict:
    broken = " or ".join(
        f"regexp_matches({name}, '{_doubled(_UNREADABLE)}')"
        f" or lower({name}) in ('null', 'none', 'nan', 'n/a')"
        for name in texts
    )
    return no_rows(
        "texts_readable",
        f"""
        with batch as (select {", ".join(texts)} from {{batch}})
        select 1 from batch where {broken}
        """,
        (
            "文本没有替换字符、乱码、控制字符、HTML 实体，空值不写成单词",
            "no text has U+FFFD, mojibake, control characters, HTML entities, or a word for null",
        ),
        ["mojibake", "replacement_character", "html_entities", "word_for_null"],
        "warning",
    )


def _clock_rules(time: str) -> Iterator[RuleDict]:
    lags = f"""
        with batch as not materialized (
            select {time} - received_at as ahead, received_at from {{batch}}
            where received_at is not null
        ),
        ends as (
            select max(received_at) - interval {RECENT_DAYS} day as since,
                max(received_at) as newest
            from batch
        )
    """
    yield no_rows(
        "happened_before_collected",
        f"""
        {lags},
        counted as (
            select count(*) as n, count(*) filter (where ahead > interval 1 hour) as early
            from batch, ends where batch.received_at > ends.since
        )
        select 1 from counted where early >= 2 and 1000 * early > n
        """,
        (
            f"近 {RECENT_DAYS} 天里，晚于采集时刻 1 小时以上的记录不超过千分之一",
            f"of the last {RECENT_DAYS} days at most one record in 1000 happened an hour after it"
            " was collected",
        ),
        ["clock_ahead", "timezone_shift"],
        "warning",
    )
    yield no_rows(
        "collected_soon",
        f"""
        {lags},
        counted as (
            select
                days,
                count(*) filter (where received_at > newest - to_days(days)) as n,
                count(*) filter (
                    where received_at > newest - to_days(days) and ahead < interval '-1 hour'
                ) as late,
                count(*) filter (where received_at <= newest - to_days(days)) as n_before,
                count(*) filter (
                    where received_at <= newest - to_days(days) and ahead < interval '-1 hour'
                ) as late_before,
                count(*) filter (
                    where received_at > newest - to_days(days) and ahead < interval '-60 day'
                ) as ancient,
                count(*) filter (
                    where received_at <= newest - to_days(days) and ahead < interval '-60 day'
                ) as ancient_before
            from batch, ends, (values (5), ({RECENT_DAYS})) as windows (days)
            group by days
        ),
        expected as (
            select late, ancient, ancient_before,
                n * (0.004 + 3.0 * (late_before + 3) / nullif(n_before, 0)) as at_most
            from counted
        )
        select 1 from expected
        where late > at_most + 3 * sqrt(at_most) + 2
            or (at_most is not null and ancient >= 3 and ancient_before = 0)
        """,
        (
            f"近 5 天与近 {RECENT_DAYS} 天里迟到 1 小时以上的比例不超过以往的三倍，"
            "也没有首次出现迟到两月的",
            f"in the last 5 and {RECENT_DAYS} days not three times as many are an hour late"
            " as before, nor three the first ones late by two months",
        ),
        ["clock_behind", "timezone_shift"],
        "warning",
    )


def _given_rules(contract: LogContract, time: str) -> Iterator[RuleDict]:
    optional = [
        field.name for field in contract.all_fields if not field.required and field.type in _GIVEN
    ]
    if not optional:
        return
    # Which fields a record has depends on who sends it and what kind of record it is.
    kinds = [item.name for item in contract.all_fields if item.required and item.type == "enum"]
    kind = kinds[0] if kinds else "1"
    counts = ", ".join(f"count({name}) as {name}" for name in optional)
    lost = " or ".join(
        f"(1000 * former.{name} >= 999 * former.n and latter.n - latter.{name} >= 5"
        f" and latter.n - latter.{name} > (0.005 + 10.0 / former.n) * latter.n)"
        for name in optional
    )
    yield no_rows(
        "fields_still_given",
        f"""
        with batch as not materialized (
            select source, {kind} as kind_of_record, {", ".join([time, *optional])} from {{batch}}
        ),
        ends as (
            select max({time}) - interval 7 day as since,
                max({time}) - interval 28 day as long_since
            from batch
        ),
        counted as (
            select source, kind_of_record, {time} > since as is_late, count(*) as n, {counts}
            from batch, ends where {time} > since or {time} <= long_since
            group by source, kind_of_record, is_late
        )
        select 1 from counted as latter, counted as former
        where latter.is_late and not former.is_late and latter.source = former.source
            and latter.kind_of_record is not distinct from former.kind_of_record
            and latter.n >= 20 and former.n >= 20 and ({lost})
        """,
        (
            "同一来源同类记录一向给出的可选字段，近 7 天仍然给出",
            "an optional field that a source's records of a kind always had is given in 7 days",
        ),
        ["field_lost", "column_renamed"],
        "warning",
    )


def _volume_rules(time: str, actor: str) -> Iterator[RuleDict]:
    hours = RECENT_DAYS * 24
    hourly = f"""
        with batch as (
            select source, cast(floor(epoch({time}) / 3600) as bigint) as hour, count(*) as n
            from {{batch}} group by source, hour
        )
    """
    yield no_rows(
        "no_source_silent",
        f"""
        {hourly},
        ends as (select max(hour) as last_hour from batch),
        points as (
            select source, hour from batch
            union all
            select distinct source, last_hour + 1 as hour from batch, ends
        ),
        gaps as (
            select source, hour,
                hour - lag(hour) over (partition by source order by hour) as gap
            from points
        ),
        longest as (
            select source,
                max(gap) filter (where hour > last_hour - {hours}) as now,
                max(gap) filter (where hour <= last_hour - {hours}) as before,
                count(*) filter (where hour <= last_hour - {hours}) as hours_before
            from gaps, ends group by source
        )
        select 1 from longest
        where hours_before >= {hours} / 2 and now > greatest(18, 1.5 * before)
        """,
        (
            f"近 {RECENT_DAYS} 天里没有来源沉默得比以往任何一次久一半以上",
            f"in the last {RECENT_DAYS} days no source is silent half as long again as ever before",
        ),
        ["source_silent", "day_missing"],
        "warning",
    )
    yield no_rows(
        "no_hour_missing",
        f"""
        {hourly},
        ends as (select source, max(hour) as last_hour from batch group by source),
        parts as (
            select batch.source, batch.hour % 24 as hour_of_day, batch.n,
                batch.hour > ends.last_hour - {hours} as is_recent
            from batch, ends where batch.source = ends.source
        ),
        counted as (
            select
                median(n) filter (where not is_recent) as usual,
                quantile_cont(n, 0.05) filter (where not is_recent) as least,
                count(*) filter (where not is_recent) as days_before,
                count(*) filter (where is_recent) as days
            from parts group by source, hour_of_day
        )
        select 1 from counted
        where usual >= 25 and least >= 10
            and days_before >= {RECENT_DAYS} and days < {RECENT_DAYS}
        """,
        (
            "平时至少 25 条、几乎从不少于 10 条记录的钟点，每天都有记录",
            "an hour of the day that usually has 25 records, and hardly ever less than 10, has some"
            " every day",
        ),
        ["hour_missing"],
        "warning",
    )
    yield no_rows(
        "volumes_as_usual",
        f"""
        {hourly},
        ends as (select source, max(hour) as last_hour from batch group by source),
        days as (
            select batch.source, (ends.last_hour - batch.hour) // 24 as day, sum(batch.n) as n
            from batch, ends where batch.source = ends.source
                and ends.last_hour - batch.hour < 35 * 24
            group by batch.source, day
        ),
        compared as (
            select later.n, median(earlier.n) as usual, count(*) as weeks
            from days as later, days as earlier
            where later.source = earlier.source and later.day < 7
                and earlier.day > later.day and (earlier.day - later.day) % 7 = 0
            group by later.source, later.day, later.n
        )
        select 1 from compared
        where weeks >= 3 and usual >= 100 and (n < 0.2 * usual or n > 4 * usual)
        """,
        (
            "每个来源每天的记录数与前四周的同一天相差不超过四至五倍",
            "a source's records of a day are within a fifth and four times those of its weekday",
        ),
        ["rows_lost", "bot_flood", "duplicated_file"],
        "warning",
    )
    yield no_rows(
        "hours_as_usual",
        f"""
        {hourly},
        ends as (select source, max(hour) as last_hour from batch group by source),
        parts as (
            select batch.source, batch.hour % 24 as hour_of_day,
                coalesce(sum(batch.n) filter (where batch.hour > ends.last_hour - 168), 0) as now,
                coalesce(sum(batch.n) filter (
                    where batch.hour between ends.last_hour - 840 and ends.last_hour - 168
                ), 0) as before
            from batch, ends where batch.source = ends.source
            group by batch.source, hour_of_day
        ),
        totals as (
            select source, sum(now) as now, sum(before) as before from parts group by source
        )
        select parts.source from parts, totals
        where parts.source = totals.source and totals.now >= 500 and totals.before >= 500
        group by parts.source, totals.now, totals.before
        having sum(abs(parts.now / totals.now - parts.before / totals.before))
            > greatest(0.6, 0.35 + 12 * sqrt(1 / totals.now + 1 / totals.before))
        """,
        (
            "近 7 天各钟点的分布与之前四周相近",
            "the last 7 days spread over the hours of the day as the four weeks before",
        ),
        ["timezone_shift"],
        "warning",
    )
    yield no_rows(
        "no_burst",
        f"""
        with batch as not materialized (
            select source, {actor} as actor, {time} as moment from {{batch}}
        ),
        ends as (select max(moment) - interval {RECENT_DAYS} day as since from batch),
        counted as (
            select count(*) as n from batch, ends where moment > since
            group by source, actor, date_trunc('hour', moment)
        ),
        usual as (select quantile_disc(n, 0.9) as n from counted)
        select 1 from counted, usual
        where counted.n >= 50 and counted.n > 12 * usual.n
        """,
        (
            f"近 {RECENT_DAYS} 天里没有人在一小时内的记录超过常态的十二倍",
            f"in the last {RECENT_DAYS} days nobody has twelve times a busy hour's records",
        ),
        ["bot_flood", "message_flood"],
        "warning",
    )


def _no_echo(contract: LogContract, time: str) -> RuleDict:
    columns = [
        field.name
        for field in contract.all_fields
        if field.name not in (contract.key, "received_at", "properties")
    ]
    return no_rows(
        "no_echo",
        f"""
        with ends as (select max({time}) - interval 30 day as since from {{batch}}),
        counted as (
            select count(*) as n from {{batch}}, ends where {time} > since
            group by hash({", ".join(columns)})
        ),
        total as (
            select sum(n) as n, sum(n) filter (where n > 1) - count(*) filter (where n > 1) as again
            from counted
        )
        select 1 from total where again >= 2 and 1000 * again > n
        """,
        (
            "近 30 天里除 ID 外完全相同的记录不超过千分之一",
            "of the last 30 days at most one record in 1000 repeats another in all but its id",
        ),
        ["dedup_key_changed", "duplicated_file"],
        "warning",
    )


def _records_follow(time: str, field: str, table: str, key: str) -> RuleDict:
    return no_rows(
        f"{field}_recorded",
        f"""
        with batch as (
            select source, {field} as id, max({time}) as latest, min({time}) as earliest
            from {{batch}} where {field} is not null group by source, {field}
        ),
        ends as (
            select max(latest) - interval {RECENT_DAYS} day as since,
                max(latest) - interval 35 day as long_since
            from batch
        ),
        marked as (
            select batch.latest > ends.since as is_recent,
                batch.earliest <= ends.long_since as is_old, not exists (
                select 1 from raw.{table} as records
                where records.source = batch.source and records.{key} = batch.id
            ) as is_orphan
            from batch, ends
        ),
        counted as (
            select
                count(*) filter (where is_recent) as n,
                count(*) filter (where is_recent and is_orphan) as orphans,
                count(*) filter (where is_old) as n_before,
                count(*) filter (where is_old and is_orphan) as orphans_before
            from marked
        )
        select 1 from counted
        where orphans >= 5
            and orphans * 1.0 / n > 0.03 + coalesce(2.0 * orphans_before / nullif(n_before, 0), 0)
        """,
        (
            f"近 {RECENT_DAYS} 天里没有档案的 {field} 的比例与以往相近",
            f"in the last {RECENT_DAYS} days about as many {field} have no record as before",
        ),
        ["orphan_flood", "id_altered", "swapped_columns"],
        "warning",
    )


def _sizes_as_usual(field: str, time: str, parts: str) -> RuleDict:
    same = " and ".join(f"recent.{part} = usual.{part}" for part in parts.split(", "))
    keys = ", ".join(f"recent.{part}" for part in parts.split(", "))
    return no_rows(
        f"{field}_as_usual",
        f"""
        with batch as (
            select {parts}, ln(greatest({field}, 0.5)) as size, {time} as moment
            from {{batch}} where {field} is not null
        ),
        ends as (select max(moment) - interval {RECENT_DAYS} day as since from batch),
        usual as (
            select {parts}, count(*) as n, median(size) as middle,
                greatest(quantile_cont(size, 0.75) - quantile_cont(size, 0.25), 0.8) / 1.35 as width
            from batch, ends where moment <= since group by {parts}
        ),
        recent as (select batch.* from batch, ends where moment > since),
        counted as (
            select
                0.003 * count(*) as at_most,
                count(*) filter (
                    where abs(size - middle) > (3.5 + 8 / sqrt(usual.n)) * width
                ) as odd,
                count(*) filter (
                    where abs(size - middle) > (4 + 4 / sqrt(usual.n)) * width
                ) as very_odd
            from recent, usual where {same} and usual.n >= 30
            group by {keys}
        )
        select 1 from counted
        where (very_odd >= 2 and very_odd > at_most) or odd > at_most + 3 * sqrt(at_most) + 2
        """,
        (
            f"近 {RECENT_DAYS} 天 {field} 的大小与以往相近",
            f"the sizes of {field} in the last {RECENT_DAYS} days are like those before",
        ),
        ["unit_change", "amount_hundredfold"],
        "warning",
    )
