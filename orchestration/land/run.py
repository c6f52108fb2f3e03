"""A landing, led by one process: take the files, find duplicates, write Parquet, then commit.

The commit is one transaction of the warehouse, which names the versions of the logs that count
and has the ledger's rows of the very files they hold. Whatever is killed before it changed
nothing but `<landed>/run`, from which the next landing goes on.
"""

from __future__ import annotations

import math
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import contracts
from orchestration.erasure import journal
from orchestration.errors import LockedError, SettingsError, TandemError
from orchestration.ingest import load
from orchestration.ingest.landing import Landed, Landing, look
from orchestration.ingest.load import Batch, IngestReport, Progress, ProgressEvent, Taken
from orchestration.ingest.tables import create_tables
from orchestration.land import store
from orchestration.land.board import Board, Heart, Plan, Stage, Task, read_holder, take_claim
from orchestration.land.merge import REPLACED
from orchestration.land.take import ACCEPTED, REJECTED, identity, unpack
from orchestration.land.worker import Worker, help_until_over, is_coordinated, spawn, tools
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

TASK_BYTES = 32 << 20
"""Small files are taken together up to this size; a larger one is a task of its own."""
TASK_FILES = 200
FIND_ROWS = 4_000_000
WRITE_ROWS = 2_000_000
WRITE_DAYS = 60
_PAUSE_SECONDS = 0.05


@dataclass
class _Log:
    """A log's part of a landing, as it comes together."""

    log: str
    version: store.Version | None
    live: dict[str, store.Part]
    staged: list[str] = field(default_factory=list)
    numbers: list[tuple[int, int, int]] = field(default_factory=list)
    days: dict[str, int] = field(default_factory=dict)
    found: list[Task] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    written: list[Task] = field(default_factory=list)


def landing_board(settings: Settings) -> Board:
    """Where the workers of this home meet."""
    return Board(store.landed_root(settings) / "run")


def land(
    settings: Settings,
    *,
    logs: Collection[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Take everything new in the landing zone into landed Parquet, quarantine and `control`.

    The same rows, ledger and quarantine as `ingest` gives, in one batch; `raw` becomes views over
    the Parquet. This process and `workers` less one others do the work, and whoever joins. Raises
    LockedError while another process leads a landing, TandemError when it cannot go on.
    """
    if settings.raw_storage != "parquet":
        raise SettingsError(
            'landing as Parquet needs raw_storage = "parquet" in tandem.toml '
            "(or TANDEM_RAW_STORAGE=parquet)"
        )
    journal.require_none(settings)
    seen = look(settings.landing_path, logs)
    board = landing_board(settings)
    with _leading(settings, board):
        return _Leader(settings, board, seen, workers or settings.land_workers, progress).run(
            whole=logs is None
        )


def join(settings: Settings, *, workers: int = 1) -> int | None:
    """Help the landing that is under way until it is over; the tasks done by this process.

    Waits up to `lock_wait_seconds` for one to begin, None when none did. Raises TandemError when
    it stops, and where this machine has other tools than the one that leads.
    """
    board = landing_board(settings)
    deadline = time.monotonic() + settings.lock_wait_seconds
    while (plan := board.plan()) is None or plan.stage == "over" or not is_coordinated(board):
        if time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE_SECONDS)
    share = _share(settings, workers)
    others = [spawn(share, board.root, plan.landing) for _ in range(workers - 1)]
    try:
        return help_until_over(share, board, plan.landing)
    finally:
        for process in others:
            process.join()


@contextmanager
def _leading(settings: Settings, board: Board) -> Iterator[None]:
    root = store.landed_root(settings)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    board.prepare()
    path = board.root / "coordinator"
    claimed = take_claim(path, "the landing")
    if claimed is None:
        holder = read_holder(path)
        raise LockedError(
            f"a landing into {root} is led by {holder.words if holder else 'another process'}. "
            "Help it with `tandem land --join`, or let it finish"
        )
    heart = Heart()
    heart.add(claimed)
    try:
        yield
    finally:
        heart.close()
        claimed.unlink(missing_ok=True)
        if board.plan() is None:
            shutil.rmtree(board.root, ignore_errors=True)


def _share(settings: Settings, workers: int) -> Settings:
    """One worker's part of this machine's memory and processors."""
    amount, unit = re.fullmatch(r"([\d.]+)\s?(\w+)", settings.memory_limit).groups()  # type: ignore[union-attr]
    return settings.model_copy(
        update={
            "memory_limit": f"{float(amount) / workers:g}{unit}",
            "threads": max(1, settings.threads // workers),
        }
    )


class _Leader:
    """One landing."""

    def __init__(
        self,
        settings: Settings,
        board: Board,
        seen: Landing,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self.settings = settings
        self.board = board
        self.seen = seen
        self.workers = workers
        self.progress = progress
        self.landing = uuid.uuid4().hex
        self.heart = Heart()
        self.worker = Worker(_share(settings, workers), board, self.heart)
        self.others: list[BaseProcess] = []
        self.report = IngestReport(unknown=seen.misplaced)
        self.files: list[Landed] = []

    def run(self, *, whole: bool) -> IngestReport:
        """Everything, in order."""
        try:
            changes = self._begin(whole)
            self.files = [file for file in self.seen.files if file.path in changes]
            if self.files:
                taken = self._take()
                logs, digest = self._bind(taken)
                self._find(logs, digest)
                self._write(logs, digest)
                self._over()
                self._commit(taken, logs)
            # What is left of this landing, or of one whose files are gone.
            for name in ("plan.json", "failed.json"):
                (self.board.root / name).unlink(missing_ok=True)
            return self.report
        except duckdb.Error as error:
            raise TandemError(
                f"landing stopped, nothing of it was kept: {load.say(error)}"
            ) from None
        finally:
            self._over()
            self.heart.close()

    def _begin(self, whole: bool) -> set[str]:
        """Look into the ledger; the paths to take. Clears what a landing before left half done."""
        with open_warehouse(self.settings) as connection:
            create_tables(connection)
            connection.begin()
            store.prepare(connection, self.settings)
            connection.commit()
            live = store.versions(connection)
            store.tidy(self.settings, live)
            changes = load.changed(connection, self.settings, self.seen, whole=whole)
            row = connection.execute("select coalesce(max(batch_id), 0) from control.batches")
            self.report.batch_id = int((row.fetchone() or (0,))[0])
        (self.board.root / "failed.json").unlink(missing_ok=True)
        shutil.rmtree(self.board.root / "scratch", ignore_errors=True)
        return changes

    def _take(self) -> list[tuple[Task, list[dict[str, Any]], dict[str, int]]]:
        """Have every file read; its task, entries, and accepted rows a day, in order of paths."""
        own = tools(self.settings)
        tasks = [
            Task(
                folder="taken",
                name=sha256(identity(group, own).encode()).hexdigest()[:32],
                kind="take",
                arguments={"about": group[0].path, "files": [asdict(file) for file in group]},
            )
            for group in _groups(self.files)
        ]
        names = {task.name for task in tasks}
        for old in (self.board.root / "taken").glob("*"):
            # Files that have changed since, or that another version read.
            if old.name not in names:
                shutil.rmtree(old, ignore_errors=True)
        self._do("take", tasks)
        found = [self.board.read(task) for task in tasks]
        return [
            (task, answer["entries"], answer["days"])
            for task, answer in zip(tasks, found, strict=True)
        ]

    def _batch(
        self,
        connection: duckdb.DuckDBPyConnection,
        taken: list[tuple[Task, list[dict[str, Any]], dict[str, int]]],
    ) -> tuple[Batch, list[Taken], list[Taken], dict[int, tuple[int, int]]]:
        """The landing as one batch of ingest, inside a transaction.

        Returns it, its files, those of them that count, and by `id` of each where its rows are:
        the place of its task and its number there.
        """
        batch = Batch(connection, self.settings, self.files)
        entries: list[Taken] = []
        places: dict[int, tuple[int, int]] = {}
        told: dict[int, tuple[str | None, str | None]] = {}
        drift: dict[int, list[list[Any]]] = {}
        for place, (_, packed, _) in enumerate(taken):
            for one in packed:
                entry = unpack(one)
                entries.append(entry)
                places[id(entry)] = (place, entry.file_id)
                drift[id(entry)] = one["drift"]
                told[id(entry)] = (entry.reason, entry.detail)
                if one["is_readable"]:
                    # Which of two files of the same bytes counts is asked before control files
                    # are held against them.
                    entry.reason = None
                entry.file_id = 0
        entries.sort(key=lambda entry: entry.landed.path)
        fresh = batch.number(entries)
        for entry in entries:
            entry.reason, entry.detail = told[id(entry)]
        for entry in fresh:
            for name, lines in drift[id(entry)]:
                batch.drift[entry.landed.log, name, entry.file_id] = lines
        return batch, entries, fresh, places

    def _bind(
        self, taken: list[tuple[Task, list[dict[str, Any]], dict[str, int]]]
    ) -> tuple[list[_Log], str]:
        """Give the files their numbers; what each log has to settle, and a digest of it all."""
        with open_warehouse(self.settings) as connection:
            connection.begin()
            batch, _, fresh, places = self._batch(connection, taken)
            connection.rollback()
            live = store.versions(connection)
        logs: dict[str, _Log] = {}
        staged: dict[int, int] = {}
        for entry in fresh:
            place, number = places[id(entry)]
            task, _, days = taken[place]
            if not (self.board.result(task) / ACCEPTED).exists():
                continue
            log = entry.landed.log
            if log not in logs:
                version = live.get(log)
                logs[log] = _Log(log, version, store.manifest(self.settings, version))
            if place not in staged:
                staged[place] = len(logs[log].staged)
                logs[log].staged.append(f"{task.folder}/{task.name}")
                for day, rows in days.items():
                    logs[log].days[day] = logs[log].days.get(day, 0) + rows
            logs[log].numbers.append((staged[place], number, entry.file_id))
        text = repr(
            [batch.batch_id, tools(self.settings)]
            + [(one.log, one.version, one.staged, one.numbers) for one in logs.values()]
        )
        self.batch_id = batch.batch_id
        return list(logs.values()), sha256(text.encode()).hexdigest()[:16]

    def _find(self, logs: list[_Log], digest: str) -> None:
        tasks = []
        for one in logs:
            shares = max(1, math.ceil(sum(one.days.values()) / FIND_ROWS))
            for share in range(shares):
                name = f"find-{contracts()[one.log].table}-{share}"
                arguments = {"about": one.log, "share": share, "shares": shares}
                task = Task(f"merge-{digest}", name, "find", arguments)
                one.found.append(task)
                tasks.append(task)
        for old in self.board.root.glob("merge-*"):
            if old.name != f"merge-{digest}":
                shutil.rmtree(old, ignore_errors=True)
        self._do("find", tasks, {one.log: self._inputs(one) for one in logs})
        for one in logs:
            for task in one.found:
                answer = self.board.read(task)
                for day, rows in answer["days"].items():
                    one.days[day] = one.days.get(day, 0) + rows
                one.touched |= set(answer["touched"])

    def _write(self, logs: list[_Log], digest: str) -> None:
        tasks = []
        for one in logs:
            parts: dict[str, list[str]] = {}
            for name in one.live:
                parts.setdefault(name.rpartition("/")[0], []).append(name)
            for name in sorted(one.touched):
                day = name.rpartition("/")[0].removeprefix("dt=")
                one.days[day] = one.days.get(day, 0) + one.live[name].rows
            for day in one.days:
                there = parts.get(store.day_folder(day), [])
                if len(there) >= store.PARTS_KEPT:
                    one.touched |= set(there)
            for number, (days, share, shares) in enumerate(_shares(one.days)):
                folders = {store.day_folder(day) for day in days}
                touched = [
                    name for name in sorted(one.touched) if name.rpartition("/")[0] in folders
                ]
                arguments = {
                    "about": one.log,
                    "days": days,
                    "touched": touched,
                    "share": share,
                    "shares": shares,
                }
                name = f"write-{contracts()[one.log].table}-{number}"
                task = Task(f"merge-{digest}", name, "write", arguments)
                one.written.append(task)
                tasks.append(task)
        self._do("write", tasks, {one.log: self._inputs(one) for one in logs})

    def _inputs(self, one: _Log) -> dict[str, Any]:
        return {
            "batch_id": self.batch_id,
            "staged": one.staged,
            "numbers": one.numbers,
            "folder": _folder(self.settings, one.version)
            .relative_to(store.landed_root(self.settings))
            .as_posix(),
            "live": list(one.live),
            "found": [f"{task.folder}/{task.name}" for task in one.found],
        }

    def _commit(
        self,
        taken: list[tuple[Task, list[dict[str, Any]], dict[str, int]]],
        logs: list[_Log],
    ) -> None:
        """The new versions on the disk, then all that the warehouse says of them at once."""
        self._tell("load", len(self.files))
        changed: list[store.Version] = []
        accepted: dict[int, int] = {}
        for one in logs:
            version, counts = self._assemble(one)
            changed.append(version)
            accepted |= counts
        replaced = [self.board.result(task) / REPLACED for one in logs for task in one.found]
        replaced = [path for path in replaced if path.exists()]
        with open_warehouse(self.settings) as connection:
            connection.begin()
            try:
                batch, entries, fresh, places = self._batch(connection, taken)
                if batch.batch_id != self.batch_id:
                    raise TandemError("another process wrote to the warehouse meanwhile: run again")
                batch.write_ledger(fresh)
                self._quarantine(connection, batch, taken, fresh, places)
                if replaced:
                    connection.execute(
                        "insert into control.replaced "
                        f"select * from read_parquet({store.files_sql(replaced)})"
                    )
                self._take_from_old(connection, logs)
                batch.finish(fresh, entries, accepted)
                store.record(connection, changed)
                live = store.versions(connection)
                _require_all_rows(connection, live)
                store.write_views(connection, self.settings, live)
                connection.commit()
            except BaseException:
                load.roll_back(connection)
                raise
        load.add_to(self.report, batch)
        self.report.batch_id = batch.batch_id if fresh else self.report.batch_id
        store.tidy(self.settings, live)
        self._tell("done", len(self.files))

    def _assemble(self, one: _Log) -> tuple[store.Version, dict[int, int]]:
        folder = _folder(self.settings, one.version)
        kept = {name: folder / name for name in one.live if name not in one.touched}
        rows = {name: one.live[name].rows for name in kept}
        added: dict[str, Path] = {}
        accepted: dict[int, int] = {}
        for task in one.written:
            answer = self.board.read(task)
            for name, count in answer["rows"].items():
                added[name] = self.board.result(task) / name
                rows[name] = count
            for number, lines in answer["accepted"]:
                accepted[number] = accepted.get(number, 0) + lines
        # Never the name of another version, not even of a warehouse that is rebuilt beside.
        name = f"v{self.batch_id:06}-{uuid.uuid4().hex[:8]}"
        version = store.assemble(self.settings, one.log, name, self.batch_id, kept, added, rows)
        return version, accepted

    def _quarantine(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: Batch,
        taken: list[tuple[Task, list[dict[str, Any]], dict[str, int]]],
        fresh: list[Taken],
        places: Mapping[int, tuple[int, int]],
    ) -> None:
        found: dict[int, int] = {}
        paths: list[Path] = []
        rows: list[list[Any]] = []
        for entry in fresh:
            place, number = places[id(entry)]
            path = self.board.result(taken[place][0]) / REJECTED
            if entry.rejected and path.exists():
                if place not in found:
                    found[place] = len(paths)
                    paths.append(path)
                rows.append(
                    [found[place], number, entry.file_id, entry.landed.path, entry.landed.log]
                )
        if not rows:
            return
        connection.execute(
            "create or replace temp table numbers "
            "(place bigint, number bigint, file_id bigint, path varchar, log varchar)"
        )
        load.insert_rows(connection, "numbers", rows)
        connection.execute(
            f"""
            insert into quarantine.lines
            select
                n.file_id, n.path, n.log, r.line, r.reason, r.field, r.raw_text,
                {batch.batch_id}, timestamp '{batch.moment.isoformat(sep=" ")}'
            from (select *, file_index from read_parquet({store.files_sql(paths)})) as r
            inner join numbers as n on r.file_index = n.place and r.file_id = n.number
            """
        )

    def _take_from_old(self, connection: duckdb.DuckDBPyConnection, logs: list[_Log]) -> None:
        """Rows landed before that lost: their files' lines are duplicates now."""
        lost: dict[int, int] = {}
        for one in logs:
            for task in one.found:
                for number, lines in self.board.read(task)["lost"]:
                    lost[number] = lost.get(number, 0) + lines
        if not lost:
            return
        connection.execute("create or replace temp table lost (file_id bigint, lines bigint)")
        load.insert_rows(connection, "lost", [list(row) for row in sorted(lost.items())])
        connection.execute(
            """
            update control.files as files
            set accepted = accepted - lost.lines, duplicates = duplicates + lost.lines
            from lost
            where files.file_id = lost.file_id
            """
        )

    def _do(
        self, stage: Stage, tasks: list[Task], inputs: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """Have all tasks done, by this process and whoever helps."""
        self.board.prepare()
        for folder in {task.folder for task in tasks}:
            (self.board.root / folder).mkdir(exist_ok=True)
        moment = load.moment(self.settings).isoformat()
        plan = Plan(self.landing, moment, tools(self.settings), stage, tasks, inputs or {})
        self.board.write_plan(plan)
        while True:
            failure = self.board.failure()
            if failure is not None:
                raise TandemError(failure)
            self._keep_workers(plan)
            if stage == "take":
                self._tell("scan", self._files_done(tasks))
            if not self.worker.step(plan):
                if self.worker.is_all_done(plan):
                    return
                time.sleep(_PAUSE_SECONDS)

    def _keep_workers(self, plan: Plan) -> None:
        """As many workers as were asked for, while there is work for them."""
        self.others = [process for process in self.others if process.is_alive()]
        wanted = min(self.workers, len(plan.tasks)) - 1
        while len(self.others) < wanted:
            self.others.append(spawn(self.worker.settings, self.board.root, self.landing))

    def _files_done(self, tasks: list[Task]) -> int:
        return sum(
            len(task.arguments["files"])
            for task in tasks
            if (task.folder, task.name) in self.worker.done
        )

    def _tell(self, step: str, files: int) -> None:
        if self.progress is not None:
            total = sum(file.bytes for file in self.files)
            done = total * files // max(len(self.files), 1)
            self.progress(ProgressEvent(step, files, len(self.files), done, total))

    def _over(self) -> None:
        """Send the workers home."""
        if self.board.plan() is not None:
            moment = load.moment(self.settings).isoformat()
            self.board.write_plan(Plan(self.landing, moment, tools(self.settings), "over"))
        for process in self.others:
            process.join()
        self.others = []


def _groups(files: list[Landed]) -> Iterator[list[Landed]]:
    """Files of one log, in order of their paths, for one task each."""
    group: list[Landed] = []
    size = 0
    for file in sorted(files, key=lambda one: (one.log, one.path)):
        full = size + file.bytes > TASK_BYTES or len(group) >= TASK_FILES
        if group and (full or group[0].log != file.log):
            yield group
            group, size = [], 0
        group.append(file)
        size += file.bytes
    if group:
        yield group


def _shares(days: Mapping[str, int]) -> Iterator[tuple[list[str], int, int]]:
    """Days for one task each, and of a long day which share of its keys, out of how many."""
    group: list[str] = []
    size = 0
    for day, rows in sorted(days.items()):
        if group and (size + rows > WRITE_ROWS or len(group) >= WRITE_DAYS):
            yield group, 0, 1
            group, size = [], 0
        shares = math.ceil(rows / (2 * WRITE_ROWS))
        if shares > 1:
            for share in range(shares):
                yield [day], share, shares
            continue
        group.append(day)
        size += rows
    if group:
        yield group, 0, 1


def _folder(settings: Settings, version: store.Version | None) -> Path:
    return store.version_folder(settings, version) if version else store.landed_root(settings)


def _require_all_rows(
    connection: duckdb.DuckDBPyConnection, live: Mapping[str, store.Version]
) -> None:
    """Raise TandemError unless each log's Parquet has as many rows as its files are credited."""
    rows = dict(
        connection.execute(
            "select log, cast(sum(accepted) as bigint) from control.files group by log"
        ).fetchall()
    )
    for log in contracts():
        landed = live[log].rows if log in live else 0
        if landed != rows.get(log, 0):
            raise TandemError(
                f"{log}: {landed} rows landed, {rows.get(log, 0)} accepted. Nothing was kept"
            )
