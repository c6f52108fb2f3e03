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

from orchestration.ingest import ingest
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
import sys
from orchestration.ingest import ingest, load
from tests.unit.ingest.landing_files import settings_at
from pathlib import Path
load.BATCH_FILES = 3
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


def test_a_kill_at_any_moment_leaves_all_or_nothing_of_a_batch(tmp_path: Path) -> None:
    calm, killed = settings_at(tmp_path / "calm"), settings_at(tmp_path / "killed")
    for settings in (calm, killed):
        _fill(settings)
    ingest(calm)
    rng = random.Random(3)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    kills = 0
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path / "killed")],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout is not None
        process.stdout.readline()
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
