"""k, l and t of released rows packs by an independent library, pycanon, against Tandem's own.

pycanon pins numpy and pandas exactly, so it lives in an environment of its own:

    python -m venv /tmp/pycanon && /tmp/pycanon/bin/pip install pycanon==1.3.6 pyarrow
    /tmp/pycanon/bin/python benchmarks/crosscheck_pycanon.py exports/<pack>/v001 …

This file imports nothing of Tandem. For each folder it prints what pycanon finds beside what the
manifest promises: k over the whole tuple, and l, alpha and t of each sensitive column over the
others. Exit code 1 where a promise does not hold. pycanon's t of a text column is half the sum of
absolute differences, the total variation distance that Tandem uses. Its figures for a tiny table
are the fixed expectations of `tests/unit/audience/test_pack_crosscheck.py`; `--tiny` prints them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from pycanon import anonymity  # type: ignore[import-not-found]

TINY = {
    "region": ["n"] * 6 + ["s"] * 5 + ["w"] * 4,
    "age": ["a", "a", "a", "b", "b", "b", "a", "a", "a", "a", "a", "b", "b", "b", "b"],
    "topic": ["x", "y", "z", "x", "x", "y", "x", "x", "y", "y", "z", "z", "z", "z", "y"],
}


def main() -> int:
    """Compare every folder given; 1 when pycanon finds less than a manifest promises."""
    if sys.argv[1:] == ["--tiny"]:
        print(figures(pd.DataFrame(TINY), ["region", "age"], ["topic"]))
        return 0
    failed = False
    for folder in map(Path, sys.argv[1:]):
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        table = pd.read_parquet(folder / "rows.parquet")
        found = figures(table, manifest["quasi_identifiers"], manifest["sensitive"])
        promised = manifest["guarantee"]
        holds = found["k"] >= promised["k"] and all(
            found["l"][name] >= promised["l"]
            and found["alpha"][name] <= promised["alpha"] + 1e-9
            and found["t"][name] <= promised["t"] + 1e-9
            for name in manifest["sensitive"]
        )
        failed |= not holds
        print(f"{folder}: {found}, promised {promised}: {'holds' if holds else 'DOES NOT HOLD'}")
    return int(failed)


def figures(table: pd.DataFrame, known: list[str], sensitive: list[str]) -> dict[str, Any]:
    """The whole tuple's k; each sensitive column's l, alpha and t in classes of `known`."""
    return {
        "k": int(anonymity.k_anonymity(table, [*known, *sensitive])),
        "l": {name: int(anonymity.l_diversity(table, known, [name])) for name in sensitive},
        "alpha": {
            name: round(float(anonymity.alpha_k_anonymity(table, known, [name])[0]), 6)
            for name in sensitive
        },
        "t": {
            name: round(float(anonymity.t_closeness(table, known, [name])), 6) for name in sensitive
        },
    }


if __name__ == "__main__":
    sys.exit(main())
