"""The mapping file of the `mapping` connector: its shape, and errors that name line and key.

docs/connectors/mapping.md explains it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from orchestration.connectors.base import ConversionUsageError
from orchestration.contracts import contracts
from orchestration.plain_yaml import PlainYamlError, require_plain

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value of the file."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error
    return name


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Texts = Annotated[list[str], BeforeValidator(_listed)]
Zone = Annotated[str, AfterValidator(_known_zone)]
Number = Annotated[str, Field(pattern=r"^-?\d{1,18}(\.\d{1,9})?$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Model):
    """What a row must fulfil; on an empty cell only `empty` can hold."""

    column: str
    equals: Texts | None = None
    starts_with: str | None = None
    matches: str | None = None
    above: Number | None = None
    at_least: Number | None = None
    below: Number | None = None
    at_most: Number | None = None
    empty: bool | None = None
    negate: bool = Field(default=False, alias="not")

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        if len(self.tests) != 1:
            raise ValueError("a condition has exactly one test")
        return self

    @property
    def tests(self) -> dict[str, Any]:
        """The test's name and its operand."""
        given = self.model_dump(exclude={"column", "negate"})
        return {name: value for name, value in given.items() if value is not None}

    @property
    def words(self) -> str:
        """The condition as a reader of the report sees it."""
        ((name, value),) = self.tests.items()
        value = str(value).lower() if isinstance(value, bool) else value
        wanted = ", ".join(value) if isinstance(value, list) else value
        return f"{self.column} {'not ' if self.negate else ''}{name.replace('_', ' ')} {wanted}"


class Money(_Model):
    """How decimal text becomes minor units: column × `times` × 10^exponent of the currency."""

    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    currency_column: str | None = None
    times: str | None = None
    round: Literal["exact", "half_up"] = "exact"
    negate: bool = False

    @model_validator(mode="after")
    def _one_currency(self) -> Money:
        if (self.currency is None) == (self.currency_column is None):
            raise ValueError("money names a currency or a currency_column")
        return self


class FieldRule(_Model):
    """Where one field of a log comes from."""

    column: str | None = None
    value: str | None = None
    template: str | None = None
    enum: dict[str, str] | None = None
    other: str | None = None
    time: str | None = None
    zone: Zone | None = None
    date: str | None = None
    money: Money | None = None
    split: str | None = Field(default=None, min_length=1)
    default: str | None = None
    combine: Literal["same", "sum", "min", "max"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> FieldRule:
        origins = [self.column, self.value, self.template]
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("a field comes from exactly one of column, value and template")
        ways = [self.enum, self.time, self.date, self.money, self.split]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("at most one of enum, time, date, money and split")
        if self.column is None and any(way is not None for way in ways):
            raise ValueError("enum, time, date, money and split read a column")
        if self.other is not None and self.enum is None:
            raise ValueError("other goes with enum")
        return self


class RecordRule(_Model):
    """One log that rows give records of; `group_by` makes one record of the rows that share it."""

    log: str
    where: list[Condition] = []
    group_by: list[str] = []
    bad_rows: Literal["error", "leave_out"] = "error"
    fields: dict[str, FieldRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_the_contract(self) -> RecordRule:
        contract = contracts().get(self.log)
        if contract is None:
            raise ValueError(f"no log {self.log!r}; there are: {', '.join(contracts())}")
        known = {field.name for field in contract.all_fields} - {"source"}
        if unknown := sorted(self.fields.keys() - known):
            raise ValueError(f"{self.log} has no field {', '.join(unknown)}")
        for field in contract.all_fields:
            if field.required and field.name not in self.fields and field.name != "source":
                raise ValueError(f"{self.log} needs the field {field.name}")
        for name, rule in self.fields.items():
            if rule.combine is not None and not self.group_by:
                raise ValueError(f"{name}: combine goes with group_by")
            field = contract.field(name)
            given = [rule.value, rule.other, rule.default, *(rule.enum or {}).values()]
            for value in given:
                if field.enum is not None and value is not None and value not in field.enum:
                    raise ValueError(f"{name}: {value!r} is none of {', '.join(field.enum)}")
            if rule.money is not None and field.type != "integer":
                raise ValueError(f"{name}: money gives an integer, the field is {field.type}")
        return self


class Mapping(_Model):
    """A whole mapping file."""

    format: Literal["csv", "jsonl", "parquet"] | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    zone: Zone | None = None
    extra: bool = True
    harmless: list[str] = []
    records: list[RecordRule] = Field(min_length=1)


class MappingFile:
    """A checked mapping with the lines of its keys.

    Raises ConversionUsageError with file, line, key and reason, one line a fault.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConversionUsageError(f"{path}: {reason}") from error
        try:
            require_plain(text)
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            # Every scalar is its text: a column may be called `no`, a value may be 1.
            content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
        except PlainYamlError as error:
            raise ConversionUsageError(f"{path}: {error}") from error
        except (yaml.YAMLError, ValueError, TypeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            reason = getattr(error, "problem", None) or "no YAML"
            raise ConversionUsageError(f"{path}: line {line}: {reason}") from error
        try:
            self.mapping = Mapping.model_validate(content)
        except ValidationError as error:
            faults = [
                self.fault(item["loc"], item["msg"].removeprefix("Value error, "))
                for item in error.errors()
            ]
            raise ConversionUsageError("\n".join(faults)) from error

    def fault(self, place: Place, reason: str) -> str:
        """`file: line n: key: reason` of a place in the file."""
        key = ".".join(str(part) for part in place) or "the file"
        return f"{self.path}: line {self._line(place)}: {key}: {reason}"

    def _line(self, place: Place) -> int:
        node, line = self._root, 1
        for part in place:
            inner = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if getattr(key, "value", None) == part:
                        inner, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                inner = node.value[part] if part < len(node.value) else None
                line = inner.start_mark.line + 1 if inner is not None else line
            if inner is None:
                break
            node = inner
        return line
