"""Measure everything on this machine: `python -m benchmarks`, then `python -m benchmarks report`.

A run writes a record for each measurement and the page docs/benchmarks.md from all of them. It
can be stopped and goes on where it was. `report` only writes the page.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.measured import BenchmarkError, Results
from benchmarks.page import write_page
from benchmarks.parts import PARTS, Options
from benchmarks.platforms import events_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
DEFAULT_PARTS = ("cold", "load", "build", "rivals", "incremental")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for and write the page; 1 when a measured process failed."""
    given = _parser().parse_args(arguments)
    results = Results(given.results)
    status = 0
    if given.command == "run":
        options = Options(
            results=results,
            sizes=given.sizes,
            rounds=given.rounds,
            history=given.history,
            days=given.days,
            spark_python=given.spark_python,
            only=given.only,
        )
        for name, part in PARTS.items():
            if name in given.only:
                try:
                    part(options)
                except BenchmarkError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    status = 1
    write_page(results.all(), given.docs)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "report"], default="run")
    home = Path(os.environ.get("TANDEM_HOME", ".tandem"))
    parser.add_argument(
        "--results", type=Path, default=home / "benchmarks", help="where records are kept"
    )
    parser.add_argument(
        "--sizes", type=_sizes, default=["1M", "5M", "20M"], help="numbers of events, by commas"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        type=_parts,
        default=list(DEFAULT_PARTS),
        help=f"parts, by commas: {', '.join(PARTS)}; by default all but data and year",
    )
    parser.add_argument(
        "--history", type=_size, default="5M", help="events in 181 days, for the incremental part"
    )
    parser.add_argument("--days", type=int, default=365, help="daily builds of the year")
    parser.add_argument("--spark-python", type=Path, help="a Python that has PySpark")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page is written")
    return parser


def _size(text: str) -> str:
    try:
        events_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 300k or 5M") from None
    return text


def _sizes(text: str) -> list[str]:
    return [_size(part) for part in text.split(",")]


def _parts(text: str) -> list[str]:
    found = text.split(",")
    for part in found:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is no part; known are {', '.join(PARTS)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
