"""One reader in a process of its own, for some seconds, until a finding or the end."""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.fuzz.judge import FindingError, judge, write
from benchmarks.fuzz.readers import Reader, readers
from benchmarks.fuzz.strategies import Files

ROUND = 100
"""Inputs of one hypothesis run; each has its own seed."""
ADDRESS_BYTES = 6 << 30
"""What a reader's process may map, so that a bomb ends it and not the machine."""


@dataclass
class Tally:
    """What came of one reader's inputs."""

    reader: str
    inputs: int = 0
    rejected: int = 0
    findings: int = 0
    slowest: float = 0.0
    megabytes: float = 0.0
    finding: str = ""
    seconds: float = 0.0


def fuzz(
    reader: Reader,
    seconds: float,
    first_seed: int,
    scratch: Path | None = None,
    keep: Callable[[Files], None] | None = None,
) -> tuple[Tally, Files | None]:
    """Run rounds of inputs for so much CPU time; the smallest failing input, if there is one.

    `keep` is given each input before it is read: what a process that dies leaves behind.
    """
    tally = Tally(reader.name)
    deadline = time.process_time() + seconds
    started = time.process_time()
    smallest: Files | None = None
    number = 0
    while time.process_time() < deadline and not tally.findings:
        last: list[tuple[Files, FindingError]] = []

        def examine(files: Files, last: list[tuple[Files, FindingError]] = last) -> None:
            if time.process_time() > deadline and not last:
                return
            if keep is not None:
                keep(files)
            try:
                outcome = judge(files, reader.run, scratch)
            except FindingError as problem:
                last[:] = [(files, problem)]
                raise
            tally.inputs += 1
            tally.rejected += not outcome.accepted
            tally.slowest = max(tally.slowest, outcome.seconds)
            tally.megabytes = max(tally.megabytes, outcome.megabytes)

        run = given(reader.inputs)(examine_of(examine))
        run = settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            derandomize=False,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(run)
        run = seed(first_seed * 100_003 + number)(run)
        try:
            run()
        except BaseException:
            if not last:
                raise
            smallest, finding = last[0]
            tally.findings = 1
            tally.finding = str(finding)
        number += 1
    tally.seconds = time.process_time() - started
    return tally, smallest


def examine_of(examine: Callable[[Files], None]) -> Callable[..., None]:
    """A function with one argument that hypothesis may name."""

    def inner(files: Files) -> None:
        examine(files)

    return inner


def main(name: str, seconds: float, first_seed: int, out: Path) -> None:
    """The process of one reader: writes its tally, and a failing input, below `out`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    reader = readers()[name]
    current = out / "current"

    def keep(files: Files) -> None:
        shutil.rmtree(current, ignore_errors=True)
        write(current, files)

    with tempfile.TemporaryDirectory(dir=out) as scratch:
        tally, smallest = fuzz(reader, seconds, first_seed, Path(scratch), keep)
    shutil.rmtree(current, ignore_errors=True)
    if smallest is not None:
        write(out / "failing", smallest)
    (out / "tally.json").write_text(json.dumps(asdict(tally)))
