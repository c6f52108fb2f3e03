"""One worker: takes a task of the plan, does it, takes the next; many of them side by side."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import duckdb

from orchestration.errors import TandemError
from orchestration.ingest.load import say
from orchestration.land import take as taking
from orchestration.land.board import Board, Heart, Plan, Task, is_alive, read_holder
from orchestration.land.merge import Incoming, find, write
from orchestration.settings import Settings

_PAUSE_SECONDS = 0.1
_CODE = ("orchestration.ingest", "orchestration.land", "orchestration.contracts")


def tools(settings: Settings) -> str:
    """What must be equal wherever files are read, so that it does not matter who reads them."""
    limits = [settings.max_line_bytes, settings.max_expansion]
    return f"DuckDB {duckdb.__version__}, code {_code()[:16]}, limits {limits}"


@cache
def _code() -> str:
    digest = sha256(metadata.version("iso4217").encode())
    for package in _CODE:
        for name, data in sorted(_sources(resources.files(package))):
            digest.update(name.encode() + b"\0" + data + b"\0")
    return digest.hexdigest()


def _sources(folder: Traversable) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith((".py", ".yml")):
            yield entry.name, entry.read_bytes()


class Worker:
    """Does tasks of a board, one after the other."""

    def __init__(self, settings: Settings, board: Board, heart: Heart) -> None:
        self.settings = settings
        self.board = board
        self.heart = heart
        self.done: set[tuple[str, str]] = set()

    def step(self, plan: Plan) -> bool:
        """Do one task that nobody does; False when there is none now.

        What stops the landing is written to the board, and raised as TandemError.
        """
        for task in plan.tasks:
            if (task.folder, task.name) in self.done:
                continue
            if self.board.is_done(task):
                self.done.add((task.folder, task.name))
                continue
            try:
                claimed = self.board.claim(task)
                if claimed is None:
                    continue
                self._perform(plan, task, claimed)
            except duckdb.Error as error:
                message = f"{task.about}: {say(error)}"
                self._fail(plan, task, message)
                raise TandemError(message) from error
            except (TandemError, OSError) as error:
                self._fail(plan, task, str(error))
                raise
            self.done.add((task.folder, task.name))
            return True
        return False

    def is_all_done(self, plan: Plan) -> bool:
        """Whether every task of the plan has its result."""
        for task in plan.tasks:
            if (task.folder, task.name) not in self.done:
                if not self.board.is_done(task):
                    return False
                self.done.add((task.folder, task.name))
        return True

    def _fail(self, plan: Plan, task: Task, message: str) -> None:
        # Of a task that somebody else did meanwhile nobody waits for the result.
        if is_under_way(self.board, plan.landing):
            self.board.fail(task, message)

    def _perform(self, plan: Plan, task: Task, claimed: Path) -> None:
        self.heart.add(claimed)
        try:
            # Somebody may have finished it between the look and the claim.
            if not self.board.is_done(task):
                with self.board.scratch() as out, self._database() as connection:
                    found = perform(connection, self.settings, self.board, plan, task, out)
                    self.board.finish(task, out, found)
        finally:
            self.heart.drop(claimed)
            self.board.release(task)

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database of the task's own, in memory, that spills where no other worker does."""
        with self.board.scratch() as spill:
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": self.settings.memory_limit,
                "threads": str(self.settings.threads),
                "temp_directory": str(spill),
                "preserve_insertion_order": "false",
            }
            with duckdb.connect(config=config) as connection:
                connection.execute("set timezone = 'UTC'")
                connection.execute("set enable_progress_bar = false")
                yield connection


def perform(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    board: Board,
    plan: Plan,
    task: Task,
    out: Path,
) -> dict[str, Any]:
    """One task's work: the files of its result in `out`, and what result.json says."""
    given = task.arguments
    if task.kind == "take":
        files = taking.from_json(given["files"])
        return taking.take(connection, settings, files, plan.moment, out)
    common = plan.inputs[given["about"]]
    # Paths below the landed root, since another machine may have it elsewhere.
    folder = board.root.parent / common["folder"]
    incoming = Incoming(
        log=given["about"],
        batch_id=common["batch_id"],
        paths=tuple(board.root / name / taking.ACCEPTED for name in common["staged"]),
        numbers=tuple((a, b, c) for a, b, c in common["numbers"]),
        live=tuple(folder / name for name in common["live"]),
    )
    if task.kind == "find":
        found = find(connection, incoming, given["share"], given["shares"], out)
        names = [Path(name).relative_to(folder).as_posix() for name in found["touched"]]
        return found | {"touched": names}
    return write(
        connection,
        incoming,
        [board.root / name for name in common["found"]],
        given["days"],
        [folder / name for name in given["touched"]],
        given["share"],
        given["shares"],
        out,
    )


def help_until_over(settings: Settings, board: Board, landing: str | None = None) -> int:
    """Do tasks until the landing is over or its coordinator is gone; the number done.

    `landing` is the one to help, by default the one under way. Raises TandemError for a landing
    of other tools, and for what stops it.
    """
    heart = Heart()
    worker = Worker(settings, board, heart)
    done = 0
    try:
        while (plan := board.plan()) is not None and plan.stage != "over":
            landing = landing or plan.landing
            if plan.landing != landing or board.failure() is not None:
                break
            if plan.tools != tools(settings):
                raise TandemError(
                    f"the landing's coordinator has {plan.tools}, this machine "
                    f"{tools(settings)}: every machine needs the same"
                )
            try:
                if worker.step(plan):
                    done += 1
                elif is_coordinated(board):
                    time.sleep(_PAUSE_SECONDS)
                else:
                    break
            except (TandemError, OSError):
                if is_under_way(board, landing):
                    raise
                break
    finally:
        heart.close()
    return done


def is_under_way(board: Board, landing: str) -> bool:
    """Whether this landing still wants results."""
    plan = board.plan()
    return plan is not None and plan.landing == landing and plan.stage != "over"


def is_coordinated(board: Board) -> bool:
    """Whether the process that leads the landing lives."""
    path = board.root / "coordinator"
    holder = read_holder(path)
    return holder is not None and is_alive(path, holder)


def spawned(settings: Settings, root: Path, landing: str) -> None:
    """A worker process of this machine; it ends with the process that started it."""
    try:
        help_until_over(settings, Board(root), landing)
    except (TandemError, OSError):
        # It stands on the board, where the coordinator reads it.
        return


def spawn(settings: Settings, root: Path, landing: str) -> multiprocessing.process.BaseProcess:
    """Start a worker process."""
    process = multiprocessing.get_context("spawn").Process(
        target=spawned, args=(settings, root, landing), daemon=True
    )
    process.start()
    return process
