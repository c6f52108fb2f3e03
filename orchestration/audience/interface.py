"""What a pack's builder, its attackers and its ledger say to each other: data, no behaviour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import duckdb

Role = Literal["quasi_identifier", "sensitive", "feature", "measure"]
Product = Literal["rows", "counts"]

OTHER = "(other)"
"""What a value becomes that its column's vocabulary does not have."""
MISSING = "(none)"
"""What NULL becomes: a released text column has no NULL."""


@dataclass(frozen=True)
class Column:
    """A released column.

    Args:
        name: its name in the file.
        type: its DuckDB type: `VARCHAR`, or `BIGINT` for a measure.
        role: `quasi_identifier` and `sensitive` are persons' attributes; `measure` is a noisy
            figure of a counts pack; `feature` is a fact of the cell alone, such as a week.
        vocabulary: every value it can take, in its order; empty for a measure.
        ordered: whether neighbours in `vocabulary` are closer than others (bands).
    """

    name: str
    type: str
    role: Role
    vocabulary: tuple[str, ...] = ()
    ordered: bool = False


@dataclass(frozen=True)
class Guarantee:
    """What a pack promises of one person.

    `epsilon` and `delta` of differential privacy (add or remove one person); of a rows pack
    further the sampling rate `beta`, `k` rows behind every whole tuple, `l` distinct values of
    each sensitive column in a class, `alpha` the greatest share of one of them, and `t` the
    greatest distance of a class's distribution from the file's. Of a counts pack these are None.
    """

    epsilon: float
    delta: float
    beta: float | None = None
    k: int | None = None
    l: int | None = None  # noqa: E741 (its name in the literature and in the contract)
    alpha: float | None = None
    t: float | None = None


@dataclass(frozen=True)
class Condition:
    """One condition of a segment: `column op value`; all conditions of a pack hold together."""

    column: str
    op: Literal["=", "!=", "<", "<=", ">", ">=", "in"]
    value: str | int | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Recode:
    """How one released column follows from one feature: by `cuts`, by `mapping`, or as it is.

    `cuts` are lower bounds of bands, growing; `mapping` gives a coarser value to values.
    """

    name: str
    source: str
    cuts: tuple[int, ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Measure:
    """A sum of a counts pack: of `source`, each person's value in a cell clamped to [low, high]."""

    name: str
    source: str
    low: int
    high: int


@dataclass(frozen=True)
class PackSpec:
    """A pack's definition, compiled: nothing in it depends on the data.

    `columns` is what the file holds, in its order: the recoded columns, then the measures.
    `sha256` is of the canonical definition, mappings included.
    """

    pack: str
    product: Product
    purpose: str
    recipients: tuple[str, ...]
    population: str
    window_days: int
    ttl_days: int
    segment: tuple[Condition, ...]
    recode: tuple[Recode, ...]
    columns: tuple[Column, ...]
    guarantee: Guarantee
    sha256: str
    path: Path
    title: Mapping[str, str] = field(default_factory=dict)
    max_cells_per_person: int = 1
    measures: tuple[Measure, ...] = ()
    noise: Literal["laplace", "gaussian"] = "laplace"
    keys: Literal["public", "thresholded"] = "public"

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        """Names of the columns that an attacker may know of a person."""
        return tuple(c.name for c in self.columns if c.role == "quasi_identifier")

    @property
    def sensitive(self) -> tuple[str, ...]:
        """Names of the columns that nobody should learn of a person."""
        return tuple(c.name for c in self.columns if c.role == "sensitive")

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of all columns but the measures: the whole tuple, or a cell's key."""
        return tuple(c.name for c in self.columns if c.role != "measure")


@dataclass(frozen=True)
class AttackResult:
    """What one attack reached on a candidate: it `passed` when `value` kept within `gate`.

    `detail` holds counts and names of columns only, never a value of the data.
    """

    id: str
    value: float
    gate: float
    passed: bool
    detail: str = ""


class Redo(Protocol):
    """Builds the candidate's cells again, by the builder's own code, into a scratch table."""

    def __call__(
        self,
        table: str,
        *,
        without: Collection[str] = (),
        coins: bytes | None = None,
        planted: bool = False,
        filtered: bool = False,
    ) -> None:
        """Write `table` in the context's connection, replacing it.

        A rows pack: key columns and `cell_rows`, one row a cell that has k sampled persons. A
        counts pack: key columns, `persons` and the measures' exact sums after bounding and
        clamping, before any noise.

        Args:
            table: a name not used in the context.
            without: person_ids to leave out, hundreds at once.
            coins: the sampling key; the candidate's own when None.
            planted: whether the canaries that are eligible stand among the persons too.
            filtered: of a rows pack, only what l, alpha and t leave too: the file's cells.
        """


class Rewrite(Protocol):
    """Writes the candidate's data files once more from what was drawn."""

    def __call__(self, folder: Path) -> Mapping[str, str]:
        """Write into the empty `folder`; returns file name → SHA-256."""


@dataclass(frozen=True)
class AttackContext:
    """All that an attacker is given: far more than anybody outside has.

    Tables of `connection` (in memory, gone after the gate):

    - `population`: rows packs: one row an eligible person in the segment, `person_id` (one name
      per person, of this build) and every key column recoded as the file has it. Counts packs:
      one row a person and cell **before** bounding: `person_id`, key columns, measures unclamped.
    - `bounded`: counts packs only: `population` after bounding and clamping.
    - `released`: the rows, or cells with noisy measures, exactly as read back from the file.
    - `known_ids` (kind, id): ids and direct identifiers as text, of every kind the raw logs hold.
    - `canaries` (person_id, kind, planted_text, is_eligible): planted persons. Those that are
      not eligible stood in the table that the candidate was built from.
    - `ledger`: the rows of the release ledger of this population, in order of `seq`.

    Args:
        spec: the compiled definition.
        version: the candidate's.
        folder: the candidate's files.
        previous: folders of earlier released versions and packs of the same population.
        redo: builds cells again.
        rewrite: writes the files again.
        secrets: bytes that must stand in no file, raw or as hex: the coin key, the HMAC key.
    """

    connection: duckdb.DuckDBPyConnection
    spec: PackSpec
    version: int
    folder: Path
    previous: list[Path]
    redo: Redo
    rewrite: Rewrite
    secrets: tuple[bytes, ...] = ()
