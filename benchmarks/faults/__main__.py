"""Which gate sees which fault: `python -m benchmarks.faults [--only GLOB]`.

Builds one clean warehouse, puts each fault in alone at a small and a large rate, and goes through
the gates until one sees it. `--set NAME` takes `benchmarks/faults/NAME_set.py`; sets are scored
apart. `--clean` counts false alarms on clean platforms instead. Ends with 1 when a fault was
missed, came late or could not be put in, or a clean platform raised an alarm.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks.faults.clean import run_clean
from benchmarks.faults.fault import RATES, Fault, Result
from benchmarks.faults.report import as_json, as_markdown, in_time, scores
from benchmarks.faults.run import Bench


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--set", default="first")
    parser.add_argument("--only", default="*", help="a glob over fault ids")
    parser.add_argument("--rate", choices=[*RATES, "both"], default="both")
    parser.add_argument("--out", type=Path, help="write the page here")
    parser.add_argument("--json", type=Path, help="write every result here")
    parser.add_argument("--world", type=Path, help="keep the clean warehouse here")
    parser.add_argument("--deep", action="store_true", help="follow a missed fault to the end")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--persons", type=int, default=600)
    parser.add_argument("--days", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.clean:
        sys.exit(_clean(arguments.seeds, arguments.persons, arguments.days))
    faults = [
        fault for fault in load_set(arguments.set) if fnmatch.fnmatch(fault.id, arguments.only)
    ]
    rates = RATES if arguments.rate == "both" else (arguments.rate,)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments.world or Path(folder), deep=arguments.deep)
        results = bench.run(faults, rates, _tell)
    seconds = time.monotonic() - started
    print(json.dumps(scores(results)))
    if arguments.json:
        text = json.dumps(as_json(arguments.set, results), ensure_ascii=False, indent=1)
        arguments.json.write_text(text, encoding="utf-8")
    if arguments.out:
        head = (
            "# Faults\n\nWritten by `python -m benchmarks.faults --out docs/faults.md`. Every kind"
            " of fault is put alone into a clean simulated warehouse, at a small and at a large"
            " rate; the first stage that sees it is named. `reported` is what ingestion itself"
            " names: rejected lines, quarantined files, fields outside the contract. How a gate"
            " works is in [quality.md](quality.md).\n\n"
        )
        arguments.out.write_text(
            head + as_markdown(arguments.set, results, seconds), encoding="utf-8"
        )
    sys.exit(0 if all(map(in_time, results)) else 1)


def load_set(name: str) -> list[Fault]:
    """The faults of `benchmarks/faults/<name>_set.py`. Raises ValueError for ids used twice."""
    faults: list[Fault] = import_module(f"benchmarks.faults.{name}_set").FAULTS
    ids = [fault.id for fault in faults]
    twice = sorted({fault_id for fault_id in ids if ids.count(fault_id) > 1})
    if twice:
        raise ValueError(f"{name}: more than one fault is called {', '.join(twice)}")
    return faults


def _tell(result: Result) -> None:
    mark = "ok " if in_time(result) else "!! "
    said = result.error or ", ".join(finding.rule for finding in result.findings[:3])
    print(
        f"{mark}{result.fault.id:<32} {result.rate:<6} {result.fault.stage:<13}"
        f" {result.outcome:<9} {result.seconds:5.1f} s  {said}",
        flush=True,
    )


def _clean(seeds: int, persons: int, days: int) -> int:
    alarms = 0
    for run in run_clean(seeds, persons, days):
        alarms += len(run.alarms)
        print(f"seed {run.seed}: {len(run.alarms)} alarms {', '.join(run.alarms)}")
        print(f"         meant to warn: {', '.join(run.intended)}", flush=True)
    return 1 if alarms else 0


if __name__ == "__main__":
    main()
