"""A short, always equal share of `python -m benchmarks.fuzz`, and that its judge is not blind."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzz import judge as judging
from benchmarks.fuzz.judge import FindingError, judge
from benchmarks.fuzz.readers import Reader, readers
from benchmarks.fuzz.strategies import CANARY
from orchestration.errors import TandemError

DEAR = ("ingest", "replay", "dashboard", "packs/definition")
"""Readers whose inputs cost a tenth of a second and more."""


@pytest.mark.parametrize("reader", readers().values(), ids=list(readers()))
def test_hostile_files_are_refused_or_read(reader: Reader, tmp_path: Path) -> None:
    most = 3 if reader.name.startswith(DEAR) else 12

    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs)
    def run(files: dict[str, bytes]) -> None:
        judge(files, reader.run, tmp_path)

    run()


def test_the_judge_sees_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    monkeypatch.setattr(judging, "MEGABYTES", 60)

    def crash(_: Path) -> None:
        raise KeyError("x")

    def leak(_: Path) -> None:
        raise TandemError(f"bad name {CANARY}")

    def log(_: Path) -> None:
        logging.getLogger("x").warning("odd: %s", CANARY)

    def talk(_: Path) -> None:
        raise TandemError("x" * 10_000)

    def spin(_: Path) -> None:
        while time.process_time() >= 0:
            pass

    def grow(_: Path) -> None:
        bytearray(120 << 20)

    def litter(_: Path) -> None:
        import tempfile

        tempfile.mkdtemp()

    found = []
    for run in (crash, leak, log, talk, spin, grow, litter):
        with pytest.raises(FindingError) as caught:
            judge({}, run, tmp_path)
        found.append(str(caught.value).partition(":")[0])
    assert found[0] == "KeyError"
    assert found[1:4] == [
        "the error repeats the data",
        "a log line or the output repeats the data",
        "the error has 10000 characters",
    ]
    assert found[4] == "still running after 0.2 s of CPU"
    assert found[5].startswith("grew by")
    assert found[6] == "temporary files left behind"

    def refuse(_: Path) -> None:
        raise TandemError("a word")

    assert judge({"a": b""}, refuse, tmp_path).accepted is False
    assert judge({"a": b""}, lambda _: None, tmp_path).accepted is True
