"""Any table (CSV, JSONL, Parquet) → any log, as a small mapping file says.

docs/connectors/mapping.md explains the file. The mapping becomes SQL that DuckDB runs over the
input; Python only passes on finished JSON lines.
"""

from __future__ import annotations

import os
import re
import string
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow as pa
from iso4217 import Currency

from orchestration.connectors.base import (
    Connector,
    Conversion,
    ConversionError,
    ConversionUsageError,
)
from orchestration.connectors.mapping_file import (
    Condition,
    FieldRule,
    MappingFile,
    Money,
    Place,
    RecordRule,
)
from orchestration.contracts import LogField, contracts

SUFFIXES = {
    "csv": (".csv", ".tsv", ".txt"),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
}
TEXT_FIELDS = {"text", "query", "title", "hypothesis"}
NAME_FIELDS = {"display_name", "phone", "email"}
BATCH_ROWS = 50_000
GROUPED_ROWS = 25_000
BUCKET = "$bucket"
MEMORY_LIMIT = "320MB"
FRACTION_DIGITS = 6
# 18 + 16 + 4 digits: the most that one exact product may have.
_AMOUNT, _TIMES, _FACTOR = f"decimal(18, {FRACTION_DIGITS})", "decimal(16, 4)", "decimal(4, 0)"
_DECIMAL = rf"^[+-]?\d+(\.\d{{1,{FRACTION_DIGITS}}}0*)?$"
_TIMES_DECIMAL = r"^[+-]?\d+(\.\d{1,4}0*)?$"
_OFFSET = r"([zZ]|[+-]\d{2}(:?\d{2})?)$"
# Decimals of 18 digits are far faster to read than longer ones, and hold any such time.
_EPOCHS = {
    "epoch_s": ("decimal(18, 6)", 1_000_000),
    "epoch_ms": ("decimal(18, 3)", 1_000),
    "epoch_us": ("bigint", 1),
}
_FLOATS = ("DOUBLE", "FLOAT")
_ISO = "'%Y-%m-%dT%H:%M:%S.%fZ'"


class MappingConnector(Connector):
    """Reads a table in CSV, JSONL or Parquet by a mapping file."""

    name = "mapping"
    title = "a table read by a mapping file"
    summary = "CSV, JSONL or Parquet (or a folder of one of them), with --option map=FILE.yml"
    takes_zone = True
    options: ClassVar[Mapping[str, str]] = {"map": "the mapping file (YAML)"}

    def convert(self, conversion: Conversion) -> None:
        """Write the records that the mapping describes; raises ConversionError."""
        if "map" not in conversion.options.more:
            raise ConversionUsageError("format mapping needs --option map=FILE.yml")
        mapping = MappingFile(Path(conversion.options.more["map"]))
        with (
            tempfile.TemporaryDirectory() as spill,
            duckdb.connect(Path(spill) / "work.duckdb") as connection,
        ):
            connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
            connection.execute(f"set temp_directory = {_literal(spill)}")
            connection.execute(f"set threads = {min(os.cpu_count() or 1, 4)}")
            connection.execute("set timezone = 'UTC'")
            _Table(conversion, mapping, connection).run()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@dataclass
class _Field:
    """One field: its value of a row, how rows combine, and what must hold."""

    name: str
    value: str
    faults: list[tuple[str, str]] = field(default_factory=list)
    """(SQL that is true for a bad row, reason)"""
    combine: str = "same"
    money: Money | None = None


class _Columns:
    """The input's columns as SQL expressions."""

    def __init__(self, paths: list[Path], kind: str, delimiter: str) -> None:
        self.kind = kind
        self.types: dict[str, str] = {}
        self._json_paths: list[str] = []
        files = "[" + ", ".join(_literal(str(path)) for path in paths) + "]"
        union = ", union_by_name = true" if len(paths) > 1 else ""
        match kind:
            case "csv":
                self.reader = (
                    f"read_csv({files}, delim = {_literal(delimiter)}, quote = '\"', escape = '\"',"
                    " header = true, all_varchar = true, max_line_size = 8388608,"
                    " buffer_size = 33554432,"
                    f" strict_mode = true{union})"
                )
            case "jsonl":
                self.reader = (
                    f"read_json_objects({files}, format = 'newline_delimited',"
                    " maximum_object_size = 67108864)"
                )
            case _:
                self.reader = f"read_parquet({files}{union})"

    def describe(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Learn the columns' types; those of JSON are all text, and any may be absent."""
        if self.kind != "jsonl":
            rows = connection.execute(f"describe select * from {self.reader}").fetchall()
            self.types = {row[0]: row[1] for row in rows}

    def known(self, name: str) -> bool:
        return self.kind == "jsonl" or name in self.types

    def type(self, name: str) -> str:
        return self.types.get(name, "VARCHAR")

    def raw(self, name: str) -> str:
        """The cell as it is."""
        if self.kind != "jsonl":
            return f"source.{_name(name)}"
        path = "$" + "".join(f".{_name(part)}" for part in name.split("."))
        if path not in self._json_paths:
            self._json_paths.append(path)
        return f"source.cells[{self._json_paths.index(path) + 1}]"

    def text(self, name: str) -> str:
        """The cell's text, null when it is empty; a whole float is an integer's text."""
        raw, kind = self.raw(name), self.type(name)
        if kind in _FLOATS:
            return (
                f"case when {raw} = trunc({raw}) and abs({raw}) < 9007199254740992"
                f" then cast(cast({raw} as bigint) as varchar) else cast({raw} as varchar) end"
            )
        if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
            return f"cast(to_json({raw}) as varchar)"
        return f"nullif(cast({raw} as varchar), '')"

    def decimal(self, name: str, wanted: str, pattern: str) -> tuple[str, str]:
        """The cell as an exact decimal, and the test that it is none."""
        raw, kind = self.raw(name), self.type(name)
        if kind in _FLOATS:
            exact = f"try_cast({raw} as {wanted})"
            return exact, f"{raw} is not null and cast({exact} as double) is distinct from {raw}"
        text = self.text(name)
        exact = f"try_cast({text} as {wanted})"
        return exact, (
            f"{text} is not null"
            f" and ({exact} is null or not regexp_full_match({text}, {_literal(pattern)}))"
        )

    def source(self) -> str:
        """The CTE's body: every row with its number."""
        if self.kind != "jsonl":
            return f"select row_number() over () as row_number__, * from {self.reader}"
        paths = ", ".join(_literal(path) for path in self._json_paths)
        cells = f"json_extract_string(json, [{paths}])" if paths else "[]"
        return (
            f"select row_number() over () as row_number__, json, {cells} as cells"
            f" from {self.reader}"
        )

    def remainder(self, used: set[str], only: list[str] | None) -> str:
        """The object of the cells that no field took, or of `only` those."""
        if self.kind == "jsonl":
            if only is not None:
                pairs = ", ".join(f"{_literal(name)}: {self.raw(name)}" for name in only)
                return f"to_json({{{pairs}}})" if only else ""
            tops = {name for name in used if "." not in name}
            patch = "{" + ", ".join(f"{_quoted(name)}: null" for name in sorted(tops)) + "}"
            return f"json_merge_patch(source.json, {_literal(patch)})" if tops else "source.json"
        names = [name for name in self.types if name not in used] if only is None else only
        pairs = ", ".join(f"{_literal(name)}: {self._finite(name)}" for name in names)
        return f"to_json({{{pairs}}})" if names else ""

    def whole(self) -> str:
        """The row's JSON text."""
        if self.kind == "jsonl":
            return "cast(source.json as varchar)"
        pairs = ", ".join(f"{_literal(name)}: {self._finite(name)}" for name in self.types)
        return f"cast(to_json({{{pairs}}}) as varchar)"

    def _finite(self, name: str) -> str:
        raw = self.raw(name)
        return f"case when isfinite({raw}) then {raw} end" if self.type(name) in _FLOATS else raw


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Table:
    def __init__(
        self, conversion: Conversion, file: MappingFile, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self.conversion = conversion
        self.file = file
        self.mapping = file.mapping
        self.connection = connection
        self.paths, kind = self._inputs()
        suffix = self.paths[0].name.partition(".")[2]
        delimiter = "\t" if suffix.startswith("tsv") else self.mapping.delimiter
        self.columns = _Columns(self.paths, kind, delimiter)
        self.zone = self.mapping.zone or (conversion.zone.key if conversion.zone else None)

    def _inputs(self) -> tuple[list[Path], str]:
        path = self.conversion.path
        kinds: list[str] = [self.mapping.format] if self.mapping.format else list(SUFFIXES)
        candidates = sorted(path.iterdir()) if path.is_dir() else [path]
        for kind in kinds:
            found = [
                file
                for file in candidates
                if file.is_file() and _bare(file).endswith(SUFFIXES[kind])
            ]
            if found:
                return found, kind
        if path.is_file() and self.mapping.format:
            return [path], self.mapping.format
        raise ConversionUsageError(f"{path}: no CSV, JSONL or Parquet file, by its name")

    def run(self) -> None:
        sizes = sum(path.stat().st_size for path in self.paths)
        self.conversion.total_bytes = sizes * len(self.mapping.records)
        with self.reading():
            self.columns.describe(self.connection)
        self.check_columns()
        rows = 0
        for number, rule in enumerate(self.mapping.records):
            rows = self.write(number, rule)
            self.conversion.advance(sizes, self.conversion.path.name)
        self.conversion.read("rows", rows)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """DuckDB's errors quote cells: only their kind and place are repeated."""
        try:
            yield
        except duckdb.Error as error:
            text = str(error)
            place = re.search(r"[Ll]ine:? (\d+)|at byte (\d+)", text)
            where = f"{place[0]}: " if place else ""
            kind = text.partition("\n")[0].partition(":")[0][:60]
            names = ", ".join(path.name for path in self.paths[:3])
            raise ConversionError(
                f"{self.conversion.path}: {where}{names} cannot be read as"
                f" {self.columns.kind} ({kind})"
            ) from error

    def check_columns(self) -> None:
        """Name every column of the mapping that the input does not have."""
        faults = []
        for place, name in _named_columns(self.mapping.records):
            if not self.columns.known(name):
                there = ", ".join(self.columns.types)
                faults.append(self.file.fault(place, f"no column {name!r}; there are: {there}"))
        for position, name in enumerate(self.mapping.harmless):
            if not self.columns.known(name):
                faults.append(self.file.fault(("harmless", position), f"no column {name!r}"))
        if faults:
            raise ConversionUsageError("\n".join(faults))

    def write(self, number: int, rule: RecordRule) -> int:
        """Write one log's records; the number of rows read."""
        fields = [
            self.plan(("records", number, "fields", name), name, field_rule, rule.log)
            for name, field_rule in rule.fields.items()
            if not self.dropped(name)
        ]
        conditions = [self.condition(condition) for condition in rule.where]
        mapped, statement, reasons = self.statements(rule, fields, conditions)
        if not rule.group_by:
            return self.pass_on(rule, f"with mapped as ({mapped})\n{statement}", reasons)
        rows, kept = self.count_left_out(rule, conditions)
        # Lists of rows cannot spill: rows are sorted into buckets that fit in memory.
        buckets = kept // GROUPED_ROWS + 1
        with self.reading():
            self.connection.execute(
                f"create or replace table kept as select *, {_bucket(rule, buckets)} as bucket__"
                f" from ({mapped}) as mapped where left_out__ is null"
                " order by bucket__, row_number__"
            )
        for bucket in range(buckets):
            self.pass_on(rule, statement.replace(BUCKET, str(bucket)), reasons)
        return rows

    def dropped(self, name: str) -> bool:
        options = self.conversion.options
        return (options.no_text and name in TEXT_FIELDS) or (
            options.no_names and name in NAME_FIELDS
        )

    def plan(self, place: Place, name: str, rule: FieldRule, log: str) -> _Field:
        """What SQL gives one field."""
        contract = contracts()[log].field(name)
        planned = _Field(name, "", combine=rule.combine or "same", money=rule.money)
        if rule.value is not None:
            planned.value = _constant(rule.value, contract)
        elif rule.template is not None:
            planned.value = self.template(place, rule.template)
        else:
            assert rule.column is not None
            self.from_column(place, planned, rule, contract)
        if rule.default is not None:
            planned.value = f"coalesce({planned.value}, {_constant(rule.default, contract)})"
        return planned

    def from_column(
        self, place: Place, planned: _Field, rule: FieldRule, contract: LogField
    ) -> None:
        column = rule.column or ""
        text = self.columns.text(column)
        reason = None
        if rule.enum is not None:
            cases = " ".join(
                f"when {_literal(key)} then {_constant(value, contract)}"
                for key, value in rule.enum.items()
            )
            other = f"else {_constant(rule.other, contract)}" if rule.other is not None else ""
            planned.value = f"case {text} {cases} {other} end"
            if rule.other is not None:
                planned.value = f"case when {text} is not null then {planned.value} end"
            reason = f"{column} has a value that the enum does not name"
        elif rule.money is not None:
            self.money(planned, column, rule.money)
        elif rule.split is not None:
            planned.value = (
                f"cast(to_json(string_split({text}, {_literal(rule.split)})) as varchar)"
            )
        elif contract.type == "timestamp":
            planned.value = self.time(place, column, rule)
            reason = f"{column} is no time of this form, or has no zone"
        elif contract.type == "date":
            planned.value = (
                f"cast(try_strptime({text}, {_literal(rule.date)}) as date)"
                if rule.date
                else f"try_cast({text} as date)"
            )
            planned.value = f"cast({planned.value} as varchar)"
            reason = f"{column} is no date of this form"
        elif contract.type == "integer":
            whole = f"regexp_full_match({text}, '-?[0-9]+')"
            planned.value = f"case when {whole} then try_cast({text} as bigint) end"
            reason = f"{column} is no whole number"
        elif contract.type == "boolean":
            planned.value = f"case lower({text}) when 'true' then true when 'false' then false end"
            reason = f"{column} is neither true nor false"
        elif contract.type in ("list", "object"):
            planned.value = f"case when json_valid({text}) then {text} end"
            reason = f"{column} is no JSON"
        else:
            planned.value = text
        if reason is not None:
            planned.faults.append((f"{text} is not null and ({planned.value}) is null", reason))

    def money(self, planned: _Field, column: str, money: Money) -> None:
        """Exact minor units, with what is below them still there."""
        amount, bad = self.columns.decimal(column, _AMOUNT, _DECIMAL)
        planned.faults.append((bad, f"{column} is no amount of at most {FRACTION_DIGITS} decimals"))
        value = amount
        if money.times is not None:
            times, bad = self.columns.decimal(money.times, _TIMES, _TIMES_DECIMAL)
            planned.faults.append((bad, f"{money.times} is no number of at most 4 decimals"))
            value = f"{value} * {times}"
        if money.currency is not None:
            factor = f"cast({10 ** _exponents()[money.currency]} as {_FACTOR})"
        else:
            code = self.columns.text(money.currency_column or "")
            cases = " ".join(
                f"when {exponent} then {10**exponent}"
                for exponent in sorted(set(_exponents().values()))
            )
            table = ", ".join(f"{_literal(key)}: {n}" for key, n in sorted(_exponents().items()))
            factor = f"cast(case map {{{table}}}[{code}] {cases} end as {_FACTOR})"
            planned.faults.append(
                (f"{factor} is null", f"{money.currency_column} is no ISO 4217 code")
            )
        planned.value = f"({'-' if money.negate else ''}{value}) * {factor}"

    def time(self, place: Place, column: str, rule: FieldRule) -> str:
        """The moment in UTC, as a timestamp without zone; null for what is no time."""
        kind, text, raw = (
            self.columns.type(column),
            self.columns.text(column),
            self.columns.raw(column),
        )
        zone = rule.zone or self.zone
        form = rule.time or "iso"
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f"timezone('UTC', {raw})"
        if kind.startswith("TIMESTAMP") or kind == "DATE":
            if zone is None:
                raise ConversionUsageError(
                    self.file.fault(place, f"{column} has no zone: say zone, or give --zone")
                )
            return f"timezone('UTC', timezone({_literal(zone)}, cast({raw} as timestamp)))"
        if form in _EPOCHS:
            number, factor = _EPOCHS[form]
            exact = f"try_cast({raw} as {number})"
            # Whole and fraction apart: their products stay within 64 bits.
            whole = f"cast(trunc({exact}) as bigint)"
            rest = f"cast(({exact} - trunc({exact})) * {factor} as bigint)"
            return f"make_timestamp({whole} * {factor} + {rest})"
        local = (
            f"try_cast({text} as timestamp)"
            if form == "iso"
            else f"try_strptime({text}, {_literal(form)})"
        )
        if "%z" in form:
            return f"timezone('UTC', {local})"
        placed = (
            f"timezone('UTC', timezone({_literal(zone)}, {local}))"
            if zone
            else "cast(null as timestamp)"
        )
        if form != "iso":
            return placed
        # A text of ten characters or fewer is a date: its hyphens look like an offset.
        return (
            f"case when length({text}) > 10 and regexp_matches({text}, {_literal(_OFFSET)})"
            f" then timezone('UTC', try_cast({text} as timestamptz)) else {placed} end"
        )

    def template(self, place: Place, template: str) -> str:
        parts = []
        try:
            pieces = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ConversionUsageError(self.file.fault((*place, "template"), str(error))) from error
        for literal, name, _, _ in pieces:
            if literal:
                parts.append(_literal(literal))
            if name == "row":
                parts.append("cast(source.row_number__ as varchar)")
            elif name == "digest":
                parts.append(f"left(sha256({self.columns.whole()}), 32)")
            elif name is not None:
                if not self.columns.known(name):
                    raise ConversionUsageError(
                        self.file.fault((*place, "template"), f"no column {name!r}")
                    )
                parts.append(self.columns.text(name))
        return "(" + " || ".join(parts) + ")" if parts else "null"

    def condition(self, condition: Condition) -> str:
        """SQL that is true or false, never null."""
        text = self.columns.text(condition.column)
        ((name, value),) = condition.tests.items()
        match name:
            case "empty":
                test = f"({text} is null) = {str(value).lower()}"
                return f"not ({test})" if condition.negate else test
            case "equals":
                test = f"{text} in ({', '.join(_literal(item) for item in value)})"
            case "starts_with":
                test = f"starts_with({text}, {_literal(value)})"
            case "matches":
                test = f"regexp_matches({text}, {_literal(value)})"
            case _:
                sign = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}[name]
                kind = self.columns.type(condition.column)
                raw = self.columns.raw(condition.column)
                number = f"try_cast({raw} as double)" if kind == "VARCHAR" else raw
                test = f"{number} {sign} {value}"
        return f"coalesce({'not ' if condition.negate else ''}({test}), false)"

    def extra_of(self, rule: RecordRule) -> str:
        """SQL of the object for `_extra`, or nothing."""
        if not self.mapping.extra:
            return ""
        options = self.conversion.options
        if options.no_text or options.no_names:
            return self.columns.remainder(set(), self.mapping.harmless)
        used = {
            name
            for field_rule in rule.fields.values()
            for name in _columns_of(field_rule, whole=True)
        }
        return self.columns.remainder(used, None)

    def statements(
        self, rule: RecordRule, fields: list[_Field], conditions: list[str]
    ) -> tuple[str, str, list[str]]:
        """SQL that maps rows, SQL that makes (row, left out, bad, rounded, JSON) of them.

        Third come the reasons that `bad` counts through.
        """
        reasons: list[str] = []
        row_faults = []
        for planned in fields:
            for test, reason in planned.faults:
                row_faults.append(f"when {test} then {len(reasons)}")
                reasons.append(f"{planned.name}: {reason}")
        left = " ".join(f"when not ({test}) then {n}" for n, test in enumerate(conditions))
        left_out = f"cast(case {left} end as integer)" if left else "cast(null as integer)"
        bad = f"case {' '.join(row_faults)} end" if row_faults else "null"
        extra = self.extra_of(rule)
        cells = [f"{planned.value} as {_name(planned.name)}" for planned in fields]
        keys = [
            f"{self.columns.text(name)} as {_name(f'{n} key')}"
            for n, name in enumerate(rule.group_by)
        ]
        inner = ",\n".join(
            [
                "source.row_number__",
                f"{left_out} as left_out__",
                f"cast(case when {left_out} is null then {bad} end as integer) as bad__",
                *cells,
                *keys,
                f"{extra or 'null'} as extra__",
            ]
        )
        judging = "mapped"
        if rule.group_by:
            judging, differing = self._grouped(rule, fields, extra=bool(extra))
            final_faults = [
                f"when {_name(f'{planned.name} differs')} then {len(reasons) + n}"
                for n, planned in enumerate(differing)
            ]
            reasons += [f"{planned.name}: differs within a group" for planned in differing]
        else:
            final_faults = []
        for test, reason in self._final_faults(rule, fields):
            final_faults.append(f"when {test} then {len(reasons)}")
            reasons.append(reason)
        contract = contracts()[rule.log]
        pairs = [f"'source': {_literal(self.conversion.source)}"]
        pairs += [
            f"{_literal(planned.name)}: {_final(planned, contract.field(planned.name))}"
            for planned in fields
        ]
        if extra:
            pairs.append("'mapping': extra__")
        rounded = " or ".join(
            f"coalesce({_name(planned.name)} <> trunc({_name(planned.name)}), false)"
            for planned in fields
            if planned.money is not None
        )
        final_case = f"case {' '.join(final_faults)} end" if final_faults else "null"
        judged = f"coalesce(bad__, {final_case})"
        mapped = f"with source as ({self.columns.source()})\nselect {inner} from source"
        statement = (
            f"select row_number__, left_out__, fault__, {rounded or 'false'} as rounded__,"
            " case when left_out__ is null and fault__ is null"
            f" then to_json({{{', '.join(pairs)}}}) end as line__\n"
            "from (select *, case when left_out__ is null"
            f" then cast({judged} as integer) end as fault__ from {judging}) as judged"
            + (" order by row_number__" if rule.group_by else "")
        )
        return mapped, statement, reasons

    def _grouped(
        self, rule: RecordRule, fields: list[_Field], *, extra: bool
    ) -> tuple[str, list[_Field]]:
        """One row a group of a bucket of `kept`."""
        differing = [planned for planned in fields if planned.combine == "same"]
        keys = ", ".join(_name(f"{n} key") for n, _ in enumerate(rule.group_by))
        parts = [
            "min(row_number__) as row_number__",
            "cast(null as integer) as left_out__",
            "min(bad__) as bad__",
        ]
        for planned in fields:
            name = _name(planned.name)
            function = "min" if planned.combine == "same" else planned.combine
            parts.append(f"{function}({name}) as {name}")
            if planned.combine == "same":
                differs = _name(f"{planned.name} differs")
                parts.append(f"min({name}) is distinct from max({name}) as {differs}")
        parts.append(
            # An ordered list aggregate takes tens of kilobytes a group: sorted afterwards.
            "to_json({'rows': list_transform("
            "list_sort(list({'row': row_number__, 'cells': extra__})), lambda pair: pair.cells"
            ")}) as extra__"
            if extra
            else "null as extra__"
        )
        grouped = f"select {', '.join(parts)} from kept where bucket__ = {BUCKET} group by {keys}"
        return f"({grouped}) as grouped", differing

    def _final_faults(self, rule: RecordRule, fields: list[_Field]) -> list[tuple[str, str]]:
        """What ingestion would reject a record for, named before it is landed."""
        contract = contracts()[rule.log]
        faults = []
        for planned in fields:
            known, name = contract.field(planned.name), _name(planned.name)
            if planned.money is not None:
                if planned.money.round == "exact":
                    faults.append(
                        (
                            f"{name} <> trunc({name})",
                            f"{planned.name}: a fraction of a minor unit; say round: half_up",
                        )
                    )
                faults.append((f"{name} < 0", f"{planned.name}: negative"))
            if known.required:
                faults.append((f"{name} is null", f"{planned.name}: required, and empty"))
            if known.enum is not None:
                values = ", ".join(_literal(value) for value in known.enum)
                faults.append((f"{name} not in ({values})", f"{planned.name}: no value of the log"))
            if known.type == "currency":
                codes = ", ".join(_literal(code) for code in _exponents())
                faults.append((f"{name} not in ({codes})", f"{planned.name}: no ISO 4217 code"))
            if known.type == "decimal":
                faults.append(
                    (
                        f"not regexp_full_match({name}, '[0-9]+([.][0-9]+)?')",
                        f"{planned.name}: no decimal number",
                    )
                )
            if known.type == "integer" and planned.money is None:
                for test, bound in (("<", known.min), (">", known.max)):
                    if bound is not None:
                        faults.append((f"{name} {test} {bound}", f"{planned.name}: out of bounds"))
        here = {planned.name for planned in fields}
        for group in contract.rules:
            unless = group.required_unless
            if unless is not None:
                given = f"{_name(unless.require)} is null" if unless.require in here else "true"
                other = f"{_name(unless.field)} is distinct from {_literal(unless.equals)}"
                test = f"{given} and {other}" if unless.field in here else given
                faults.append((test, f"{unless.require} is required here"))
            if group.at_least_one_of:
                present = [_name(name) for name in group.at_least_one_of if name in here]
                test = f"coalesce({', '.join(present)}) is null" if present else "true"
                names = " or ".join(group.at_least_one_of)
                faults.append((test, f"{names} is required"))
        return faults

    def pass_on(self, rule: RecordRule, statement: str, reasons: list[str]) -> int:
        """Run the statement and write its lines; the number of rows it gave."""
        conversion, log = self.conversion, rule.log
        write = conversion.lines(log)
        rows = 0
        left: Counter[int] = Counter()
        with self.reading():
            batches = self.connection.execute(statement).to_arrow_reader(BATCH_ROWS)
            for batch in batches:
                rows += batch.num_rows
                if batch.column(1).null_count < batch.num_rows:
                    left.update(item for item in batch.column(1).to_pylist() if item is not None)
                if batch.column(2).null_count < batch.num_rows:
                    self.on_bad(rule, batch, reasons)
                lines = [line for line in batch.column(4).to_pylist() if line is not None]
                if lines:
                    write(("\n".join(lines) + "\n").encode(), len(lines))
                if rounded := batch.column(3).to_pylist().count(True):
                    conversion.note(f"{log}: amount rounded half up to minor units", rounded)
        for number, count in sorted(left.items()):
            conversion.leave_out("rows", f"{log}: not {rule.where[number].words}", count)
        return rows

    def on_bad(self, rule: RecordRule, batch: pa.RecordBatch, reasons: list[str]) -> None:
        """Stop at a bad row, or count it."""
        numbers = batch.column(0).to_pylist()
        for row, fault in zip(numbers, batch.column(2).to_pylist(), strict=True):
            if fault is None:
                continue
            if rule.bad_rows == "error":
                raise ConversionError(
                    f"{self.conversion.path}: row {row}: {rule.log}: {reasons[fault]}"
                )
            self.conversion.leave_out("rows", f"{rule.log}: {reasons[fault]}")

    def count_left_out(self, rule: RecordRule, conditions: list[str]) -> tuple[int, int]:
        """Count what a grouping's filters left out; the numbers of rows, and of those kept."""
        kept = 0
        left = " ".join(f"when not ({test}) then {n}" for n, test in enumerate(conditions))
        case = f"cast(case {left} end as integer)" if left else "cast(null as integer)"
        with self.reading():
            found = self.connection.execute(
                f"with source as ({self.columns.source()})"
                f" select {case} as left_out, count(*) from source group by left_out order by 1"
            ).fetchall()
        for number, count in found:
            if number is not None:
                words = rule.where[number].words
                self.conversion.leave_out("rows", f"{rule.log}: not {words}", count)
            else:
                kept = count
                self.conversion.note(f"{rule.log}: rows grouped into records", count)
        return sum(count for _, count in found), kept


def _bucket(rule: RecordRule, buckets: int) -> str:
    keys = " || chr(0) || ".join(
        f"coalesce({_name(f'{n} key')}, '')" for n, _ in enumerate(rule.group_by)
    )
    return f"md5_number_lower({keys}) % {buckets}"


def _bare(path: Path) -> str:
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(".zst")


def _exponents() -> dict[str, int]:
    """Minor-unit exponent of every ISO 4217 code; 0 where a code has none."""
    return {currency.code: currency.exponent or 0 for currency in Currency}


def _constant(text: str, contract: LogField) -> str:
    """A constant of the mapping file, in the type that its field's values have."""
    match contract.type:
        case "integer":
            return f"cast({_literal(text)} as bigint)"
        case "boolean":
            return f"cast({_literal(text)} as boolean)"
        case "timestamp":
            return f"timezone('UTC', cast({_literal(text)} as timestamptz))"
        case _:
            return _literal(text)


def _final(planned: _Field, contract: LogField) -> str:
    name = _name(planned.name)
    if planned.money is not None:
        return f"try_cast(round({name}, 0) as bigint)"
    match contract.type:
        case "timestamp":
            return f"strftime({name}, {_ISO})"
        case "list" | "object":
            return f"cast({name} as json)"
        case _:
            return name


def _columns_of(rule: FieldRule, *, whole: bool = False) -> list[str]:
    """Columns that a field reads; with `whole`, only those whose whole content the field holds."""
    names = [rule.column] if rule.column is not None else []
    if rule.money is not None and not whole:
        names += [name for name in (rule.money.times, rule.money.currency_column) if name]
    if whole and (rule.enum or rule.money or rule.combine or rule.default):
        return []
    return names


def _named_columns(records: list[RecordRule]) -> Iterator[tuple[Place, str]]:
    for number, rule in enumerate(records):
        top: Place = ("records", number)
        for position, condition in enumerate(rule.where):
            yield (*top, "where", position, "column"), condition.column
        for position, name in enumerate(rule.group_by):
            yield (*top, "group_by", position), name
        for field_name, field_rule in rule.fields.items():
            for name in _columns_of(field_rule):
                yield (*top, "fields", field_name), name
