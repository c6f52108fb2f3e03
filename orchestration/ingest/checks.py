"""The contract's checks as SQL over text columns: typed values, and the first reason to reject.

Every format is brought to one shape first: a column of text a field, NULL where it is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from iso4217 import Currency

from orchestration.contracts import LogContract, LogField

REASONS = (
    "malformed",
    "missing_required",
    "bad_type",
    "bad_enum",
    "naive_timestamp",
    "out_of_range",
)
EARLIEST = "timestamp '2000-01-01 00:00:00'"

_TIME_OF_DAY = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET = "(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)"
ZONED = f"{_DATE}T{_TIME_OF_DAY}{_OFFSET}"
_NAIVE = f"{_DATE}([T ]{_TIME_OF_DAY})?"
_DECIMAL = r"-?[0-9]+(\.[0-9]+)?"


@dataclass(frozen=True)
class Clock:
    """The moment of loading, UTC without a zone."""

    now: datetime

    @property
    def latest(self) -> str:
        """SQL literal of the last moment that a past event may have."""
        return f"timestamp '{self.now + timedelta(hours=24):%Y-%m-%d %H:%M:%S.%f}'"


@cache
def currency_codes() -> tuple[str, ...]:
    """The alphabetic codes of ISO 4217."""
    return tuple(sorted(currency.code for currency in Currency))


def quote(name: str) -> str:
    """A column name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text for SQL. A NUL, which would end the statement, becomes an expression."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "(" + quoted.replace("\0", "' || chr(0) || '") + ")" if "\0" in text else quoted


def literals(values: tuple[str, ...]) -> str:
    """Texts for an `in` list."""
    return ", ".join(literal(value) for value in values)


def typed_sql(field: LogField, column: str) -> str:
    """The `raw` value of a text that passed the checks; NULL where it cannot be one."""
    match field.type:
        case "timestamp":
            return utc_sql(_with_seconds(column))
        case "date":
            return f"try_cast({column} as date)"
        case "integer":
            return f"try_cast({column} as bigint)"
        case "boolean":
            return f"{column} = 'true'"
        case "list" | "object":
            # `json()` brings every spelling of one value to one text, as canonical JSON needs.
            return f"case when json_valid({column}) then cast(json({column}) as varchar) end"
        case _:
            return column


def utc_sql(text: str) -> str:
    """The moment of a text with a zone, in UTC without one; NULL where it has none."""
    # A cast from one type to the other goes through ICU: five times the price.
    return f"make_timestamp(epoch_us(try_cast({text} as timestamptz)))"


def verdict_sql(contract: LogContract, clock: Clock, malformed: str = "false") -> str:
    """`<reason> <field>` of the first reason that applies, NULL for a good record."""
    arms = [f"when {malformed} then 'malformed '"]
    arms += [
        _arm(f"{quote(field.name)} is null", "missing_required", field.name)
        for field in contract.all_fields
        if field.required
    ]
    for rule in contract.rules:
        if rule.at_least_one_of:
            missing = " and ".join(f"{quote(name)} is null" for name in rule.at_least_one_of)
            arms.append(_arm(missing, "missing_required", rule.at_least_one_of[0]))
        if rule.required_unless:
            needed = rule.required_unless
            arms.append(
                _arm(
                    f"{quote(needed.require)} is null and {quote(needed.field)} is distinct from "
                    f"{literal(needed.equals)}",
                    "missing_required",
                    needed.require,
                )
            )
    failures = [(field, failure_conditions(field, clock)) for field in contract.all_fields]
    for reason in REASONS[2:]:
        for field, conditions in failures:
            if reason in conditions:
                arms.append(_arm(conditions[reason], reason, field.name))
    return "case " + " ".join(arms) + " end"


def _arm(condition: str, reason: str, field: str) -> str:
    return f"when {condition} then '{reason} {field}'"


def failure_conditions(field: LogField, clock: Clock) -> dict[str, str]:
    """Reason to a condition that is true when the field's text fails for it.

    A condition may rely on those of earlier reasons being false: evaluate them in a CASE.
    """
    column = quote(field.name)
    typed = typed_sql(field, column)
    match field.type:
        case "timestamp":
            zoned = f"(regexp_full_match({column}, '{ZONED}') and {typed} is not null)"
            naive = (
                f"(regexp_full_match({column}, '{_NAIVE}') "
                f"and try_cast({_with_seconds(column)} as timestamp) is not null)"
            )
            too_late = "" if field.may_be_future else f" or {typed} > {clock.latest}"
            return {
                "bad_type": f"{column} is not null and not {zoned} and not {naive}",
                "naive_timestamp": naive,
                "out_of_range": f"{zoned} and ({typed} < {EARLIEST}{too_late})",
            }
        case "date":
            return {
                "bad_type": f"{column} is not null and not (regexp_full_match({column}, "
                f"'{_DATE}') and {typed} is not null)"
            }
        case "integer":
            return _bounds(field, typed) | {
                "bad_type": f"{column} is not null and not (regexp_full_match({column}, "
                f"'-?[0-9]+') and {typed} is not null)",
            }
        case "boolean":
            return {"bad_type": f"{column} not in ('true', 'false')"}
        case "decimal":
            found = {"bad_type": f"not regexp_full_match({column}, '{_DECIMAL}')"}
            if field.exclusive_min is not None:
                if field.exclusive_min != 0:
                    raise ValueError(f"{field.name}: only an exclusive_min of 0 is exact")
                # The sign and any digit but 0: exact for decimals of every length.
                found["out_of_range"] = (
                    f"starts_with({column}, '-') or not regexp_matches({column}, '[1-9]')"
                )
            return found
        case "enum":
            return {"bad_enum": f"{column} not in ({literals(field.enum or ())})"}
        case "currency":
            return {"bad_enum": f"{column} not in ({literals(currency_codes())})"}
        case "list" | "object":
            return _nested(field, column)
        case _:
            return {}


def _bounds(field: LogField, typed: str) -> dict[str, str]:
    limits = []
    if field.min is not None:
        limits.append(f"{typed} < {field.min}")
    if field.max is not None:
        limits.append(f"{typed} > {field.max}")
    return {"out_of_range": " or ".join(limits)} if limits else {}


def _nested(field: LogField, column: str) -> dict[str, str]:
    kind = "ARRAY" if field.type == "list" else "OBJECT"
    path = "$[*]" if field.type == "list" else "$.*"
    values = f"json_extract({column}, '{path}')"
    # CASE, since these functions raise on text that is no JSON.
    arms = [f"when not json_valid({column}) then true"]
    arms.append(f"when json_type({column}) <> '{kind}' then true")
    found: dict[str, str] = {}
    if field.items is not None:
        scalars = "'BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT'"
        if field.items.type != "number":
            scalars += ", 'VARCHAR', 'BOOLEAN'"
        arms.append(f"when {_any(values, f'json_type(item) not in ({scalars})')} then true")
        if field.items.enum:
            texts = f"json_extract_string({column}, '{path}')"
            found["bad_enum"] = _any(texts, f"item not in ({literals(field.items.enum)})")
        if field.items.min is not None:
            found["out_of_range"] = _any(values, f"try_cast(item as double) < {field.items.min}")
    return found | {"bad_type": f"case when {column} is null then false {' '.join(arms)} end"}


def _any(values: str, condition: str) -> str:
    return f"len(list_filter({values}, lambda item: {condition})) > 0"


def _with_seconds(column: str) -> str:
    return (
        f"case when strlen({column}) < 23 then "
        f"regexp_replace({column}, '^(.{{16}})(Z|[+-].*)?$', '\\1:00\\2') else {column} end"
    )
