"""Files that a power loss leaves whole: on the disk before their name is, the name right after.

A rename alone survives a kill. Without the syncs around it a machine that loses power may keep
the new name and not the bytes, or the old name beside what was already built on the new one.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def sync(path: Path) -> None:
    """Have the disk hold a file's bytes, or which names a folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Have the disk hold everything below a folder, and the folder."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(root, name))
        sync(Path(root))


def replace(temporary: Path, target: Path) -> None:
    """Put a finished file, or a folder where none is, in place of `target`, durably.

    Both must lie on one file system. Everything below a folder is synced first.
    """
    if temporary.is_dir():
        sync_tree(temporary)
    else:
        sync(temporary)
    temporary.replace(target)
    sync(target.parent)


def write(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Write a whole file (text as UTF-8) in place of `path`: a reader sees the old or the new."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as handle:
            if mode is not None:
                os.fchmod(handle.fileno(), mode)
            handle.write(data)
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
