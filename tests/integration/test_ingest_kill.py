"""Killed at any moment, run again: as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import TandemError
from orchestration.ingest import ingest, load, replay_quarantine
from orchestration.settings import Settings
from tests.unit.ingest.landing_files import (
    EVENTS,
    WRITERS,
    counts,
    event,
    put,
    query,
    rejected,
    rows,
    settings_at,
)

CODE = """
import os
import sys
from orchestration.ingest import ingest, load
from tests.unit.ingest.landing_files import settings_at
from pathlib import Path
load.BATCH_FILES = 3
load._SETTLED_APART = int(sys.argv[2])
if sys.argv[3:]:
    load.settle = lambda *_: os._exit(9)
print("start", flush=True)
ingest(settings_at(Path(sys.argv[1])))
"""


def _fill(settings: Settings) -> None:
    rng = random.Random(7)
    for number in range(12):
        suffix = ["jsonl.zst", "csv", "parquet", "jsonl"][number % 4]
        records: list[dict[str, Any]] = [
            event(
                rng.randrange(20_000),
                topic=f"t{rng.randrange(5)}",
                received_at=f"2026-05-{rng.randrange(1, 29):02}T00:00:00Z",
                dwell_ms=rng.choice([1, 2, 3, None, -1 if rng.random() < 0.01 else 4]),
            )
            for _ in range(3000)
        ]
        put(settings, EVENTS, f"f{number:02}.{suffix}", WRITERS[suffix](records))


def _outcome(settings: Settings) -> Any:
    replaced = query(settings, "select log, source, id from control.replaced order by all")
    return rows(settings, EVENTS), counts(settings), rejected(settings), replaced


def _start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(home), *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("apart", ["0", "250000"])
def test_a_kill_at_any_moment_leaves_all_or_nothing_of_a_batch(tmp_path: Path, apart: str) -> None:
    calm, killed = settings_at(tmp_path / "calm"), settings_at(tmp_path / "killed")
    for settings in (calm, killed):
        _fill(settings)
    ingest(calm)
    rng = random.Random(3)
    kills = 0
    for attempt in range(6):
        process = _start(tmp_path / "killed", apart)
        time.sleep(0.1 + attempt * 0.35 + rng.random() * 0.4)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if killed.warehouse_path.exists():
            ids = query(killed, "select count(*) from information_schema.tables")
            assert ids
    assert kills
    ingest(killed)
    raw, ledger, quarantine, _ = _outcome(killed)
    assert (raw, ledger, quarantine) == _outcome(calm)[:3]
    sums = "select sum(accepted), sum(lines_read) from control.files"
    assert query(killed, sums) == query(calm, sums)
    assert (
        query(killed, "select count(*) from raw.community__events")[0]
        == (query(killed, "select cast(sum(accepted) as bigint) from control.files")[0])
    )


@pytest.mark.parametrize("is_replayed_first", [False, True])
def test_what_a_kill_before_settling_leaves_goes_with_the_next_run(
    tmp_path: Path, is_replayed_first: bool
) -> None:
    calm, killed = settings_at(tmp_path / "calm"), settings_at(tmp_path / "killed")
    for settings in (calm, killed):
        _fill(settings)
    ingest(calm)
    assert _start(tmp_path / "killed", "0", "dies").wait() == 9
    assert query(killed, "select count(*) from raw.community__events") != [(0,)]
    assert query(
        killed, "select (select count(*) from control.files), count(*) from control.loading"
    ) == [(0, 1)]
    if is_replayed_first:
        replay_quarantine(killed)
        assert query(killed, "select count(*) from raw.community__events") == [(0,)]
        assert rejected(killed) == []
    ingest(killed)
    assert _outcome(killed) == _outcome(calm)
    assert query(killed, "select * from control.loading") == []


def test_a_failure_while_settling_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(tmp_path)
    _fill(settings)

    def fails(*_: Any) -> None:
        raise TandemError("no")

    with monkeypatch.context() as patch:
        patch.setattr(load, "_SETTLED_APART", 0)
        patch.setattr(load, "settle", fails)
        with pytest.raises(TandemError):
            ingest(settings)
    assert (rows(settings, EVENTS), counts(settings), rejected(settings)) == ([], {}, [])
    ingest(settings)
    assert rows(settings, EVENTS)
