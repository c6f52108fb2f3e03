"""Workers and leaders of a landing killed at any moment: nothing lost, nothing double."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestration.ingest import ingest
from orchestration.land import land, run, worker
from orchestration.land.run import landing_board
from orchestration.settings import Settings
from tests.unit.ingest.landing_files import EVENTS, WRITERS, event, put, query, settings_at

LEAD = """
import sys
from pathlib import Path
from orchestration.land import land, run
from tests.unit.ingest.landing_files import settings_at
run.TASK_FILES = 1
run.FIND_ROWS = 600
run.WRITE_ROWS = 250
land(settings_at(Path(sys.argv[1]), raw_storage="parquet"), workers=int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What an ingest that nobody disturbs makes of the files."""
    made = settings_at(tmp_path_factory.mktemp("calm"))
    rng = random.Random(7)
    for number in range(8):
        suffix = ["jsonl.zst", "csv", "parquet", "jsonl"][number % 4]
        records = [
            event(
                rng.randrange(500),
                topic=f"t{rng.randrange(5)}",
                received_at=f"2026-05-{rng.randrange(1, 29):02}T00:00:00Z",
                occurred_at=f"2026-05-{rng.randrange(1, 9):02}T00:00:00Z",
                dwell_ms=-1 if rng.random() < 0.01 else rng.randrange(4),
            )
            for _ in range(150)
        ]
        put(made, EVENTS, f"f{number:02}.{suffix}", WRITERS[suffix](records))
    ingest(made)
    return made


def _copy(calm: Settings, home: Path) -> Settings:
    shutil.copytree(calm.landing_path, home / "landing")
    return settings_at(home, raw_storage="parquet")


def _start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def _outcome(settings: Settings) -> list[Any]:
    return [
        query(settings, f"select {columns} from {table} order by all")
        for table, columns in {
            "raw.community__events": "*",
            "control.files": "* exclude (loaded_at)",
            "quarantine.lines": "* exclude (rejected_at)",
            "control.replaced": "*",
        }.items()
    ]


def _holders(settings: Settings, leader: int) -> list[int]:
    """The processes beside the leader that hold a task now."""
    found = []
    for path in landing_board(settings).claims.glob("*-*"):
        try:
            process = json.loads(path.read_text(encoding="utf-8"))["process"]
        except (FileNotFoundError, ValueError):
            continue
        if process != leader and not path.name.startswith("."):
            found.append(process)
    return found


def test_a_killed_worker_s_file_is_taken_by_another(calm: Settings, tmp_path: Path) -> None:
    settings = _copy(calm, tmp_path)
    leader = _start(LEAD, tmp_path, 2)
    killed: set[int] = set()
    while leader.poll() is None and not killed:
        for process in set(_holders(settings, leader.pid)):
            os.kill(process, signal.SIGKILL)
            killed.add(process)
        time.sleep(0.005)
    assert (leader.wait(), len(killed)) == (0, 1)
    assert _outcome(settings) == _outcome(calm)


def test_a_killed_landing_goes_on_where_it_was(
    calm: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _copy(calm, tmp_path)
    leader = _start(LEAD, tmp_path, 1)
    root = landing_board(settings).root
    while leader.poll() is None and len(list(root.glob("*/*/result.json"))) < 5:
        time.sleep(0.005)
    os.killpg(leader.pid, signal.SIGKILL)
    assert leader.wait() == -signal.SIGKILL
    done = len(list(root.glob("taken/*/result.json")))
    assert query(settings, "select count(*) from control.files") == [(0,)]
    kinds = []

    def counted(*arguments: Any) -> dict[str, Any]:
        kinds.append(arguments[4].kind)
        return perform(*arguments)

    perform = worker.perform
    monkeypatch.setattr(worker, "perform", counted)
    monkeypatch.setattr(run, "TASK_FILES", 1)
    land(settings)
    assert (done >= 4, kinds.count("take")) == (True, 8 - done)
    assert _outcome(settings) == _outcome(calm)
