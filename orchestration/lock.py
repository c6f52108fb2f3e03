"""One build at a time in one home: DuckDB's own lock lasts only as long as a connection."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.errors import LockedError
from orchestration.settings import Settings


def lock_path(settings: Settings) -> Path:
    """The file that a running build holds locked; its text is the holder's process id."""
    return settings.home / "build.lock"


@contextmanager
def build_lock(settings: Settings) -> Iterator[None]:
    """Hold the build lock; the system lets go of it when the process dies, however it dies.

    Waits up to `lock_wait_seconds`, then raises LockedError, which names the holder.
    """
    path = lock_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + settings.lock_wait_seconds
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(descriptor):
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{settings.home} is held by {_holder(path)}; waited "
                    f"{settings.lock_wait_seconds:g} s. Let it finish, or stop it, and retry"
                )
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(settings: Settings) -> str | None:
    """Who holds the build lock now, or None."""
    path = lock_path(settings)
    if not path.exists():
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return None if _locked(descriptor, shared=True) else _holder(path)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    number = path.read_text(encoding="ascii").strip()
    return f"process {number}" if number else "another process"
