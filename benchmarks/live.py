"""How soon the live board shows a file: `python -m benchmarks.live [--persons N] [--repeat R]`.

Simulates a platform and builds it, then lets files of `--lines` events arrive one after the
other, each followed by `tandem build --live` as a user would run it, a whole process. Prints the
median time from a file's rename to the published board, and of each stage. The bar: 15 s at 5 M
records on two cores. The defaults give 1 M records; 27,000 persons give 5 M.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from simulator import SimulatorConfig, simulate

ACTIONS = ("read", "like", "comment", "click", "search")


def main() -> None:
    """Build, let the files arrive, and print medians and spreads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--persons", type=int, default=5_400)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        config = SimulatorConfig(persons=arguments.persons, days=arguments.days)
        report = simulate(config, home / "landing")
        print(f"records: {report.lines:,} in {report.files} files", flush=True)
        tandem(home, "build")
        measure(home, arguments.lines, arguments.repeat)


def measure(home: Path, lines: int, repeat: int) -> None:
    """Let `repeat` files arrive in a home that was built; print what each cost."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(repeat):
        arrive(home, lines, f"{time.time_ns()}")
        started = time.perf_counter()
        done = tandem(home, "build", "--live")
        seconds["whole process"].append(time.perf_counter() - started)
        if done["state"] != "published":
            sys.exit(f"live build {number} is {done['state']}")
        for stage in done["stages"]:
            seconds[stage["stage"]].append(stage["seconds"])
    for name, values in seconds.items():
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name:<18} {statistics.median(values):8.2f} s  {spread}", flush=True)


def arrive(home: Path, lines: int, name: str) -> None:
    """Land a file of events of known accounts, in the five minutes after the board's last."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{home / 'serving' / 'marts.duckdb'}' as served (read_only)")
        accounts = connection.execute(
            "select source, id from served.dim.identities where id_kind = 'account' order by all"
        ).fetchall()
        (newest,) = connection.execute(
            "select max(five_minute_start) + interval 5 minute from served.engagement.live_board"
        ).fetchone() or (datetime.now(UTC),)
    records = []
    for number in range(lines):
        source, account = accounts[number % len(accounts)]
        occurred_at = newest + timedelta(seconds=300 * number / lines)
        records.append(
            {
                "source": source,
                "event_id": f"live-{name}-{number}",
                "account_id": account,
                "event_type": ACTIONS[number % len(ACTIONS)],
                "occurred_at": f"{occurred_at.isoformat(timespec='microseconds')}Z",
            }
        )
    folder = home / "landing" / "community" / "events" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.jsonl.part"
    part.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    part.rename(folder / f"{name}.jsonl")


def tandem(home: Path, *arguments: str) -> dict[str, Any]:
    """Run `tandem` in a process of its own and return what it printed; exits when it fails."""
    done = subprocess.run(
        [Path(sys.executable).with_name("tandem"), *arguments, "--json"],
        env=os.environ | {"TANDEM_HOME": str(home)},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"tandem {' '.join(arguments)}: {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
