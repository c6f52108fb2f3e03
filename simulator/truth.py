"""What was put into the logs, kept beside them for the tests that ask whether it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Truth:
    """Tables (Parquet) and facts (one JSON file), gathered while the logs are made.

    docs/simulator.md lists them.
    """

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}
        self.facts: dict[str, Any] = {}

    def table(self, name: str, **columns: Any) -> None:
        """Set a table, or append to the one of that name."""
        table = pa.table({key: pa.array(value) for key, value in columns.items()})
        if name in self.tables:
            table = pa.concat_tables([self.tables[name], table])
        self.tables[name] = table

    def fact(self, name: str, value: Any) -> None:
        """Set a fact that JSON can hold."""
        self.facts[name] = value

    def write(self, folder: Path) -> None:
        """Write `<folder>/<table>.parquet` and `<folder>/facts.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
        text = json.dumps(self.facts, indent=2, ensure_ascii=False, default=_plain)
        (folder / "facts.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
