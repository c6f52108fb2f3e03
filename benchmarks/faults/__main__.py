"""Which gate sees which fault: `python -m benchmarks.faults [--only GLOB]`.

Builds one clean warehouse, puts each fault in alone at a small and a large rate, and goes through
the gates until one sees it. `--set NAME` takes `benchmarks/faults/NAME_set.py`; sets are scored
apart. `--clean` counts false alarms on clean, growing platforms instead, day by day: the seed of
`--daily-seed` has a whole build every day, the others one in `--build-every`. Ends with 1 when a
fault was missed, came late or could not be put in, or a clean platform raised an alarm.
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
from types import ModuleType

from benchmarks.faults.clean import as_page, run_clean
from benchmarks.faults.fault import RATES, Fault, Result
from benchmarks.faults.pages import keep_first_run, page_of
from benchmarks.faults.report import as_json, in_time, scores
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
    parser.add_argument("--keep-first", action="store_true", help="keep this as the first run")
    parser.add_argument("--deep", action="store_true", help="follow a missed fault to the end")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--persons", type=int, default=600)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--growth", type=float, default=2.0)
    parser.add_argument("--build-every", type=int, default=7)
    parser.add_argument("--daily-seed", type=int, default=1)
    parser.add_argument("--results", type=Path, help="keep each clean seed's outcome here")
    arguments = parser.parse_args()
    if arguments.clean:
        sys.exit(_clean(arguments))
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
    if arguments.keep_first:
        keep_first_run(arguments.set, results, getattr(_module(arguments.set), "REPAIRED", {}))
    if arguments.out:
        reasons = getattr(_module(arguments.set), "NOT_IN_THE_DATA", {})
        page = page_of(arguments.set, results, seconds, reasons)
        arguments.out.write_text(page, encoding="utf-8")
    sys.exit(0 if all(map(in_time, results)) else 1)


def load_set(name: str) -> list[Fault]:
    """The faults of `benchmarks/faults/<name>_set.py`. Raises ValueError for ids used twice."""
    faults: list[Fault] = _module(name).FAULTS
    ids = [fault.id for fault in faults]
    twice = sorted({fault_id for fault_id in ids if ids.count(fault_id) > 1})
    if twice:
        raise ValueError(f"{name}: more than one fault is called {', '.join(twice)}")
    return faults


def _module(name: str) -> ModuleType:
    return import_module(f"benchmarks.faults.{name}_set")


def _tell(result: Result) -> None:
    mark = "ok " if in_time(result) else "!! "
    said = result.error or ", ".join(finding.rule for finding in result.findings[:3])
    print(
        f"{mark}{result.fault.id:<32} {result.rate:<6} {result.fault.stage:<13}"
        f" {result.outcome:<9} {result.seconds:5.1f} s  {said}",
        flush=True,
    )


def _clean(arguments: argparse.Namespace) -> int:
    runs = run_clean(
        arguments.seeds,
        arguments.persons,
        arguments.days,
        arguments.growth,
        lambda seed: 1 if seed == arguments.daily_seed else arguments.build_every,
        lambda line: print(line, flush=True),
        arguments.results,
    )
    if arguments.out:
        page = as_page(runs, arguments.persons, arguments.days)
        arguments.out.write_text(page, encoding="utf-8")
    for run in runs:
        print(f"seed {run.seed}: {run.seconds:.0f} s, {sum(map(len, run.alarms.values()))} alarms")
        print(f"  meant to warn: {', '.join(sorted(run.intended))}", flush=True)
    return 1 if any(run.alarms for run in runs) else 0


if __name__ == "__main__":
    main()
