"""What a fault is, and the five ways to put one in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_quality.catalogue import Stage

Record = dict[str, Any]
RATES = ("small", "large")


class InjectionError(Exception):
    """A fault could not be put in, or changed nothing: an error of the benchmark."""


@dataclass
class Delivery:
    """The newest files of one log, as records by file; `folder` is the log's in the landing zone.

    `rate` is the share of records to spoil, `rng` the only source of chance.
    """

    files: dict[str, list[Record]]
    rate: float
    rng: random.Random
    folder: Path

    def records(self) -> list[Record]:
        """All records, file by file."""
        return [record for records in self.files.values() for record in records]

    def some(self, wanted: Callable[[Record], object] = bool, least: int = 1) -> list[Record]:
        """A share `rate` of the records that are `wanted`, at least `least` of them.

        Raises InjectionError if there are fewer.
        """
        found = [record for record in self.records() if wanted(record)]
        if len(found) < least:
            raise InjectionError(f"{len(found)} records to choose {least} from")
        return self.rng.sample(found, min(len(found), max(least, round(self.rate * len(found)))))


@dataclass(frozen=True)
class Landed:
    """A change of the records that arrive, before they are written as files."""

    log: str
    change: Callable[[Delivery], None]


@dataclass(frozen=True)
class Written:
    """A change of the files that arrive, after they are written."""

    log: str
    change: Callable[[Delivery], None]


@dataclass(frozen=True)
class Table:
    """SQL on a stored table of the warehouse, which neither ingestion nor dbt is told of.

    `{t}` is the table, `{hit}` a condition that a share of its rows meets (of those that meet
    `among`, at least one).
    """

    table: str
    sql: str
    among: str = "true"


@dataclass(frozen=True)
class Model:
    """A model with other SQL than dbt compiles.

    Every `old` becomes `new`; an empty `old` wraps the query, which stands in `new` as `{query}`.
    At a small rate only some keys have the mutant's rows. `keys` are the columns of the grain
    where the model does not declare it; `whole` says that the fault has no rate.
    """

    model: str
    old: str
    new: str
    keys: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Export:
    """SQL on the file that is about to be published; placeholders as of `Table`."""

    table: str
    sql: str
    among: str = "true"


Injection = Landed | Written | Table | Model | Export


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `stage` is the last one at which it may be seen.

    `small` and `large` are the shares of records, rows or keys that are spoilt.
    """

    id: str
    stage: Stage
    zh: str
    en: str
    injection: Injection
    small: float = 0.01
    large: float = 0.4

    def rate(self, name: str) -> float:
        """The share at the rate of that name."""
        return self.small if name == "small" else self.large


@dataclass(frozen=True)
class Finding:
    """Something that a stage says of a fault. `severity` is `reported` where nothing judges."""

    stage: Stage
    rule: str
    severity: str


@dataclass
class Result:
    """What became of one fault at one rate. `error` means that the benchmark failed, not a gate."""

    fault: Fault
    rate: str
    share: float
    findings: list[Finding]
    seconds: float
    error: str = ""

    @property
    def found(self) -> Stage | None:
        """The stage that saw it."""
        return None if self.error or not self.findings else self.findings[0].stage

    @property
    def outcome(self) -> str:
        """`error`, `missed`, or the strongest of `blocked`, `warned` and `reported`."""
        if self.error or not self.findings:
            return "error" if self.error else "missed"
        severities = {finding.severity for finding in self.findings}
        if "critical" in severities:
            return "blocked"
        return "warned" if "warning" in severities else "reported"
