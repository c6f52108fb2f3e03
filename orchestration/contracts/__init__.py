"""The raw log contracts, one YAML a log, as typed objects.

Ingestion, staging, gates, converters and docs read field names, types, keys, bounds and PII
tags from here; nothing repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FieldType = Literal[
    "id",
    "text",
    "integer",
    "boolean",
    "timestamp",
    "date",
    "decimal",
    "enum",
    "currency",
    "list",
    "object",
]
PERSON_LOGS: Mapping[str, Literal["account", "member"]] = {
    "community/accounts": "account",
    "group/members": "member",
}
CORES = ("community", "group", "operations", "commerce")

DUCKDB_TYPES: Mapping[FieldType, str] = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "decimal": "VARCHAR",
    "enum": "VARCHAR",
    "currency": "VARCHAR",
    "list": "VARCHAR",
    "object": "VARCHAR",
}
"""Column type in `raw`: times are UTC without a zone, decimals keep their exact text, lists and
objects are JSON text."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(_Model):
    """One text in Chinese and English."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Items(_Model):
    """What a list holds, or the values of an object."""

    type: Literal["id", "text", "number"] = "text"
    enum: tuple[str, ...] | None = None
    min: int | None = None


class LogField(_Model):
    """One field of a log.

    `min`/`max` are inclusive bounds of an integer; `exclusive_min` is for decimals. A timestamp
    is bounded by 2000-01-01 and 24 h after the load unless `may_be_future` lifts the latter.
    `references` names the entity log whose key this id is, within the record's own source or
    the one that `source_field` holds. `refers_to` says whose id it is where `references` cannot:
    in lists, and for `unit`, whose kind the experiment decides. An `is_mention` is somebody
    else's id than the one the record is about. `personal` and PII fields go with an erasure.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: FieldType
    required: bool = False
    pii: bool = False
    enum: tuple[str, ...] | None = None
    items: Items | None = None
    default: bool | None = None
    min: int | None = None
    max: int | None = None
    exclusive_min: int | None = None
    may_be_future: bool = False
    references: str | None = None
    source_field: str | None = None
    refers_to: Literal["account", "member", "unit"] | None = None
    is_mention: bool = False
    personal: bool = False
    description: Words

    @model_validator(mode="after")
    def _consistent(self) -> LogField:
        if (self.type == "enum") != (self.enum is not None):
            raise ValueError(f"{self.name}: an enum field, and only that, lists its values")
        if self.items is not None and self.type not in ("list", "object"):
            raise ValueError(f"{self.name}: only lists and objects have items")
        if self.required and (self.pii or self.personal):
            raise ValueError(f"{self.name}: what an erasure clears cannot be required")
        return self

    @property
    def duckdb_type(self) -> str:
        """The column's type in `raw`."""
        return DUCKDB_TYPES[self.type]


@dataclass(frozen=True)
class PersonField:
    """A field that holds persons' ids. `kind` is `account`, `member`, or `unit` for either.

    The record is about them where `is_own`; else it only names them. `source_field` is the
    column that holds the ids' source.
    """

    name: str
    kind: Literal["account", "member", "unit"]
    is_own: bool
    is_list: bool
    source_field: str


class RequiredUnless(_Model):
    """`require` must be given unless `field` equals `equals`."""

    field: str
    equals: str
    require: str


class Rule(_Model):
    """A condition over several fields; a record that breaks it is `missing_required`."""

    at_least_one_of: tuple[str, ...] | None = None
    required_unless: RequiredUnless | None = None


class LogContract(_Model):
    """What one log's records look like.

    `kind` is `event` (one record per `(source, key)`) or `entity` (states of `(source, key)`,
    ordered by `updated_at`). `time` is the field that places a record in time. `fields` leaves
    out `source` and `received_at`, which every log has; `all_fields` has them.
    """

    log: str = Field(pattern=r"^(community|group|operations|commerce)/[a-z_]+$")
    title: Words
    kind: Literal["event", "entity"]
    key: str
    time: str
    rules: tuple[Rule, ...] = ()
    fields: tuple[LogField, ...]

    @model_validator(mode="after")
    def _consistent(self) -> LogContract:
        names = [field.name for field in self.fields]
        if len(names) != len(set(names)):
            raise ValueError(f"{self.log}: a field is named twice")
        by_name = {field.name: field for field in self.fields}
        for name in (self.key, self.time):
            if name not in by_name or not by_name[name].required:
                raise ValueError(f"{self.log}: {name} must be a required field")
        if self.kind == "entity" and self.time != "updated_at":
            raise ValueError(f"{self.log}: an entity log is ordered by updated_at")
        return self

    @property
    def core(self) -> str:
        """`community`, `group`, `operations` or `commerce`."""
        return self.log.split("/")[0]

    @property
    def table(self) -> str:
        """The table's name in `raw`, and the stem of its staging model: `<core>__<log>`."""
        return self.log.replace("/", "__")

    @property
    def all_fields(self) -> tuple[LogField, ...]:
        """Every contract field in column order: `source`, the log's own, `received_at`."""
        return (SOURCE, *self.fields, RECEIVED_AT)

    @property
    def pii_fields(self) -> tuple[str, ...]:
        """Names of the fields that are tokenised at staging."""
        return tuple(field.name for field in self.fields if field.pii)

    @property
    def person_fields(self) -> tuple[PersonField, ...]:
        """The fields that hold ids of accounts or members, in column order."""
        found = []
        for field in self.fields:
            kind = field.refers_to
            if field.references is not None and field.references in PERSON_LOGS:
                kind = PERSON_LOGS[field.references]
            elif self.log in PERSON_LOGS and field.name == self.key:
                kind = PERSON_LOGS[self.log]
            if kind is not None:
                source = field.source_field or "source"
                is_list = field.type == "list"
                found.append(PersonField(field.name, kind, not field.is_mention, is_list, source))
        return tuple(found)

    @property
    def cleared_fields(self) -> tuple[str, ...]:
        """Names of the fields that become NULL in the records of a person who is erased."""
        return tuple(field.name for field in self.fields if field.pii or field.personal)

    def field(self, name: str) -> LogField:
        """The field of that name; KeyError if the log has none."""
        for field in self.all_fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.log} has no field {name}")


SOURCE = LogField(
    name="source",
    type="id",
    required=True,
    description=Words(zh="来源平台或租户", en="platform or tenant the record comes from"),
)
RECEIVED_AT = LogField(
    name="received_at",
    type="timestamp",
    description=Words(zh="采集端收到记录的时间", en="time the producer's collector got the record"),
)


@cache
def contracts() -> Mapping[str, LogContract]:
    """All logs' contracts by `<core>/<log>`, in the order of the cores and then by name."""
    found: dict[str, LogContract] = {}
    folder = resources.files(__name__) / "logs"
    entries = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    for core in CORES:
        for entry in entries:
            if entry.name.startswith(f"{core}__") and entry.name.endswith(".yml"):
                contract = LogContract.model_validate(
                    yaml.load(entry.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
                )
                if f"{contract.table}.yml" != entry.name:
                    raise ValueError(f"{entry.name} holds the contract of {contract.log}")
                found[contract.log] = contract
    return found
