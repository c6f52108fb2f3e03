"""What a page is made of: words in two languages, figures and tiles, each with its query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Words(NamedTuple):
    """One text in English and Chinese."""

    en: str
    zh: str


@dataclass(frozen=True)
class Figure:
    """A chart with its table, or a table alone.

    `sql` reads published marts only; `getvariable('as_of')` is the last complete date. It gives
    one row a mark, in the order shown, with `is_complete` false where a period is not over.
    `chart` says how `static/charts.js` draws the columns. `facets` are columns of which a reader
    chooses one value, `first` what is chosen first where that is not the first value.
    `metrics` are ids of `quality.metrics`, `per` says what is divided by what, `logs` what has
    to be landed for the figure to have rows. `limit` caps the rows that are carried; the page
    then says how many there are. `deferred` puts the rows into a file of their own.
    """

    id: str
    title: Words
    sql: str
    chart: Mapping[str, Any]
    metrics: tuple[str, ...]
    marts: tuple[str, ...]
    per: Words
    logs: tuple[str, ...] = ()
    note: Words | None = None
    facets: tuple[str, ...] = ()
    first: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    limit: int = 2_000
    deferred: bool = False
    wide: bool = False
    clock: str = "as_of"
    """Which date it is of where no column says: `as_of`, or `published`."""


@dataclass(frozen=True)
class Tile:
    """One number.

    `sql` gives one row: `value`, and where there are such `numerator`, `denominator`, `previous`
    (the value of the period before, NULL where that is not whole), `at` (the last date) and
    `trend` (a list of numbers, oldest first).
    """

    id: str
    title: Words
    sql: str
    format: str
    metrics: tuple[str, ...]
    marts: tuple[str, ...]
    per: Words
    than: Words | None = None
    """What `previous` is."""
    up_is_good: bool | None = None


@dataclass(frozen=True)
class Page:
    """A page: its lead says what to look for."""

    id: str
    title: Words
    lead: Words
    tiles: tuple[Tile, ...]
    figures: tuple[Figure, ...]
