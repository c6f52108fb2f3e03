"""What workers share: a plan of tasks, claims on them, and results; files in one folder.

Nothing is assumed of the file system but that a link or rename happens wholly or not at all. A
claim only spares double work: results are put in place by a rename that the first one wins, and
a task gives the same result whoever does it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from orchestration import durable
from orchestration.errors import TandemError

Stage = Literal["take", "find", "write", "over"]
BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
"""So long a claim that nobody touches holds; one of a dead process of this machine is over."""
ATTEMPTS = 3
"""So many workers may die at one task before the landing stops."""


@dataclass(frozen=True)
class Task:
    """One piece of work. `folder` and `name` say where its result goes."""

    folder: str
    name: str
    kind: Stage
    arguments: dict[str, Any]

    @property
    def about(self) -> str:
        """What it is about, for messages."""
        return str(self.arguments.get("about") or self.name)


@dataclass(frozen=True)
class Plan:
    """What is to be done now. `tools` must be equal among all who work on it.

    `inputs` are what the tasks of one log have in common, by log.
    """

    landing: str
    moment: str
    tools: str
    stage: Stage
    tasks: list[Task] = field(default_factory=list)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Holder:
    """Who holds a claim. `started` tells a process from a later one of the same number."""

    host: str
    process: int
    started: str
    token: str
    attempt: int = 1

    @property
    def words(self) -> str:
        """For messages."""
        return f"process {self.process} on {self.host.partition('/')[0]}"


class Heart:
    """Touches the claims that this process holds, until it is closed or the process dies."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()
        self._lock = Lock()
        self._over = Event()
        self._thread = Thread(target=self._beat, daemon=True)
        self._thread.start()

    def add(self, path: Path) -> None:
        """Keep a claim alive."""
        with self._lock:
            self._paths.add(path)

    def drop(self, path: Path) -> None:
        """No longer."""
        with self._lock:
            self._paths.discard(path)

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with self._lock:
                for path in self._paths:
                    try:
                        os.utime(path)
                    except OSError:
                        # It was taken over: the result of whoever is first counts.
                        continue


class Board:
    """The folder that workers share, `<landed>/run`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._plan: Plan | None = None
        self._seen: tuple[int, int] | None = None

    @property
    def claims(self) -> Path:
        """The folder of claims."""
        return self.root / "claims"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.root, self.claims, self.root / "scratch"):
            folder.mkdir(parents=True, exist_ok=True)

    def write_plan(self, plan: Plan) -> None:
        """Put a plan in the place of the one before."""
        durable.write(self.root / "plan.json", json.dumps(asdict(plan)), mode=0o600)

    def plan(self) -> Plan | None:
        """The plan of now; None when there is none."""
        path = self.root / "plan.json"
        try:
            status = path.stat()
            if (status.st_ino, status.st_mtime_ns) != self._seen:
                found = json.loads(path.read_text(encoding="utf-8"))
                found["tasks"] = [Task(**task) for task in found["tasks"]]
                self._plan = Plan(**found)
                self._seen = (status.st_ino, status.st_mtime_ns)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise TandemError(f"{path} is no plan of a landing: remove {self.root}") from error
        return self._plan

    def result(self, task: Task) -> Path:
        """Where the task's result is once it is done."""
        return self.root / task.folder / task.name

    def is_done(self, task: Task) -> bool:
        """Whether the result is there."""
        return (self.result(task) / "result.json").exists()

    def read(self, task: Task) -> Any:
        """What the task says it found.

        Raises TandemError when a file of the result is not as it was written.
        """
        folder = self.result(task)
        try:
            found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            for name, size in found["files"].items():
                if (folder / name).stat().st_size != size:
                    raise ValueError(name)
        except (OSError, ValueError, KeyError) as error:
            raise TandemError(
                f"{folder} is damaged: remove that folder and run again, it is made anew"
            ) from error
        return found

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for a result in the making, or for spilling; gone at the end."""
        folder = self.root / "scratch" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, task: Task, folder: Path, found: dict[str, Any]) -> None:
        """Put a result in place; the first one counts.

        `found` goes into result.json, with the sizes of the other files.
        """
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        text = json.dumps(found | {"files": sizes}, ensure_ascii=False)
        (folder / "result.json").write_text(text, encoding="utf-8")
        target = self.result(task)
        target.parent.mkdir(exist_ok=True)
        try:
            durable.replace(folder, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def fail(self, task: Task, message: str) -> None:
        """Say why the landing cannot go on."""
        durable.write(self.root / "failed.json", json.dumps({"message": message}), mode=0o600)
        self.release(task)

    def failure(self) -> str | None:
        """Why the landing cannot go on, if a worker said so."""
        try:
            found = json.loads((self.root / "failed.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return str(found["message"])

    def claim_path(self, task: Task) -> Path:
        """The claim's file."""
        return self.claims / f"{task.folder}-{task.name}"

    def claim(self, task: Task) -> Path | None:
        """Claim a task; None when a living worker holds it.

        A dead worker's claim is taken over. Raises TandemError when too many died of the task.
        """
        return take_claim(self.claim_path(task), task.about, ATTEMPTS)

    def release(self, task: Task) -> None:
        """Let go of a task, done or not."""
        self.claim_path(task).unlink(missing_ok=True)


def take_claim(path: Path, about: str, attempts: int | None = None) -> Path | None:
    """Claim what a path stands for; None when somebody who lives holds it.

    Raises TandemError when so many `attempts` ended with the death of the holder; the next time
    they are counted from one.
    """
    attempt = 1
    holder = read_holder(path)
    if holder is not None:
        if is_alive(path, holder):
            return None
        attempt = holder.attempt + 1
        # Of two that come at once only one can move the old claim away.
        moved = path.with_name(f".{path.name[:80]}-{uuid.uuid4().hex[:8]}")
        try:
            path.rename(moved)
        except FileNotFoundError:
            return None
        moved.unlink(missing_ok=True)
        if attempts is not None and attempt > attempts:
            raise TandemError(
                f"{about}: {attempts} workers died over it. Look for what ended them (memory is "
                "likely: fewer workers, or a larger memory_limit), then run again"
            )
    return path if _create(path, _myself(attempt)) else None


def _create(path: Path, holder: Holder) -> bool:
    temporary = path.with_name(f".{path.name[:80]}-{holder.token}")
    temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links: whoever makes the file first has it.
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)
    return True


def read_holder(path: Path) -> Holder | None:
    """Who holds a claim; None when nobody does."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Not yet written, where there are no hard links.
        return Holder("?", 0, "", "")


def is_alive(path: Path, holder: Holder) -> bool:
    """Whether the holder still lives, as far as this machine can tell."""
    if holder.host == _host() and holder.started != _started(holder.process):
        return False
    # Both times are the file system's own, so that clocks of machines need not agree.
    probe = path.with_name(f".probe-{uuid.uuid4().hex[:8]}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _myself(attempt: int) -> Holder:
    process = os.getpid()
    return Holder(_host(), process, _started(process), uuid.uuid4().hex[:12], attempt)


def _host() -> str:
    """This machine, since it was started, and its space of process numbers."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        # No Linux: the name alone must do.
        pass
    return "/".join(parts)


def _started(process: int) -> str:
    """When a process of this machine started, in its own words; empty for one that is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = text.rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
