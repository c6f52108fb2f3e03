"""Fuzz every reader and converter, and say what came of it.

    python -m benchmarks.fuzz --seconds 600 [--only convert/slack] [--seed 1] [--save folder]

Each reader runs in a process of its own, so that a crash or a hang of one is a finding and not
the end. Exits 1 on a finding, whose smallest input is then in the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzz.readers import readers
from benchmarks.fuzz.run import Tally, main

PATIENCE = 600.0
"""Seconds that a process may be late, after twenty times its share, until it counts as hanging."""


def _share(name: str, seconds: float, first_seed: int, save: Path) -> Tally:
    with tempfile.TemporaryDirectory(prefix="tandem-fuzz-") as folder:
        out = Path(folder)
        command = [sys.executable, "-m", "benchmarks.fuzz", "--child", name]
        command += ["--seconds", str(seconds), "--seed", str(first_seed), "--save", folder]
        why = ""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=20 * seconds + PATIENCE,
                check=False,
            )
            if done.returncode:
                why = f"the process died ({done.returncode}): {done.stderr[-500:]}"
        except subprocess.TimeoutExpired:
            why = "the process hangs, deaf to its alarm"
        found = out / "tally.json"
        tally = Tally(name)
        if not why and found.exists():
            tally = Tally(**json.loads(found.read_text()))
        else:
            tally.findings, tally.finding = 1, why or "the process left no tally"
        failing = next(
            (out / part for part in ("failing", "current") if (out / part).exists()), None
        )
        if tally.findings and failing is not None:
            target = save / name.replace("/", "-").replace(" ", "-")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(failing, target)
            (save / f"{target.name}.txt").write_text(f"{tally.finding}\n")
        return tally


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="of CPU, for all readers together"
    )
    parser.add_argument("--only", action="append", help="a reader's name, or how it begins")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run() -> int:
    asked = _arguments()
    if asked.child:
        main(asked.child, asked.seconds, asked.seed, asked.save)
        return 0
    wanted = {
        name: reader
        for name, reader in readers().items()
        if not asked.only or any(name.startswith(start) for start in asked.only)
    }
    if not wanted:
        print(f"no such reader; there are {', '.join(readers())}", file=sys.stderr)
        return 2
    asked.save.mkdir(parents=True, exist_ok=True)
    weights = sum(reader.weight for reader in wanted.values())
    print(f"{'reader':22} {'inputs':>7} {'rejected':>8} {'findings':>8} {'slowest':>8} {'peak':>8}")
    failed = False
    spent = 0.0
    for name, reader in wanted.items():
        tally = _share(name, asked.seconds * reader.weight / weights, asked.seed, asked.save)
        print(
            f"{name:22} {tally.inputs:>7,} {tally.rejected:>8,} {tally.findings:>8} "
            f"{tally.slowest:>6.2f} s {tally.megabytes:>5.0f} MB",
            flush=True,
        )
        spent += tally.seconds
        if tally.findings:
            failed = True
            print(f"    {tally.finding[:400]!r}", flush=True)
    print(f"{spent:,.0f} s of CPU, seed {asked.seed}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(_run())
