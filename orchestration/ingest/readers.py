"""SQL that brings each format to columns of text, and the fast path of JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.contracts import LogContract, LogField
from orchestration.ingest.checks import (
    EARLIEST,
    REASONS,
    ZONED,
    Clock,
    failure_conditions,
    literal,
    literals,
    quote,
    typed_sql,
    utc_sql,
)

if TYPE_CHECKING:
    import pyarrow

Columns = tuple[tuple[str, str], ...]
"""Name and type of a file's columns, in order. Of files with equal ones one query reads all."""
# Of so many layouts with so many unknown members in all; other lines are looked at name by name.
_LAYOUTS, _LAYOUT_UNKNOWN = 32, 32
# Buffers of 2 MiB, as many as threads.
_CSV_LINE = 128 << 10
# Only looked for in lines where a value leaves it open: a number that DuckDB rewrites, and a
# trailing comma, which it forgives.
_REWRITTEN = r'"[ \t\r]*:[ \t\r]*(-?(0|[1-9][0-9]*)[.eE]|-0)'
_TRAILING = r",[ \t\r\n]*[}\]]"
# Unknown members whose text DuckDB gives back exactly: no escapes, no decimals (a zero may have
# been one, or -0), nothing nested, and names that are no path of their own.
# Each name costs a parse of its line, and DuckDB holds those of 2048 rows: few and short ones.
_UNKNOWN_IS_CHEAP = "len(unknown) <= 64 and strlen(json) <= 8192"
_UNKNOWN_IS_PLAIN = (
    "case when unknown is null or len(unknown) = 0 then true "
    f"when not ({_UNKNOWN_IS_CHEAP}) then false "
    r"else not contains(json, '\') "
    "and len(list_filter(unknown, lambda name: "
    "not regexp_full_match(name, '[A-Za-z_][A-Za-z0-9_]*') "
    "or json_type(json, '$.\"' || name || '\"') not in "
    "('VARCHAR', 'BOOLEAN', 'NULL', 'UBIGINT', 'BIGINT') "
    "or cast(json_extract(json, '$.\"' || name || '\"') as varchar) = '0')) = 0 end"
)
_UNKNOWN_TEXT = (
    f"case when len(unknown) > 0 and {_UNKNOWN_IS_CHEAP} then "
    "'{' || array_to_string(list_transform(unknown, "
    "lambda name: '\"' || name || '\":' "
    "|| cast(json_extract(json, '$.\"' || name || '\"') as varchar)), ',') || '}' end"
)


@dataclass(frozen=True)
class Layout:
    """How different members follow one another in many lines; `unknown` are not the contract's."""

    names: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def source_list(paths: Sequence[Path]) -> str:
    """A SQL list of file names, without the meaning that glob characters have."""
    return "[" + ", ".join(literal(_unglobbed(str(path))) for path in paths) + "]"


def _unglobbed(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def fast_json_sql(
    contract: LogContract,
    clock: Clock,
    paths: Sequence[Path],
    longest: int,
    max_line_bytes: int,
    *,
    regular: bool = False,
    numbered: bool = False,
    tidy: bool = False,
    known: Collection[Layout] = (),
) -> str:
    """Typed columns of each non-blank line, `_extra`, `file_index`, `line` and `is_fast`.

    `is_fast` is true only for lines that are accepted for certain, with every text exact; about
    the others the careful path decides. For `regular` files that holds under the condition that
    `shape_sql` agrees with the scan: it spares a second parse, and leaves no room for unknown
    fields.
    `numbered` makes `line` the position in the file, and reads one file in one thread.
    `tidy` files have no trailing comma, and `known` are the layouts of many lines.
    """
    line = "row_number() over () as line" if numbered else "0 as line"
    options = (
        f"{source_list(paths)}, ignore_errors = true, hive_partitioning = false, "
        f"maximum_object_size = {max(longest + 1024, 16 << 20)}"
    )
    checks = _field_checks(contract, clock, regular)
    if not regular:
        texts = _general_texts(contract, line, options, known)
        checks += _line_checks(contract, max_line_bytes, tidy, known)
        return _checked(contract, texts, checks, _extra_of(known))
    names = ", ".join(quote(field.name) for field in contract.all_fields)
    columns = _spec(contract).replace('"', "'")
    texts = f"""
        select {line}, file_index, {names}
        from read_json({options}, format = 'newline_delimited', columns = {columns})
    """
    return _checked(contract, texts, checks, "cast(null as varchar)")


def flagged_sql(
    contract: LogContract, clock: Clock, source: str, loose: str, native: Collection[str] = ()
) -> str:
    """The rows of CSV or Parquet files with `is_fast`, and what `fast_columns` wants of those.

    `native` fields of the source are there as moments too.
    """
    checks = [*_field_checks(contract, clock, True, native), f"not ({loose})"]
    return _flagged(contract, source, checks, native)


def fast_columns(contract: LogContract) -> str:
    """The typed columns of a row that is fast."""
    return ", ".join(
        f"{_typed_name(field)} as {quote(field.name)}" for field in contract.all_fields
    )


def _checked(contract: LogContract, texts: str, checks: list[str], extra: str) -> str:
    return f"""
        select {fast_columns(contract)}, {extra} as _extra, file_index, line, is_fast
        from ({_flagged(contract, texts, checks)})
    """


def _flagged(
    contract: LogContract, texts: str, checks: list[str], native: Collection[str] = ()
) -> str:
    typed = "".join(
        f", {_fast_typed(field, field.name in native)} as {_typed_name(field)}"
        for field in contract.all_fields
    )
    # The volatile random() keeps the optimizer from pushing the filter below these
    # projections, where each value would be parsed a second time.
    return f"""
        select *, coalesce(({") and (".join(checks)}), false) and random() < 2 as is_fast
        from (select *{typed} from ({texts}))
    """


def layouts(contract: LogContract, lines: Iterable[Sequence[str]]) -> list[Layout]:
    """The layouts of lines, given each one's members in order; not of those with odd names."""
    known = {field.name for field in contract.all_fields}
    found: dict[Layout, None] = {}
    # DuckDB takes names that differ in case for one.
    folded = {name.lower(): name for name in known}
    for names in lines:
        unknown = tuple(name for name in names if name not in known)
        more = {name.lower(): name for name in unknown}
        if (
            all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in unknown)
            and all(folded.get(key, name) == name for key, name in more.items())
            and len(set(names)) == len(names)
            and len(more) == len(unknown)
            and len(folded | more) <= len(known) + _LAYOUT_UNKNOWN
        ):
            folded |= more
            found[Layout(tuple(names), unknown)] = None
        if len(found) >= _LAYOUTS:
            break
    return list(found)


def _spec(contract: LogContract, known: Collection[Layout] = ()) -> str:
    """Names and types of members as JSON: texts, and the unknown ones of layouts as they are."""
    types = {field.name: "VARCHAR" for field in contract.all_fields}
    return json.dumps(types | dict.fromkeys(_unknown(known), "JSON"))


def _unknown(known: Collection[Layout]) -> list[str]:
    return sorted({name for one in known for name in one.unknown})


def _general_texts(
    contract: LogContract, line: str, options: str, known: Collection[Layout]
) -> str:
    """Lines with `names`, members as texts, and `place`: what is known of their names.

    0 says that each has a value and none is unknown or repeated, a positive one that of
    `known`, -1 nothing; then `unknown` lists the unknown ones.
    """
    fields = [field.name for field in contract.all_fields]
    unknown = _unknown(known)
    members = ", ".join(
        [f"x.{quote(name)} as {quote(name)}" for name in fields]
        + [f"x.{quote(name)} as {_unknown_name(name)}" for name in unknown]
    )
    # As many names as values: nothing unknown, nothing twice, no null. A layout that is known
    # says the same of a line with nulls, for a tenth of what a look at each name costs.
    lists = ", ".join(f"[{literals(one.names)}]" for one in known)
    place = f"coalesce(list_position([{lists}], names), -1)" if known else "-1"
    return f"""
        select
            *,
            case when place < 0 and len(names) > {_given(contract)}
                then list_filter(names, lambda name: name not in ({literals(tuple(fields))})) end
                as unknown
        from (
            select
                json, file_index, line, names, {members},
                case when len(names) = {_given(contract)} then 0 else {place} end as place
            from (
                select
                    {line},
                    json,
                    file_index,
                    from_json(json, {literal(_spec(contract, known))}) as x,
                    json_keys(json) as names
                from read_ndjson_objects({options})
            )
        )
    """


def _unknown_name(name: str) -> str:
    return quote(f" {name}")


def _extra_of(known: Collection[Layout]) -> str:
    """The text of the unknown members, as they stand in the line."""
    arms = "".join(
        f" when {place} then '{{' || "
        + " || ',' || ".join(
            f"{literal(json.dumps(name) + ':')} || coalesce({_unknown_name(name)}, 'null')"
            for name in one.unknown
        )
        + " || '}'"
        for place, one in enumerate(known, start=1)
        if one.unknown
    )
    return f"case place{arms} else {_UNKNOWN_TEXT} end" if arms else _UNKNOWN_TEXT


def shape_sql(contract: LogContract, first_file: int) -> str:
    """Per `_file_id` from `first_file` on: the names and quotes that the rows in `raw` explain.

    Holds for compact and for spaced JSON whose texts are quoted and whose integers and
    booleans are not; anything else makes it differ from the count over the file's bytes.
    """
    names, quotes = [], []
    for field in contract.all_fields:
        column = quote(field.name)
        names.append(f"count({column})")
        bare = field.type in ("integer", "boolean", "list", "object")
        quotes.append(f"{2 if bare else 4} * count({column})")
        if _is_nested(field):
            for sums, text in ((names, '":'), (quotes, '"')):
                removed = f"strlen(replace({column}, '{text}', ''))"
                sums.append(f"coalesce(sum((strlen({column}) - {removed}) // {len(text)}), 0)")
    return f"""
        select _file_id, {" + ".join(names)} as names, {" + ".join(quotes)} as quotes
        from raw.{contract.table}
        where _file_id >= {first_file}
        group by _file_id
    """


def _given(contract: LogContract) -> str:
    """How many of the contract's fields a line gives a value for."""
    return " + ".join(
        "1" if field.required else f"cast({quote(field.name)} is not null as utinyint)"
        for field in contract.all_fields
    )


def _typed_name(field: LogField) -> str:
    if field.type in ("timestamp", "integer", "date", "boolean", "list", "object"):
        return f'"_{field.name}"'
    return quote(field.name)


def _native_name(name: str) -> str:
    return quote(f"{name} as it is")


def _fast_typed(field: LogField, is_native: bool) -> str:
    column = quote(field.name)
    match field.type:
        case "timestamp" if is_native:
            return f"make_timestamp(epoch_us({_native_name(field.name)}))"
        case "timestamp":
            return utc_sql(column)
        case "date" | "integer":
            return f"try_cast({column} as {field.duckdb_type})"
        case _:
            return typed_sql(field, column)


def _line_checks(
    contract: LogContract, max_line_bytes: int, tidy: bool, known: Collection[Layout]
) -> list[str]:
    """What only the whole line shows: unknown and repeated names, and forgiven syntax."""
    plain = {name: _is_exact(_unknown_name(name)) for name in _unknown(known)}
    arms = "".join(
        f"when place = {place} then not contains(json, '\\') and "
        f"{' and '.join(plain[name] for name in one.unknown)} "
        for place, one in enumerate(known, start=1)
        if one.unknown
    )
    return [
        f"case {arms}when place >= 0 then true "
        f"else len(list_distinct(names)) = len(names) and {_UNKNOWN_IS_PLAIN} end",
        f"strlen(json) <= {max_line_bytes}",
        *([] if tidy else [_no_trailing_comma(contract)]),
    ]


def _no_trailing_comma(contract: LogContract) -> str:
    loose = [
        "not (starts_with(json, '{') and ends_with(json, '}'))",
        "ends_with(json, ',}')",
        "ends_with(json, ' }')",
        "ends_with(json, e'\t}')",
    ]
    loose += [
        f"{quote(field.name)} is not null" for field in contract.all_fields if _is_nested(field)
    ]
    loosely = " or ".join(loose)
    return f"case when {loosely} then not regexp_matches(json, '{_TRAILING}') else true end"


def _is_exact(text: str) -> str:
    """Whether JSON that DuckDB wrote is what the line says, when that has no escapes."""
    return (
        f"(case when {text} is null or starts_with({text}, '\"') or {text} in ('true', 'false') "
        f"then true else regexp_full_match({text}, '-?[1-9][0-9]*') end)"
    )


def _field_checks(
    contract: LogContract, clock: Clock, regular: bool, native: Collection[str] = ()
) -> list[str]:
    fields = contract.all_fields

    def given(name: str) -> str:
        return f"{_native_name(name) if name in native else quote(name)} is not null"

    terms = [given(field.name) for field in fields if field.required]
    for rule in contract.rules:
        if rule.at_least_one_of:
            terms.append("(" + " or ".join(map(given, rule.at_least_one_of)) + ")")
        if rule.required_unless:
            needed = rule.required_unless
            terms.append(
                f"({given(needed.require)} or {quote(needed.field)} = {literal(needed.equals)})"
            )
    for field in fields:
        check = _fast_check(field, clock, regular, field.name in native)
        if check:
            terms.append(
                f"({check})"
                if field.required
                else f"case when {given(field.name)} then {check} else true end"
            )
    return terms


def _is_nested(field: LogField) -> bool:
    return field.type in ("list", "object")


def _fast_check(field: LogField, clock: Clock, regular: bool, is_native: bool) -> str:
    column, typed = quote(field.name), _typed_name(field)
    match field.type:
        case "id" | "text" if regular:
            return f"{column} <> ''"
        case "id" | "text":
            # A lower-case first letter settles it for most ids at the price of two comparisons.
            # Else look for what is no text in JSON, and for a number that lost its own text:
            # it begins before ':' in ASCII and then has a '.', an 'e', or is '-0'.
            return (
                f"case when {column} >= 'a' and {column} < '{{' then true "
                f"when {column} = '' or {column} in ('NaN', 'Infinity', '-Infinity') then false "
                f"when starts_with({column}, '{{') or starts_with({column}, '[') "
                f"then json_type(json, '$.{field.name}') = 'VARCHAR' "
                f"when {column} < ':' and (contains({column}, '.') or contains({column}, 'e') "
                f"or {column} = '0') then not regexp_matches(json, '{_REWRITTEN}') "
                "else true end"
            )
        case "timestamp":
            latest = "" if field.may_be_future else f" and {typed} <= {clock.latest}"
            in_range = f"{typed} >= {EARLIEST}{latest}"
            if is_native:
                return in_range
            # For a value that parses, the shapes and lengths leave room for ISO 8601 alone, with
            # a fraction of 1 to 6 digits. The regular expression costs three times as much.
            return (
                f"case when ends_with({column}, 'Z') then {column} like '____-__-__T__:__:__%' "
                f"and (strlen({column}) = 20 or strlen({column}) between 22 and 27) "
                f"when {column} like '____-__-__T__:__:__%+0_:00' "
                f"then strlen({column}) = 25 or strlen({column}) between 27 and 32 "
                f"else regexp_full_match({column}, '{ZONED}') end "
                f"and {column} not like '___________24%' and {in_range}"
            )
        case "date":
            return f"strlen({column}) = 10 and cast({typed} as varchar) = {column}"
        case "integer":
            limits = "" if field.min is None else f" and {typed} >= {field.min}"
            limits += "" if field.max is None else f" and {typed} <= {field.max}"
            return f"cast({typed} as varchar) = {column}{limits}"
        case "boolean":
            return f"{column} in ('true', 'false')"
        case "enum":
            return f"{column} in ({literals(field.enum or ())})"
        case "list" | "object":
            failures = failure_conditions(field, clock)
            arms = " ".join(
                f"when {failures[reason]} then false" for reason in REASONS if reason in failures
            )
            return (
                f"case when contains({column}, 'NaN') or contains({column}, 'Infinity') "
                f"then false {arms} else true end"
            )
        case _:
            failures = failure_conditions(field, clock)
            return " and ".join(f"not ({condition})" for condition in failures.values())


def loose_sql(contract: LogContract) -> str:
    """True where a list or object is JSON that only a forgiving reader takes."""
    return " or ".join(
        [
            f"coalesce(regexp_matches({quote(field.name)}, '{_TRAILING}|NaN|Infinity'), false)"
            for field in contract.all_fields
            if _is_nested(field)
        ]
        or ["false"]
    )


def csv_source(
    paths: Sequence[Path],
    header: Sequence[str],
    contract: LogContract,
    longest: int,
    numbered: bool = False,
) -> str:
    """CSV files as text columns, `_extra`, `file_index` and `line`, the position of the record.

    The files have equal columns (`csv_columns`); only one can be `numbered`. `longest` is the
    greatest record's number of bytes.
    """
    columns = {f"c{number}": "VARCHAR" for number in range(len(header))}
    spec = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
    position = {name: f"c{number}" for number, name in enumerate(header)}
    known = {field.name for field in contract.all_fields}
    texts = ", ".join(
        f"nullif({position.get(field.name, 'null')}, '') as {quote(field.name)}"
        for field in contract.all_fields
    )
    extras = {name: column for name, column in position.items() if name not in known}
    line = "row_number() over ()" if numbered else "0"
    # DuckDB sets 16 times as much memory aside for a compressed file, whatever its size.
    line_size = max(_CSV_LINE, 2 * longest)
    return f"""(
        select {line} as line, {texts}, {_extra_sql(extras)} as _extra, file_index
        from read_csv(
            {source_list(paths)}, columns = {spec}, auto_detect = false, header = true,
            delim = ',', quote = '"', escape = '"', strict_mode = true, null_padding = false,
            nullstr = '', hive_partitioning = false, max_line_size = {line_size}
        )
    )"""


def native_fields(columns: Columns, contract: LogContract) -> set[str]:
    """The moments among a Parquet file's columns that know their zone, so need not be parsed."""
    moments = {field.name for field in contract.all_fields if field.type == "timestamp"}
    return {name for name, kind in columns if name in moments and ", tz=" in kind}


def parquet_source(
    paths: Sequence[Path], contract: LogContract, native: Collection[str] = ()
) -> str:
    """Parquet files as text columns, `_extra`, `file_index` and `line`, the number of the row.

    The files have equal columns (`parquet_columns`); `native` ones are there as they are, too.
    Raises ValueError when two columns differ in case only, which DuckDB cannot tell apart.
    """
    from pyarrow import parquet

    schema = parquet.read_schema(paths[0])
    if len({name.lower() for name in schema.names}) != len(schema.names):
        raise ValueError("two columns of one name")
    types = dict(zip(schema.names, schema.types, strict=True))
    texts = ", ".join(
        f"nullif({_parquet_text(field.name, types[field.name])}, '') as {quote(field.name)}"
        if field.name in types
        else f"cast(null as varchar) as {quote(field.name)}"
        for field in contract.all_fields
    )
    moments = "".join(f", {quote(name)} as {_native_name(name)}" for name in sorted(native))
    known = {field.name for field in contract.all_fields}
    extras = {name: _parquet_text(name, kind) for name, kind in types.items() if name not in known}
    return f"""(
        select
            file_row_number + 1 as line, {texts}{moments}, {_extra_sql(extras)} as _extra,
            file_index
        from read_parquet(
            {source_list(paths)}, file_row_number = true, hive_partitioning = false
        )
    )"""


def csv_columns(header: Sequence[str], compression: str) -> Columns:
    """The columns of a CSV file, which is read like others of the same compression."""
    return tuple((name, f"csv {compression}") for name in header)


def parquet_columns(path: Path) -> Columns:
    """The columns of a Parquet file. Raises ValueError for what is none."""
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    return tuple((name, str(kind)) for name, kind in zip(schema.names, schema.types, strict=True))


def _parquet_text(name: str, kind: pyarrow.DataType) -> str:
    from pyarrow import types

    column = quote(name)
    if types.is_timestamp(kind):
        if kind.tz is not None:
            return f"strftime(timezone('UTC', {column}), '%Y-%m-%dT%H:%M:%S.%fZ')"
        return f"strftime(cast({column} as timestamp), '%Y-%m-%dT%H:%M:%S.%f')"
    if types.is_date(kind):
        return f"strftime({column}, '%Y-%m-%d')"
    if types.is_nested(kind):
        return f"cast(to_json({column}) as varchar)"
    return f"cast({column} as varchar)"


def _extra_sql(columns: dict[str, str]) -> str:
    if not columns:
        return "cast(null as varchar)"
    members = ", ".join(
        f"case when {column} is not null then {literal(json.dumps(name, ensure_ascii=False))} "
        f"|| ':' || cast(to_json({column}) as varchar) end"
        for name, column in columns.items()
    )
    return f"nullif('{{' || concat_ws(',', {members}) || '}}', '{{}}')"
