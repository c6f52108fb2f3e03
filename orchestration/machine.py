"""What this process may use: cores and memory, of the machine or of the container around it.

The defaults of `threads` and `memory_limit` follow from it (docs/operations.md, "Settings").
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GB = 1_000_000_000
PYTHON_BYTES = _GB
"""What Dagster, dbt and the gates take beside DuckDB, whatever the data."""
CORE_BYTES = 2 * _GB
"""What a thread of DuckDB joins and aggregates well with; more is for who has measured it."""
SMALL_BYTES = 1_500_000_000
"""Enough for 20 M events; more, where there is no more than two cores, fills no faster."""
LEAST_BYTES = 500_000_000
SHARE_OF_DATA = 4
"""A warehouse of so many bytes wants one of them in memory: 100 M events run out of 1500 MB."""


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may run on: its affinity, and a container's quota rounded up."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        # A system without affinities.
        cores = os.cpu_count() or 1
    for folder in _groups(root, "cpu"):
        quota = _quota(folder)
        if quota is not None:
            cores = min(cores, math.ceil(quota))
    return max(1, cores)


def usable_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may have: the machine's, or a container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(_words(folder / name)[:1])
            # Version 1 says "no limit" with a number that no machine has.
            if limit is not None and limit > 0:
                memory = min(memory, limit)
    return memory


def memory_limit(cores: int, memory: int, data: int = 0) -> str:
    """DuckDB's `memory_limit` by default, for cores, bytes of memory and bytes of warehouse.

    1500 MB and 2 GB more for each core beyond two, or a quarter of the warehouse where that is
    more, but at most half of what Python leaves, and 500 MB in any case: 1500MB of 2 cores and
    4 GB, 125500MB of 64 cores and 512 GB.
    """
    wanted = max(SMALL_BYTES + max(0, cores - 2) * CORE_BYTES, data // SHARE_OF_DATA)
    limit = max(LEAST_BYTES, min(wanted, (memory - PYTHON_BYTES) // 2))
    return f"{limit // 1_000_000}MB"


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cyclic garbage seldom, and not among what is there already, while this lasts.

    For work that makes many objects beside many that stay, as dbt's manifest does: a fifth of
    its time goes into looking at those again and again.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of all above it, of both versions."""
    base = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = base / controller if controllers else base
        own = top / path.lstrip("/")
        # Within a container the path may be the host's, and only the top be mounted.
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _quota(folder: Path) -> float | None:
    """Cores by the scheduler's quota, None for no quota."""
    words = _words(folder / "cpu.max") or [
        word
        for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        for word in _words(folder / name)[:1]
    ]
    quota, period = _number(words[:1]), _number(words[1:2])
    return quota / period if quota and period and quota > 0 else None


def _number(words: list[str]) -> int | None:
    try:
        return int(words[0])
    except (IndexError, ValueError):
        # `max`, or no such file.
        return None


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
