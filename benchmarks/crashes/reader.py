"""A reader that never looks away: opens what is served again and again while builds are killed."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import pickle
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

PAUSE = 0.3
TABLES_A_LOOK = 4


@dataclass
class Seen:
    """What a reader saw: how often it looked, each version, and what was wrong."""

    looks: int = 0
    versions: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def watching(home: Path) -> Iterator[Seen]:
    """A process that reads `home`'s served file, Parquet and packs until the context ends."""
    stop = mmap.mmap(-1, 1)
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    pid = os.fork()
    if pid == 0:
        _watch(home, stop, Path(name))
    seen = Seen()
    try:
        yield seen
    finally:
        stop[0] = 1
        for _ in range(400):
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.05)
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            seen.wrong.append("the reader hung")
        if Path(name).stat().st_size:
            found = pickle.loads(Path(name).read_bytes())
            seen.looks, seen.versions = found.looks, found.versions
            seen.wrong += found.wrong
        Path(name).unlink()


def _watch(home: Path, stop: mmap.mmap, result: Path) -> None:
    seen, rng = Seen(), random.Random(os.getpid())
    try:
        while stop[0] == 0:
            look(home, seen, rng)
            time.sleep(PAUSE)
        look(home, seen, rng, whole=True)
    except BaseException as error:  # noqa: BLE001 (it must reach the parent)
        seen.wrong.append(f"{type(error).__name__}: {error}")
    finally:
        result.write_bytes(pickle.dumps(seen))
        os._exit(0)


def look(home: Path, seen: Seen, rng: random.Random, *, whole: bool = False) -> None:
    """Read some tables, or all, of the served file and of its Parquet, and every pack."""
    seen.looks += 1
    serving = home / "serving"
    try:
        with duckdb.connect(config={"threads": "1"}) as connection:
            connection.execute(f"attach '{serving / 'marts.duckdb'}' as served (read_only)")
            version = _version(connection, "served.main._publish")
            rows = connection.execute(
                "select table_name, row_count from served.main._publish_tables"
            ).fetchall()
            for table, count in rows if whole else rng.sample(rows, min(len(rows), TABLES_A_LOOK)):
                found = connection.execute(f"select count(*) from served.{table}").fetchall()
                if found != [(count,)]:
                    seen.wrong.append(f"v{version} {table}: {found} rows, {count} announced")
            if not seen.versions or seen.versions[-1] != version:
                if seen.versions and version < seen.versions[-1]:
                    seen.wrong.append(f"v{version} after v{seen.versions[-1]}")
                seen.versions.append(version)
            # Resolved once: a link that is followed for each file may change in between.
            folder = (serving / "parquet" / "current").resolve(strict=True)
            version = _version(connection, f"read_parquet('{folder / '_publish.parquet'}')")
            if folder.name != f"v{version:03d}":
                seen.wrong.append(f"{folder.name} holds v{version}")
            rows = connection.execute(
                f"select * from read_parquet('{folder / '_publish_tables.parquet'}')"
            ).fetchall()
            for table, count, _ in (
                rows if whole else rng.sample(rows, min(len(rows), TABLES_A_LOOK))
            ):
                path = folder / f"{table.replace('.', '/')}.parquet"
                found = connection.execute(f"select count(*) from '{path}'").fetchall()
                if found != [(count,)]:
                    seen.wrong.append(f"Parquet v{version} {table}: {found} rows, not {count}")
    except (duckdb.Error, OSError) as error:
        seen.wrong.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    seen.wrong += broken_packs(home)


def broken_packs(home: Path) -> list[str]:
    """Released folders that are not what their manifest says."""
    wrong = []
    for folder in home.glob("exports/*/v*"):
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            for name, about in manifest["files"].items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != about["sha256"]:
                    wrong.append(f"{folder.name}/{name} is not what its manifest says")
        except (OSError, ValueError, KeyError) as error:
            wrong.append(f"{folder.name}: {type(error).__name__}")
    return wrong


def _version(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    rows = connection.execute(f"select version from {table}").fetchall()
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows in {table}")
    return int(rows[0][0])
