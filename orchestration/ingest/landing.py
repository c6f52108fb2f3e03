"""What lies in the landing zone: which files are ready, and what is in the wrong place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from orchestration.contracts import CORES, contracts
from orchestration.errors import SettingsError, TandemError

Problem = Literal["unknown_log", "unknown_format", "unreadable_file"]
FORMATS = {
    ".jsonl": ("jsonl", ""),
    ".jsonl.gz": ("jsonl", "gz"),
    ".jsonl.zst": ("jsonl", "zst"),
    ".csv": ("csv", ""),
    ".csv.gz": ("csv", "gz"),
    ".csv.zst": ("csv", "zst"),
    ".parquet": ("parquet", ""),
}
CONTROL_SUFFIX = ".control.json"


@dataclass(frozen=True)
class Landed:
    """A file that is ready to be taken. `path` is relative to the landing zone, with `/`."""

    path: str
    log: str
    bytes: int
    mtime_ns: int
    format: str
    kind: str
    compression: str
    control: tuple[int, int] | None
    """Size and mtime of the control file beside it."""


@dataclass(frozen=True)
class Misplaced:
    """A folder or file that cannot be taken, and why. `detail` names what to look at."""

    path: str
    log: str
    reason: Problem
    detail: str


@dataclass(frozen=True)
class Landing:
    """One look at the landing zone, both lists sorted by path."""

    files: list[Landed]
    misplaced: list[Misplaced]


def look(root: Path, logs: Collection[str] | None = None) -> Landing:
    """Everything that is ready below `root`; `logs` narrows it to some logs.

    A landing zone that does not exist is empty. Raises SettingsError for an unknown log in
    `logs`, TandemError for a folder that cannot be read.
    """
    known = contracts()
    for log in logs or ():
        if log not in known:
            raise SettingsError(f"no such log: {log}. Known are {', '.join(known)}")
    found = Landing([], [])
    if not root.is_dir():
        return found
    inside = os.path.realpath(root)
    try:
        for core in _entries(root):
            if core.name not in CORES or not core.is_dir():
                if logs is None:
                    name = printable(core.name)
                    found.misplaced.append(Misplaced(name, name, "unknown_log", "core"))
                continue
            for entry in _entries(core.path):
                name = f"{core.name}/{printable(entry.name)}"
                if name not in known or not entry.is_dir():
                    if logs is None:
                        found.misplaced.append(Misplaced(name, name, "unknown_log", "log"))
                elif logs is None or name in logs:
                    folders: list[tuple[os.DirEntry[str], str]] = [(entry, name)]
                    while folders:
                        folders += _look_into(*folders.pop(), name, inside, found)
    except OSError as error:
        where = error.filename or root
        raise TandemError(f"cannot read {where}: {error.strerror}") from error
    found.files.sort(key=lambda file: file.path)
    found.misplaced.sort(key=lambda entry: entry.path)
    return found


def _look_into(
    folder: os.DirEntry[str], relative: str, log: str, inside: str, found: Landing
) -> list[tuple[os.DirEntry[str], str]]:
    """Take in one folder; its folders with their paths, for the next looks."""
    # What no link leads to lies where its folder does: a real path for each of a thousand nested
    # folders would take minutes.
    if (relative == log or folder.is_symlink()) and not is_inside(folder.path, inside):
        found.misplaced.append(Misplaced(relative, log, "unreadable_file", "symlink"))
        return []
    try:
        entries = list(_entries(folder.path))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        found.misplaced.append(Misplaced(relative, log, "unreadable_file", "path too long"))
        return []
    folders = []
    stats = {
        entry.name: entry.stat()
        for entry in entries
        if entry.name.endswith(CONTROL_SUFFIX) and entry.is_file()
    }
    for entry in entries:
        path = f"{relative}/{printable(entry.name)}"
        if not path.endswith(entry.name):
            found.misplaced.append(Misplaced(path, log, "unreadable_file", "name is not UTF-8"))
        elif entry.is_symlink() and not is_inside(entry.path, inside):
            found.misplaced.append(Misplaced(path, log, "unreadable_file", "symlink"))
        elif entry.is_dir():
            # A linked folder inside the zone is reached by its own path as well.
            if not entry.is_symlink():
                folders.append((entry, path))
        elif entry.name.endswith((".tmp", ".part", CONTROL_SUFFIX)):
            continue
        elif not entry.is_file():
            found.misplaced.append(Misplaced(path, log, "unreadable_file", "no regular file"))
        else:
            suffix = next((end for end in FORMATS if entry.name.endswith(end)), None)
            if suffix is None:
                found.misplaced.append(Misplaced(path, log, "unknown_format", ""))
                continue
            status = entry.stat()
            control = stats.get(f"{entry.name}{CONTROL_SUFFIX}")
            kind, compression = FORMATS[suffix]
            found.files.append(
                Landed(
                    path=path,
                    log=log,
                    bytes=status.st_size,
                    mtime_ns=status.st_mtime_ns,
                    format=suffix[1:],
                    kind=kind,
                    compression=compression,
                    control=(control.st_size, control.st_mtime_ns) if control else None,
                )
            )
    return folders


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith((".", "_")):
                yield entry


def printable(name: str) -> str:
    """A file's name as Unicode: bytes of it that are no UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def open_regular(path: Path) -> BinaryIO:
    """Open a file that must be a regular one: a pipe or device put in its place blocks nobody.

    Raises OSError for anything else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def is_inside(path: str | Path, root: str) -> bool:
    """Whether a path, every link of it followed, lies below the real path `root`."""
    real = os.path.realpath(path)
    return real == root or real.startswith(root + os.sep)
