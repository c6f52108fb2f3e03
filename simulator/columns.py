"""From numpy arrays to the columns of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NEVER: Final = np.iinfo(np.int64).max
"""A time that does not come; a null in the files."""


def ids(prefix: str, numbers: Ints) -> pa.Array:
    """Ids as text, `<prefix><number>`; null where the number is negative."""
    texts = pa.array(numbers, mask=numbers < 0).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), texts, "") if prefix else texts


def picked(values: Sequence[str] | pa.Array, index: Ints) -> pa.Array:
    """`values[index]` as text; null where the index is negative."""
    texts = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    return texts.take(pa.array(index, pa.int64(), mask=index < 0))


def integers(values: Ints) -> pa.Array:
    """Integers; null where negative."""
    return pa.array(values, pa.int64(), mask=values < 0)


def times(values: Ints) -> pa.Array:
    """UTC times; null where NEVER."""
    return pa.array(values, pa.timestamp("us"), mask=values == NEVER)


def flags(values: Bools) -> pa.Array:
    """Booleans."""
    return pa.array(values)


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """Owner and ordinal of each item, when owner i has counts[i] items."""
    owner = np.repeat(np.arange(len(counts)), counts)
    ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, ordinal


def choose(rng: np.random.Generator, weights: Sequence[float] | Floats, count: int) -> Ints:
    """`count` indexes drawn with the given weights."""
    cdf = np.cumsum(np.asarray(weights, dtype=np.float64))
    drawn: Ints = np.searchsorted(cdf, rng.random(count) * cdf[-1], side="right")
    return np.minimum(drawn, len(cdf) - 1)


def earlier_first(values: Ints) -> Ints:
    """A stable order of times."""
    return np.argsort(values, kind="stable")


class Store:
    """Columns of integers that grow by appending.

    Reading `store["name"]` gives a view of the rows there are.
    """

    def __init__(self, *names: str) -> None:
        self._columns: dict[str, Ints] = {name: np.zeros(1024, np.int64) for name in names}
        self.rows = 0

    def append(self, **values: Any) -> Ints:
        """Add rows (arrays, or scalars beside them); returns their numbers."""
        count = max(np.size(value) for value in values.values() if np.ndim(value)) if values else 0
        rows = np.arange(self.rows, self.rows + count)
        for name, column in self._columns.items():
            if self.rows + count > len(column):
                grown = np.zeros(2 * (self.rows + count), np.int64)
                grown[: self.rows] = column[: self.rows]
                self._columns[name] = column = grown
            column[rows] = values[name]
        self.rows += count
        return rows

    def __getitem__(self, name: str) -> Ints:
        return self._columns[name][: self.rows]
