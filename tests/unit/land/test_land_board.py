"""Claims: one living worker a task, a dead one's is taken over, and the first result counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from orchestration.errors import TandemError
from orchestration.land.board import (
    ATTEMPTS,
    STALE_SECONDS,
    Board,
    Holder,
    Task,
    read_holder,
    take_claim,
)

TASK = Task("taken", "one", "take", {"about": "community/events/a.jsonl"})


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path / "run")
    made.prepare()
    return made


def holder_of(path: Path) -> Holder:
    found = read_holder(path)
    assert found is not None
    return found


def put_holder(path: Path, holder: Holder) -> None:
    path.write_text(json.dumps(asdict(holder)), encoding="utf-8")


def test_a_living_worker_keeps_its_task(board: Board) -> None:
    claimed = board.claim(TASK)
    assert claimed is not None
    assert board.claim(TASK) is None
    assert holder_of(claimed).process == os.getpid()
    board.release(TASK)
    assert board.claim(TASK) is not None


def test_the_claim_of_a_dead_process_is_taken_over_at_once(board: Board) -> None:
    code = (
        "import sys; from pathlib import Path; from orchestration.land.board import take_claim; "
        "take_claim(Path(sys.argv[1]), 'x')"
    )
    subprocess.run([sys.executable, "-c", code, str(board.claim_path(TASK))], check=True)
    assert holder_of(board.claim_path(TASK)).process != os.getpid()
    claimed = board.claim(TASK)
    assert claimed is not None
    assert (holder_of(claimed).process, holder_of(claimed).attempt) == (os.getpid(), 2)


def test_another_machine_counts_as_dead_once_its_claim_is_stale(board: Board) -> None:
    path = board.claim_path(TASK)
    put_holder(path, Holder("elsewhere/boot/1", 7, "1", "token"))
    assert board.claim(TASK) is None
    old = time.time() - STALE_SECONDS - 5
    os.utime(path, (old, old))
    assert board.claim(TASK) is not None


def test_a_process_number_that_another_process_has_now_is_no_holder(board: Board) -> None:
    mine = take_claim(board.claims / "other", "x")
    assert mine is not None
    put_holder(board.claim_path(TASK), Holder(holder_of(mine).host, os.getpid(), "0", "token"))
    assert board.claim(TASK) is not None


def test_what_kills_worker_after_worker_stops_the_landing_by_name(board: Board) -> None:
    mine = take_claim(board.claims / "other", "x")
    assert mine is not None
    gone = Holder(holder_of(mine).host, 2**22 + 1, "1", "token", attempt=ATTEMPTS)
    put_holder(board.claim_path(TASK), gone)
    with pytest.raises(TandemError, match=r"community/events/a\.jsonl: 3 workers died"):
        board.claim(TASK)


def test_of_two_results_of_a_task_the_first_counts(board: Board) -> None:
    for words in ("first", "second"):
        with board.scratch() as out:
            (out / "rows").write_text(words, encoding="utf-8")
            board.finish(TASK, out, {"said": words})
    assert board.read(TASK)["said"] == "first"
    assert list((board.root / "scratch").iterdir()) == []


def test_a_result_that_was_cut_is_named(board: Board) -> None:
    with board.scratch() as out:
        (out / "rows").write_text("rows", encoding="utf-8")
        board.finish(TASK, out, {})
    (board.result(TASK) / "rows").write_text("ro", encoding="utf-8")
    with pytest.raises(TandemError, match="taken/one is damaged: remove that folder"):
        board.read(TASK)
