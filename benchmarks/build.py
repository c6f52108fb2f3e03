"""What a build costs: `python -m benchmarks.build [--persons N] [--days D] [--repeat R]`.

Simulates a platform, then runs `tandem build` as a user would, as whole processes:
- full: an empty home, everything from the landing files;
- unchanged: the same again, with nothing new (bar: at most 10 % of full);
- one more day: the last simulated day's files arrive after all others were built.
Each figure is the median of `--repeat` runs with its spread. The defaults give 5 M records.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from simulator import Dirt, SimulatorConfig, simulate


def main() -> None:
    """Run the three kinds of build and print their times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--persons", type=int, default=27_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / "landing"
        config = SimulatorConfig(
            persons=arguments.persons, days=arguments.days, dirt=Dirt(late=0.0)
        )
        report = simulate(config, landing)
        late = held_back(landing, config.end_date)
        print(f"records: {report.lines:,} in {report.files} files", flush=True)
        full, unchanged, one_more = [], [], []
        for number in range(arguments.repeat):
            home = Path(folder) / f"home{number}"
            full.append(build(home, landing))
            unchanged.append(build(home, landing))
            release(late)
            one_more.append(build(home, landing))
            late = held_back(landing, config.end_date)
            shutil.rmtree(home)
        line("full build", full, full)
        line("unchanged build", unchanged, full)
        line("last files arrive", one_more, full)


def build(home: Path, landing: Path) -> float:
    """Seconds of one `tandem build` process. Raises CalledProcessError when it fails."""
    environment = os.environ | {"TANDEM_HOME": str(home), "TANDEM_LANDING": str(landing)}
    started = time.perf_counter()
    done = subprocess.run(
        [Path(sys.executable).with_name("tandem"), "build", "--json"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"tandem build failed with {done.returncode}: {done.stderr[-2000:]}")
    json.loads(done.stdout)
    return seconds


def held_back(landing: Path, end_date: date) -> list[Path]:
    """Hide the last event and message files of each source, as if they had not arrived yet."""
    hidden = []
    for log in ("community/events", "group/messages"):
        for path in sorted((landing / log).rglob(f"{end_date.isoformat()}*")):
            target = path.with_name(f"_{path.name}")
            path.rename(target)
            hidden.append(target)
    return hidden


def release(hidden: list[Path]) -> None:
    """Let the hidden files arrive."""
    for path in hidden:
        path.rename(path.with_name(path.name.removeprefix("_")))


def line(name: str, seconds: list[float], base: list[float]) -> None:
    """Print one figure: median, spread and its ratio to the full build."""
    median = statistics.median(seconds)
    ratio = statistics.median(a / b for a, b in zip(seconds, base, strict=True))
    print(
        f"{name:<18} {median:8.1f} s  ({min(seconds):.1f} to {max(seconds):.1f})"
        f"  {100 * ratio:6.1f} % of full",
        flush=True,
    )


if __name__ == "__main__":
    main()
