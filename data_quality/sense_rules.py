"""Rules of raw on what records say beside each other: all of them only warn.

A contract accepts each record alone; what two fields, two records or two logs say together may
still be impossible or unheard of. Most rules follow from the contracts' types and references.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from data_quality.contract_rules import RuleDict, no_rows
from orchestration.contracts import PERSON_LOGS, LogContract, contracts

RECENT_DAYS: Final = 14
YEARS_AHEAD: Final = 6
_ORDERED: Final = {
    "community/accounts": ("registered_at", "updated_at"),
    "group/scenes": ("starts_at", "ends_at"),
    "operations/campaigns": ("starts_at", "ends_at"),
    "operations/experiments": ("starts_at", "ends_at"),
}
_SELF: Final = {
    "community/accounts": (("account_id", "inviter_account_id"),),
    "community/contents": (("content_id", "parent_content_id"),),
    "community/nodes": (("node_id", "parent_node_id"),),
    "group/memberships": (("member_id", "inviter_member_id"),),
    "group/messages": (("message_id", "reply_to_message_id"),),
    "operations/campaign_events": (
        ("account_id", "inviter_account_id"),
        ("member_id", "inviter_member_id"),
    ),
}
_NAMES: Final = (
    *("source", "account_source", "member_source", "pack_id", "seed_pack_id", "campaign_id"),
    *("plan_id", "variant", "acquisition_channel", "topic", "intent"),
)
# Spreadsheets and programs write these where there is nothing to write.
_NOTHING: Final = (
    *("null", "(null)", "none", "nil", "nan", "undefined", "[object object]", "\\n"),
    *("#ref!", "#n/a", "#value!", "#name?", "#div/0!", "#num!"),
)
_TIMES: Final = {"commerce/orders": "paid_at", "commerce/refunds": "refunded_at"}
_STEADY: Final = (
    *("community/events", "group/messages", "group/consults", "group/attendance"),
    *("operations/assistant_requests", "commerce/orders"),
)
# Campaigns and their events begin and end; a new group's members join at once.
_UNSTEADY: Final = ("operations/campaign_events", "group/memberships")
_AMOUNTS: Final = {
    "operations/spend": ("amount_minor", "source, target, currency", 0.8),
    "operations/assistant_requests": ("latency_ms", "surface, outcome", 0.8),
    "commerce/subscriptions": ("amount_minor", "source, plan_id, action, currency", 0.2),
}


def sense_rules() -> dict[str, list[RuleDict]]:
    """Table of raw to the rules of what its records say together."""
    return {f"raw.{contract.table}": list(_rules(contract)) for contract in contracts().values()}


def _rules(contract: LogContract) -> Iterator[RuleDict]:
    yield _batches_known()
    if contract.kind == "entity":
        yield _digests_formed()
    yield from _references_recorded(contract)
    yield _no_word_for_nothing(contract)
    yield from _one_spelling(contract)
    yield from _dates_near(contract)
    if contract.log in _ORDERED:
        yield _times_in_order(*_ORDERED[contract.log])
    if contract.log in _SELF:
        yield _never_itself(_SELF[contract.log])
    yield from _shares_as_usual(contract)
    time = _time_of(contract)
    if contract.kind == "event" and time is not None:
        yield _moments_not_cut(time)
        yield _lags_not_whole_hours(time)
    if contract.log in _STEADY and time is not None:
        yield _moments_apart(time)
        yield _still_arriving(contract, time)
    if contract.log in _AMOUNTS:
        yield _amounts_of_a_kind(*_AMOUNTS[contract.log])


def _time_of(contract: LogContract) -> str | None:
    names = {field.name for field in contract.all_fields}
    if contract.kind == "entity":
        return "updated_at"
    return _TIMES.get(contract.log, "occurred_at" if "occurred_at" in names else None)


def _batches_known() -> RuleDict:
    return no_rows(
        "batches_follow_files",
        """
        with batch as (
            select _file_id, min(_batch_id) as first_batch from {batch} group by _file_id
        )
        select 1 from batch, control.files as files
        where files.file_id = batch._file_id and batch.first_batch < files.batch_id
        """,
        (
            "没有一行的批次早于它的文件",
            "no row belongs to a batch before that of its file, which no build would see",
        ),
        ["batch_unset", "ledger_lost"],
        "warning",
    )


def _digests_formed() -> RuleDict:
    return no_rows(
        "digests_formed",
        "select 1 from {batch} where not regexp_full_match(_state_sha256, '[0-9a-f]{{64}}')",
        ("状态摘要是 64 位小写十六进制", "a state's digest is 64 lower-case hex digits"),
        ["state_hash_wrong"],
        "warning",
    )


def _references_recorded(contract: LogContract) -> Iterator[RuleDict]:
    """Ids first named in the last weeks that no record explains, against ids named before.

    A broadcast's content belongs to a community, whose source its contract does not name.
    """
    fields = [
        field
        for field in contract.all_fields
        if field.references is not None and (contract.log, field.name) != _ELSEWHERE
    ]
    if not fields:
        return
    time = _time_of(contract) or "received_at"
    parts = []
    for field in fields:
        target = contracts()[field.references or ""]
        # Persons and groups act before they are recorded; things seldom do.
        spared = "1 + 0.03 * n" if field.references in PERSON_LOGS else "1"
        spared = _LATE.get(field.references or "", spared)
        # Who invites, or is to speak, may be recorded later: some always are.
        habit = "and n_before >= 10 and orphans > 3 + 4.0 * (orphans_before + 2) * n_new / n_before"
        may_come = field.references == contract.log or field.name == "kol_member_id"
        habit = habit if may_come else ""
        source = field.source_field or "source"
        parts.append(
            f"""
            select 1 from (
                select count(*) as n, count(*) filter (where is_new) as n_new,
                    count(*) filter (where is_new and is_orphan) as orphans,
                    count(*) filter (where not is_new) as n_before,
                    count(*) filter (where not is_new and is_orphan) as orphans_before
                from (
                    select named.first_at > ends.since as is_new, not exists (
                        select 1 from raw.{target.table} as records
                        where records.source = named.of_source and records.{target.key} = named.id
                    ) as is_orphan
                    from (
                        select {source} as of_source, {field.name} as id, min({time}) as first_at
                        from {{batch}} where {field.name} is not null group by all
                    ) as named, ends
                ) as marked
            ) as counted
            where orphans > {spared} {habit}
            """
        )
    yield no_rows(
        "new_ids_recorded",
        f"""
        with ends as (
            select max({time}) - interval {RECENT_DAYS} day as since from {{batch}}
        )
        {" union all ".join(parts)}
        """,
        (
            f"近 {RECENT_DAYS} 天才出现的 ID，几乎都有档案",
            f"ids first named in the last {RECENT_DAYS} days have records, but for a few",
        ),
        ["orphan_flood", "id_altered", "swapped_columns", "names_for_ids"],
        "warning",
    )


# Recorded some days after they begin, by each platform; while one grows, many are new.
_LATE: Final = {"group/groups": "2 + 0.4 * n_new", "group/broadcasts": "6"}
_ELSEWHERE: Final = ("group/broadcasts", "content_id")


def _no_word_for_nothing(contract: LogContract) -> RuleDict:
    names = [
        field.name
        for field in contract.all_fields
        if field.type in ("id", "text") and field.name not in ("text", "query", "title")
    ]
    # SQLAlchemy would take the character itself for a parameter.
    words = ", ".join("'" + word.replace("?", "' || chr(63) || '") + "'" for word in _NOTHING)
    broken = " or ".join(f"lower({name}) in ({words})" for name in names)
    return no_rows(
        "no_word_for_nothing",
        f"select 1 from {{batch}} where {broken}",
        (
            "ID 与文本不以 undefined、#REF! 等字样代表空",
            "no id or text is undefined, #REF! or another word for nothing",
        ),
        ["word_for_null", "cell_error"],
        "warning",
    )


def _one_spelling(contract: LogContract) -> Iterator[RuleDict]:
    names = [field.name for field in contract.all_fields if field.name in _NAMES]
    several = " union all ".join(
        f"select 1 from (select distinct {name} as name from {{batch}}) as {name}_names"
        " group by lower(name) having count(*) > 1"
        for name in names
    )
    if names:
        yield no_rows(
            "one_spelling",
            f"with batch as (select 1 as one from {{batch}} limit 0) {several}",
            (
                "来源、活动、套餐等名称没有仅大小写不同的写法",
                "no source, campaign, plan or topic is written in two cases",
            ),
            ["source_case", "variant_case"],
            "warning",
        )


def _dates_near(contract: LogContract) -> Iterator[RuleDict]:
    names = [
        field.name
        for field in contract.fields
        if field.may_be_future or (field.type == "date" and field.name != "valid_from")
    ]
    if not names:
        return
    # What was spent or rated is past; starts, ends and paid periods may lie ahead.
    past = contract.log in ("operations/spend", "commerce/fx_rates")
    limit = "interval 7 day" if past else f"interval {YEARS_AHEAD} year"
    broken = " or ".join(f"{name} > newest.moment + {limit}" for name in names)
    yield no_rows(
        "dates_near",
        f"""
        with newest as (
            select greatest(
                (select max(occurred_at) from raw.community__events),
                (select max(occurred_at) from raw.group__messages),
                (select max(paid_at) from raw.commerce__orders)
            ) as moment
        )
        select 1 from {{batch}}, newest where {broken}
        """,
        (
            "没有远在数据之后的日期",
            "no date lies far after everything else that was recorded",
        ),
        ["year_mistyped", "budget_as_spend"],
        "warning",
    )


def _times_in_order(first: str, last: str) -> RuleDict:
    return no_rows(
        "times_in_order",
        f"select 1 from {{batch}} where {last} < {first}",
        (f"{first} 不晚于 {last}", f"{first} is not later than {last}"),
        ["swapped_columns", "clock_ahead"],
        "warning",
    )


def _never_itself(pairs: tuple[tuple[str, str], ...]) -> RuleDict:
    broken = " or ".join(f"{own} = {other}" for own, other in pairs)
    return no_rows(
        "never_itself",
        f"select 1 from {{batch}} where {broken}",
        ("没有记录以自己为邀请人、上级或被回复者", "nothing invites, holds or answers itself"),
        ["self_reference", "swapped_columns"],
        "warning",
    )


def _shares_as_usual(contract: LogContract) -> Iterator[RuleDict]:
    """Shares of values in the last weeks against those before, by source and in all."""
    time = _time_of(contract)
    names = [
        field.name
        for field in contract.fields
        if field.type in ("enum", "boolean", "currency") and field.name != contract.key
    ]
    if contract.log == "community/contents":
        # Editors fill a community with articles of their own before its members write.
        names = [name for name in names if contract.field(name).type == "boolean"]
    if time is None or not names or contract.log in _UNSTEADY:
        return
    # A person's many events are alike, so that fewer than they are tell of shares.
    spread = 16 if contract.log in _STEADY else 4
    values = " union all ".join(
        f"select source, '{name}' as field, coalesce(cast({name} as varchar), '') as value, is_new"
        " from placed"
        for name in names
    )
    yield no_rows(
        "shares_as_usual",
        f"""
        with ends as (
            select max({time}) - interval {RECENT_DAYS} day as since, min({time}) as first
            from {{batch}}
        ),
        placed as (
            select source, {", ".join(names)}, {time} > ends.since as is_new from {{batch}}, ends
        ),
        parts as (
            select source, field, value, count(*) filter (where is_new) as n_new,
                count(*) filter (where not is_new) as n_old
            from ({values}) as given
            group by grouping sets ((source, field, value), (field, value))
        ),
        totals as (
            select *, sum(n_new) over (partition by source, field) as all_new,
                sum(n_old) over (partition by source, field) as all_old
            from parts
        ),
        compared as (
            select all_new, all_old, n_new / all_new as now,
                (n_old + 0.5) / (all_old + 1) as usual
            from totals where all_new >= 40 and all_old >= 40
        )
        select 1 from compared, ends
        where ends.since - ends.first >= interval {RECENT_DAYS} day
            and abs(now - usual)
                > 0.08 + {spread} * sqrt(usual * (1 - usual) * (1 / all_new + 1 / all_old))
        """,
        (
            f"近 {RECENT_DAYS} 天各取值的占比与以往相近",
            f"values have about the shares of the last {RECENT_DAYS} days that they had before",
        ),
        ["default_wrong", "enum_mapped_wrong", "field_lost"],
        "warning",
    )


def _moments_not_cut(time: str) -> RuleDict:
    return no_rows(
        "moments_not_cut",
        f"""
        with ends as (
            select max({time}) - interval {RECENT_DAYS} day as since from {{batch}}
        ),
        counted as (
            select count(*) filter (where {time} > since) as n_now,
                count(*) filter (where {time} > since and whole) as whole_now,
                count(*) filter (where {time} <= since) as n_before,
                count(*) filter (where {time} <= since and whole) as whole_before
            from (
                select {time}, {time} = date_trunc('hour', {time}) as whole from {{batch}}
            ) as times, ends
        ),
        expected as (
            select n_now, whole_now, n_now * (whole_before + 1.0) / (n_before + 100) as usual
            from counted
        )
        select 1 from expected
        where n_now >= 40 and whole_now > 2 + 3 * usual + 3 * sqrt(usual)
        """,
        (
            f"近 {RECENT_DAYS} 天里恰在整点的时间不比以往多",
            f"in the last {RECENT_DAYS} days times on the very hour are as rare as before",
        ),
        ["times_cut", "date_for_time"],
        "warning",
    )


def _lags_not_whole_hours(time: str) -> RuleDict:
    return no_rows(
        "lags_not_whole_hours",
        f"""
        with lags as (
            select abs(epoch(received_at - {time})) as lag from {{batch}}
            where received_at is not null
        ),
        counted as (
            select count(*) as n,
                count(*) filter (where abs(lag - 3600 * round(lag / 3600)) < 60) as whole
            from lags where lag > 1800
        )
        select 1 from counted where whole > 4 + 0.2 * (n - whole)
        """,
        (
            "采集晚于发生的时长不偏好整小时",
            "what is collected late, or early, is not so by whole hours",
        ),
        ["timezone_shift", "summer_time", "twelve_hour_clock"],
        "warning",
    )


def _moments_apart(time: str) -> RuleDict:
    return no_rows(
        "moments_apart",
        f"""
        with ends as (select max({time}) - interval 30 day as since from {{batch}})
        select {time} from {{batch}}, ends
        where {time} > since and {time} <> date_trunc('minute', {time})
        group by source, {time} having count(*) >= 5
        union all
        select {time} from {{batch}}, ends
        where {time} > since and {time} = date_trunc('minute', {time})
        group by source, {time}
        having count(*) >= 5 and count(*) > 5 * (
            select count(*) / count(distinct date_trunc('minute', {time})) from {{batch}}
        )
        """,
        (
            "没有五条以上记录恰在同一时刻",
            "no five records share one very moment",
        ),
        ["backfill_stamped_now", "times_cut"],
        "warning",
    )


def _still_arriving(contract: LogContract, time: str) -> RuleDict:
    other = "raw.group__messages" if contract.log == "community/events" else "raw.community__events"
    return no_rows(
        "still_arriving",
        f"""
        with mine as (select max({time}) as newest from {{batch}}),
        others as (select max(occurred_at) as newest from {other}),
        silent as (
            select others.newest - mine.newest as since_last from mine, others
            where others.newest - mine.newest > interval 18 hour
        ),
        moments as (
            select distinct {time} as moment from {{batch}} where exists (select 1 from silent)
        ),
        gaps as (select moment - lag(moment) over (order by moment) as gap from moments),
        ends as (select max(gap) as longest, count(*) as n from gaps)
        select 1 from ends, silent where ends.n >= 100 and silent.since_last > 1.5 * ends.longest
        """,
        (
            "日志的终点没有落在其他日志后面太久",
            "the log does not end long before the others do",
        ),
        ["log_stopped", "last_day_missing"],
        "warning",
    )


def _amounts_of_a_kind(field: str, kind: str, width: float) -> RuleDict:
    return no_rows(
        f"{field}_of_its_kind",
        f"""
        with batch as (
            select {kind}, ln(greatest({field}, 0.5)) as size from {{batch}}
            where {field} is not null
        ),
        usual as (
            select {kind}, median(size) as middle,
                greatest(quantile_cont(size, 0.75) - quantile_cont(size, 0.25), {width}) as width
            from batch group by {kind} having count(*) >= 5
        )
        select 1 from (
            select count(*) as odd from batch, usual
            where {" and ".join(f"batch.{name} = usual.{name}" for name in kind.split(", "))}
                and abs(batch.size - usual.middle) > 5 * usual.width
        ) as found, (select count(*) as n from batch) as sizes
        where odd > 1 + 0.001 * n
        """,
        (
            f"同类的 {field} 大小相近，仅少数例外",
            f"the sizes of {field} of one kind are alike, but for a few",
        ),
        ["unit_change", "amount_hundredfold"],
        "warning",
    )
