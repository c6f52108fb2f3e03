"""How fast the simulator writes: `python -m benchmarks.simulator [--persons N] [--days D]`.

Prints records a second of wall time and of CPU time, and the peak resident memory. The bar:
one million records in at most 60 s.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from simulator import SimulatorConfig, simulate


def main() -> None:
    """Simulate into a temporary folder and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=6000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--activity", type=float, default=1.0)
    arguments = parser.parse_args()
    config = SimulatorConfig(
        persons=arguments.persons, days=arguments.days, activity=arguments.activity
    )
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        report = simulate(config, Path(folder) / "landing", Path(folder) / "truth")
        cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"records        {report.lines:>12,}  in {report.files} files, {report.bytes:,} bytes")
    print(
        f"wall           {report.seconds:>12.1f} s  {report.lines / report.seconds:,.0f} records/s"
    )
    print(f"cpu            {cpu:>12.1f} s  {report.lines / cpu:,.0f} records/s")
    print(f"per million    {1e6 * report.seconds / report.lines:>12.1f} s wall (bar: 60)")
    print(f"peak memory    {peak:>12.0f} MB")


if __name__ == "__main__":
    main()
