"""Rules that follow from the log contracts, as Great Expectations dictionaries.

The gate judges what ingestion already enforces, on purpose by other means: its rules read the
contract and the tables, and share no code with the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from iso4217 import Currency

from orchestration.contracts import LogContract, LogField, contracts
from orchestration.ingest.tables import raw_columns

RuleDict = dict[str, Any]
TOKEN = "[0-9a-f]{{64}}"  # noqa: S105
FUTURE_HOURS = 24


def rule(
    rule_id: str,
    kind: str,
    kwargs: Mapping[str, Any],
    words: tuple[str, str],
    faults: Sequence[str],
    severity: str = "critical",
) -> RuleDict:
    """One rule; `words` are its Chinese and English description."""
    return {
        "type": kind,
        "kwargs": dict(kwargs),
        "severity": severity,
        "meta": {
            "id": rule_id,
            "description": {"zh": words[0], "en": words[1]},
            "faults": list(faults),
        },
    }


def no_rows(
    rule_id: str,
    query: str,
    words: tuple[str, str],
    faults: Sequence[str],
    severity: str = "critical",
) -> RuleDict:
    """A rule that passes when its query over `{batch}` gives no row."""
    return rule(
        rule_id,
        "unexpected_rows_expectation",
        {"unexpected_rows_query": " ".join(query.split())},
        words,
        faults,
        severity,
    )


def unique(rule_id: str, columns: Sequence[str], words: tuple[str, str]) -> RuleDict:
    """No two rows agree in all of `columns`, which hold no NULL.

    Grouping by a 64-bit hash first takes half the time of grouping by the texts; only rows whose
    hash repeats are compared in full, so the rule is exact.
    """
    names = ", ".join(columns)
    return no_rows(
        rule_id,
        f"""
        with batch as not materialized (select {names} from {{batch}}),
        suspects as (
            select hash({names}) as digest from batch group by digest having count(*) > 1
        )
        select {names} from batch
        where hash({names}) in (select digest from suspects)
        group by {names} having count(*) > 1
        """,
        words,
        ["duplicate_key", "join_fan_out"],
    )


def raw_rules() -> dict[str, list[RuleDict]]:
    """Table to rules for every raw log."""
    rules = {
        f"raw.{contract.table}": list(_raw_rules(contract)) for contract in contracts().values()
    }
    return rules | {"control.files": [_accepted_is_raw()]}


def _accepted_is_raw() -> RuleDict:
    counts = " union all ".join(
        f"select '{contract.log}' as log, count(*) as n from raw.{contract.table}"
        for contract in contracts().values()
    )
    return no_rows(
        "accepted_is_raw",
        f"""
        with batch as (select log, sum(accepted) as n from {{batch}} group by log),
        raw_rows as ({counts})
        select raw_rows.log from raw_rows
        where raw_rows.n <> coalesce((select batch.n from batch where batch.log = raw_rows.log), 0)
        """,
        (
            "每个日志：原始层行数 = 台账接受的行数之和",
            "of each log: the rows in raw are those that the ledger accepted",
        ),
        ["rows_dropped", "killed_load", "duplicated_file"],
    )


def staging_rules() -> dict[str, list[RuleDict]]:
    """Table to rules for every staging model: the log's, and an entity log's history."""
    rules: dict[str, list[RuleDict]] = {}
    for contract in contracts().values():
        current = f"staging.stg_{contract.table}"
        if contract.kind == "event":
            rules[current] = [*_event_rules(contract), *_privacy_rules(contract, current)]
        else:
            history = f"{current}_history"
            rules[current] = [*_current_rules(contract), *_privacy_rules(contract, current)]
            rules[history] = [
                *_history_rules(contract),
                *_privacy_rules(contract, history),
                *_token_rules(contract),
            ]
    return rules


def _raw_rules(contract: LogContract) -> Iterator[RuleDict]:
    columns = raw_columns(contract)
    yield rule(
        "columns",
        "expect_table_columns_to_match_ordered_list",
        {"column_list": list(columns)},
        ("列与契约一致且顺序相同", "the columns are the contract's, in its order"),
        ["column_renamed", "column_dropped", "column_added"],
    )
    yield _types(f"raw.{contract.table}", columns)
    required = [field.name for field in contract.all_fields if field.required]
    required += ["_file_id", "_batch_id"]
    if contract.kind == "entity":
        required.append("_state_sha256")
    # One rule a table, not a column: Great Expectations costs some 8 ms of CPU a rule.
    yield no_rows(
        "required_given",
        f"select 1 from {{batch}} where {' or '.join(f'{name} is null' for name in required)}",
        ("必填字段不为空", "every required field is given"),
        ["required_field_lost", "swapped_columns"],
    )
    ids = [field.name for field in contract.all_fields if field.type == "id"]
    empty = " or ".join(f"{name} = ''" for name in ids)
    yield no_rows(
        "ids_not_empty",
        f"select 1 from {{batch}} where {empty}",
        ("ID 不是空字符串", "no id is an empty string"),
        ["empty_id"],
    )
    for field in contract.fields:
        yield from _field_rules(field)
    yield from _record_rules(contract)
    yield from _time_rules(contract)
    if contract.kind == "event":
        yield unique(
            "key_unique",
            ["source", contract.key],
            ("每个键一行", "one row a key"),
        )
    else:
        yield unique(
            "state_unique",
            ["source", contract.key, "_state_sha256"],
            ("每个状态一行", "one row a state"),
        )
    yield no_rows(
        "files_known",
        f"""
        with seen as (select _file_id, count(*) as n from {{batch}} group by _file_id)
        select seen._file_id from seen
        where not exists (
            select 1 from control.files as files
            where files.file_id = seen._file_id and files.log = '{contract.log}'
                and files.state = 'loaded'
        )
        """,
        ("每行都来自台账中已载入的文件", "every row comes from a file that the ledger loaded"),
        ["ledger_lost", "quarantined_file_loaded"],
    )


def _types(table: str, columns: Mapping[str, str]) -> RuleDict:
    schema, name = table.split(".")
    expected = ", ".join(f"('{column}', '{kind}')" for column, kind in columns.items())
    return no_rows(
        "types",
        f"""
        with batch as (select 1 as one from {{batch}} limit 0),
        expected (column_name, data_type) as (values {expected})
        select column_name, data_type from duckdb_columns()
        where database_name = current_database()
            and schema_name = '{schema}' and table_name = '{name}'
            and (column_name, data_type) not in (select column_name, data_type from expected)
        """,
        ("列类型与契约一致", "the columns have the contract's types"),
        ["type_change"],
    )


def _field_rules(field: LogField) -> Iterator[RuleDict]:
    column = {"column": field.name}
    values = field.enum
    if field.type == "currency":
        values = tuple(sorted(currency.code for currency in Currency))
    if values is not None:
        yield rule(
            f"{field.name}_known",
            "expect_column_values_to_be_in_set",
            column | {"value_set": list(values)},
            (f"{field.name} 只取契约列出的值", f"{field.name} has values of the contract only"),
            ["enum_grown", "enum_misspelt"],
        )
    bounds = {"min_value": field.min, "max_value": field.max}
    if field.type == "integer" and (field.min, field.max) != (None, None):
        yield rule(
            f"{field.name}_in_bounds",
            "expect_column_values_to_be_between",
            column | {name: value for name, value in bounds.items() if value is not None},
            (f"{field.name} 在界限内", f"{field.name} is within its bounds"),
            ["sign_flip", "unit_change"],
        )
    if field.type == "decimal":
        above = "" if field.exclusive_min is None else f" or number <= {field.exclusive_min}"
        yield no_rows(
            f"{field.name}_is_decimal",
            f"""
            with batch as (
                select try_cast({field.name} as decimal(38, 18)) as number
                from {{batch}} where {field.name} is not null
            )
            select 1 from batch where number is null{above}
            """,
            (f"{field.name} 是合规的十进制数", f"{field.name} is a decimal within its bounds"),
            ["decimal_comma", "sign_flip"],
        )
    if field.type in ("list", "object"):
        wanted = "ARRAY" if field.type == "list" else "OBJECT"
        yield no_rows(
            f"{field.name}_is_json",
            f"""
            select 1 from {{batch}}
            where {field.name} is not null
                and (not json_valid({field.name})
                    or coalesce(json_type(try_cast({field.name} as json)), '') <> '{wanted}')
            """,
            (f"{field.name} 是合规的 JSON", f"{field.name} is JSON of its kind"),
            ["broken_json"],
        )
    if field.type == "list" and field.items is not None and field.items.enum is not None:
        allowed = ", ".join(f"'{value}'" for value in field.items.enum)
        yield no_rows(
            f"{field.name}_items_known",
            f"""
            select 1 from {{batch}}
            where not list_has_all(
                [{allowed}],
                json_extract_string(try_cast({field.name} as json), '$[*]')
            )
            """,
            (f"{field.name} 的元素只取列出的值", f"{field.name} holds values of the contract only"),
            ["enum_grown"],
        )


def _record_rules(contract: LogContract) -> Iterator[RuleDict]:
    for number, record in enumerate(contract.rules, start=1):
        if record.at_least_one_of is not None:
            broken = " and ".join(f"{name} is null" for name in record.at_least_one_of)
            named = " / ".join(record.at_least_one_of)
            words = (f"{named} 至少给出一个", f"one of {named} is given")
        elif record.required_unless is not None:
            unless = record.required_unless
            broken = f"{unless.require} is null and {unless.field} <> '{unless.equals}'"
            words = (
                f"除 {unless.field}={unless.equals} 外须有 {unless.require}",
                f"{unless.require} is given unless {unless.field} is {unless.equals}",
            )
        else:
            continue
        yield no_rows(
            f"record_rule_{number}",
            f"select 1 from {{batch}} where {broken}",
            words,
            ["required_field_lost"],
        )


def _time_rules(contract: LogContract) -> Iterator[RuleDict]:
    times = [field for field in contract.all_fields if field.type == "timestamp"]
    earliest = _first("least", [field.name for field in times])
    yield no_rows(
        "times_from_2000",
        f"""
        with batch as (select min({earliest}) as earliest from {{batch}})
        select earliest from batch where earliest < timestamp '2000-01-01 00:00:00'
        """,
        ("没有 2000 年以前的时间", "no time is before 2000"),
        ["epoch_zero", "seconds_as_milliseconds"],
    )
    # A replayed line keeps its file and is loaded with a later batch.
    past = [field.name for field in times if not field.may_be_future]
    yield no_rows(
        "times_not_in_future",
        f"""
        with batch as (
            select _file_id, _batch_id, max({_first("greatest", past)}) as latest
            from {{batch}} group by _file_id, _batch_id
        )
        select batch._file_id from batch, control.files as files
        where files.file_id = batch._file_id
            and batch.latest > interval {FUTURE_HOURS} hours + greatest(files.loaded_at, (
                select max(batches.finished_at) from control.batches as batches
                where batches.batch_id = batch._batch_id
            ))
        """,
        (
            f"没有晚于载入时刻 {FUTURE_HOURS} 小时的时间",
            f"nothing happened more than {FUTURE_HOURS} h after it was loaded",
        ),
        ["clock_ahead", "milliseconds_as_seconds"],
    )


def _first(function: str, names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{function}({', '.join(names)})"


def _event_rules(contract: LogContract) -> Iterator[RuleDict]:
    yield _keys_conserved(contract, f"select * from raw.{contract.table}")
    yield from _sums_conserved(contract)
    yield from _times_conserved(contract)
    yield _columns_conserved(contract)
    yield from _token_rules(contract)


def _times_conserved(contract: LogContract) -> Iterator[RuleDict]:
    times = [field.name for field in contract.fields if field.type == "timestamp"]
    if times:
        sums = ", ".join(f"sum(epoch_us({name})) as {name}" for name in times)
        yield no_rows(
            "times_conserved",
            f"""
            with staged as (select {sums} from {{batch}}),
            landed as (select {sums} from raw.{contract.table})
            select * from staged except select * from landed
            """,
            ("时间和原始层相同", "the times are those of raw"),
            ["timezone_shift", "clock_ahead"],
        )


def _columns_conserved(contract: LogContract) -> RuleDict:
    """All plain fields at once: what a model may change is a default and the form of a decimal."""
    staged, landed = [], []
    for field in contract.all_fields:
        if field.name in contract.pii_fields:
            continue
        plain = field.name
        if field.type == "boolean":
            plain = f"coalesce({field.name}, false)"
        if field.type == "decimal":
            plain = f"try_cast({field.name} as decimal(38, 18))"
        staged.append(field.name)
        landed.append(plain)
    return no_rows(
        "columns_conserved",
        f"""
        with staged as (
            select sum(cast(hash({", ".join(staged)}) as hugeint)) as digest from {{batch}}
        ),
        landed as (
            select sum(cast(hash({", ".join(landed)}) as hugeint)) as digest
            from raw.{contract.table}
        )
        select 1 from staged, landed where staged.digest is distinct from landed.digest
        """,
        (
            "除个人信息外，各列的值和原始层相同",
            "the values of every column but personal ones are those of raw",
        ),
        ["value_altered", "wrong_column", "default_wrong", "truncated"],
    )


def _current_is_open(contract: LogContract) -> RuleDict:
    columns = [
        f"{field.name}_token" if field.name in contract.pii_fields else field.name
        for field in contract.all_fields
    ]
    digest = f"sum(cast(hash({', '.join(columns)}) as hugeint)) as digest"
    return no_rows(
        "open_states_conserved",
        f"""
        with batch as (select {digest} from {{batch}}),
        open_states as (
            select {digest} from staging.stg_{contract.table}_history where valid_to is null
        )
        select 1 from batch, open_states where batch.digest is distinct from open_states.digest
        """,
        (
            "当前状态的各列和历史表里未结束的状态相同",
            "every column of the current states is that of the history's open states",
        ),
        ["value_altered", "wrong_column", "stale_state"],
    )


def _flags_conserved(contract: LogContract) -> Iterator[RuleDict]:
    flags = [field.name for field in contract.fields if field.type == "boolean"]
    if flags:
        counts = ", ".join(f"count(*) filter (where {name}) as {name}" for name in flags)
        yield no_rows(
            "flags_conserved",
            f"""
            with staged as (select {counts} from {{batch}}),
            landed as (select {counts} from raw.{contract.table})
            select * from staged except select * from landed
            """,
            ("标记和原始层相同", "the flags are those of raw"),
            ["bots_counted", "default_wrong"],
        )


def _current_rules(contract: LogContract) -> Iterator[RuleDict]:
    key = contract.key
    yield _keys_conserved(contract, f"select distinct source, {key} from raw.{contract.table}")
    yield no_rows(
        "latest_state",
        f"""
        with batch as (select source, {key}, updated_at from {{batch}}),
        latest as (
            select source, {key}, max(updated_at) as updated_at
            from raw.{contract.table} group by source, {key}
        )
        select 1 from batch, latest
        where batch.source = latest.source and batch.{key} = latest.{key}
            and batch.updated_at <> latest.updated_at
        """,
        ("当前状态是最新的状态", "the current state is the latest"),
        ["stale_state"],
    )
    yield _current_is_open(contract)


def _history_rules(contract: LogContract) -> Iterator[RuleDict]:
    key = contract.key
    yield _keys_conserved(contract, f"select * from raw.{contract.table}")
    yield _columns_conserved(contract)
    yield no_rows(
        "states_adjoin",
        f"""
        with batch as (
            select valid_to, lead(valid_from) over (
                partition by source, {key} order by valid_from, version
            ) as next_from
            from {{batch}}
        )
        select 1 from batch where valid_to is distinct from next_from
        """,
        ("每个状态到下一个状态为止", "each state ends where the next begins"),
        ["history_out_of_order", "overlapping_states"],
    )
    yield from _flags_conserved(contract)
    yield no_rows(
        "one_open_state",
        f"""
        with batch as (
            select source, {key}, count(*) filter (where valid_to is null) as n
            from {{batch}} group by source, {key}
        )
        select 1 from batch where n <> 1
        """,
        ("每个键恰有一个当前状态", "each key has exactly one open state"),
        ["stale_state", "duplicate_key"],
    )
    yield no_rows(
        "states_in_order",
        "select 1 from {batch} where valid_to < valid_from or valid_from <> updated_at",
        ("状态的有效期不倒置", "no state ends before it begins"),
        ["history_out_of_order"],
    )


def _keys_conserved(contract: LogContract, landed: str) -> RuleDict:
    digests = f"count(*) as n, sum(cast(hash(source, {contract.key}) as hugeint)) as digest"
    return no_rows(
        "keys_conserved",
        f"""
        with staged as (select {digests} from {{batch}}),
        landed as (select {digests} from ({landed}) as landed)
        select staged.n from staged, landed
        where staged.n <> landed.n or staged.digest is distinct from landed.digest
        """,
        ("行与键和原始层相同", "the rows and keys are those of raw"),
        ["filter_in_model", "join_fan_out", "dedup_key_changed", "id_altered"],
    )


def _privacy_rules(contract: LogContract, table: str) -> Iterator[RuleDict]:
    schema, name = table.split(".")
    private = ", ".join(f"'{field}'" for field in (*contract.pii_fields, "_extra"))
    yield no_rows(
        "no_plain_pii",
        f"""
        with batch as (select 1 as one from {{batch}} limit 0)
        select column_name from duckdb_columns()
        where database_name = current_database() and schema_name = '{schema}'
            and table_name = '{name}' and column_name in ({private})
        """,
        ("没有明文个人信息列", "no column holds plain personal data"),
        ["pii_let_through"],
    )


def _token_rules(contract: LogContract) -> Iterator[RuleDict]:
    # A view's token is one expression for all rows, and costs two SHA-256 a row: ten thousand
    # rows of an event log prove it as well as all.
    bounded = "" if contract.kind == "entity" else " limit 10000"
    for name in contract.pii_fields:
        token = f"{name}_token"
        yield no_rows(
            f"{token}_is_token",
            f"""
            with batch as (
                select {token} from {{batch}} where {token} is not null{bounded}
            )
            select 1 from batch where not regexp_full_match({token}, '{TOKEN}')
            """,
            (f"{token} 是 64 位十六进制", f"{token} is 64 hex digits"),
            ["pii_let_through", "key_missing"],
        )
    if contract.pii_fields:
        yield _tokens_of_values(contract, bounded)


def _tokens_of_values(contract: LogContract, bounded: str) -> RuleDict:
    """One value, one token and the other way round, and no token that anybody could make.

    Numbers are compared in the form to which the contract brings them.
    """
    parts = []
    for name in contract.pii_fields:
        pairs = _pairs(contract, name, "{batch}", bounded)
        if name == "phone":
            # The same number may be one of an account and of a member.
            pairs += "".join(
                " union all " + _pairs(other, name, f"staging.stg_{other.table}_history", "")
                for other in contracts().values()
                if name in other.pii_fields and other != contract
            )
        parts.append(
            f"""
            select 1 from ({pairs}) as pairs
            having count(distinct token) <> count(distinct value)
                or count(distinct token) <> count(distinct (token, value))
                or count(*) filter (where token = sha256(value)) > 0
            """
        )
    return no_rows(
        "tokens_of_values",
        f"with batch as (select 1 as one from {{batch}} limit 0) {' union all '.join(parts)}",
        (
            "令牌与值一一对应，且不是无密钥的散列",
            "tokens and values correspond one to one, and no token is a hash without a key",
        ),
        ["token_unkeyed", "wrong_column", "not_normalised"],
    )


def _pairs(contract: LogContract, name: str, staged: str, bounded: str) -> str:
    """SQL of a personal field's values and their tokens, as `value` and `token`."""
    plain = f"landed.{name}"
    if name == "phone":
        digits = "translate(landed.phone, '０１２３４５６７８９', '0123456789')"
        bare = f"regexp_replace(regexp_replace({digits}, '[^0-9]', '', 'g'), '^00', '')"
        plain = f"regexp_replace({bare}, '^86([0-9]{{{{11}}}})$', '\\1')"
    keys = [contract.key, *(["updated_at"] if contract.kind == "entity" else [])]
    same = " and ".join(f"staged.{key} = landed.{key}" for key in ["source", *keys])
    # Of two states of one moment nobody could say which one a token is of.
    once = f"qualify count(*) over (partition by source, {', '.join(keys)}) = 1"
    landed = f"(select * from raw.{contract.table} {once if len(keys) > 1 else ''})"
    return f"""
        select {plain} as value, staged.{name}_token as token
        from (
            select source, {", ".join(keys)}, {name}_token
            from {staged} where {name}_token is not null{bounded}
        ) as staged, {landed} as landed
        where {same} and landed.{name} is not null
    """


def _sums_conserved(contract: LogContract) -> Iterator[RuleDict]:
    for field in contract.fields:
        if field.type == "integer" and field.name.endswith("_minor"):
            name = field.name
            yield no_rows(
                f"{name}_conserved",
                f"""
                with staged as (select sum({name}) as total from {{batch}}),
                landed as (select sum({name}) as total from raw.{contract.table})
                select 1 from staged, landed where staged.total is distinct from landed.total
                """,
                (f"{name} 之和与原始层相同", f"the sum of {name} is that of raw"),
                ["amount_altered", "unit_change", "join_fan_out"],
            )
