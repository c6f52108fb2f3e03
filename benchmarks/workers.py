"""What runs inside a measured process: `python -m benchmarks.workers <work> …`.

Prints one JSON object of further figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> None:
    """Do one piece of work and print what there is to say of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=sorted(_WORKS))
    parser.add_argument("--landing", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--prepared", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--persons", type=int)
    parser.add_argument("--days", type=int)
    given = parser.parse_args(arguments)
    for folder in (given.home, given.output):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(_WORKS[given.work](given)))


def _simulate(given: argparse.Namespace) -> dict[str, Any]:
    from simulator import SimulatorConfig, simulate

    report = simulate(SimulatorConfig(persons=given.persons, days=given.days), given.landing)
    return {"lines": report.lines, "files": report.files, "bytes": report.bytes}


def _load(given: argparse.Namespace) -> dict[str, Any]:
    from orchestration.ingest import ingest
    from orchestration.settings import load_settings

    report = ingest(load_settings(home=given.home, landing=given.landing))
    return {"accepted": sum(log.accepted for log in report.totals.values())}


def _bare_load(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.bare import load
    from orchestration.ingest.tables import create_tables
    from orchestration.settings import load_settings
    from orchestration.warehouse import open_warehouse

    with open_warehouse(load_settings(home=given.home)) as connection:
        create_tables(connection)
        load(connection, given.landing)
    return {}


def _bare_build(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.bare import build
    from orchestration.settings import load_settings

    return build(load_settings(home=given.home), given.landing, given.prepared)


def _rules(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rules import judge
    from orchestration.settings import load_settings

    return judge(load_settings(home=given.home))


def _prepare(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.bare import prepare

    prepare(given.home)
    return {}


def _dlt_rows(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rivals.dlt_load import load_rows

    return load_rows(given.landing, given.home)


def _dlt_arrow(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rivals.dlt_load import load_arrow

    return load_arrow(given.landing, given.home)


def _pandas(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rivals.pandas_pipeline import run

    return run(given.landing, given.output)


def _polars(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rivals.polars_pipeline import run

    return run(given.landing, given.output)


def _spark(given: argparse.Namespace) -> dict[str, Any]:
    import subprocess
    import tempfile

    from benchmarks.rivals import spark_local_path, unpack_zstd
    from orchestration.plan import DBT_PROJECT

    currencies = DBT_PROJECT / "seeds" / "currencies.csv"
    with tempfile.TemporaryDirectory(dir=given.output) as folder:
        unpack_zstd(given.landing, Path(folder))
        command = [given.python, spark_local_path(), folder, given.output, currencies]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _tandem_five(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.rivals.tandem_five import run

    return run(given.landing, given.home)


_WORKS = {
    "simulate": _simulate,
    "load": _load,
    "bare-load": _bare_load,
    "bare-build": _bare_build,
    "rules": _rules,
    "prepare": _prepare,
    "dlt-rows": _dlt_rows,
    "dlt-arrow": _dlt_arrow,
    "pandas": _pandas,
    "polars": _polars,
    "spark": _spark,
    "tandem-five": _tandem_five,
}

if __name__ == "__main__":
    main(sys.argv[1:])
