"""A PostgreSQL of the machine's own, started for the tests on a socket in a private folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BINARIES = Path("/usr/lib/postgresql")


def binaries() -> Path | None:
    """The newest installed server's programs."""
    found = sorted(
        (path for path in _BINARIES.glob("*/bin") if (path / "initdb").exists()),
        key=lambda path: int(path.parent.name.split(".")[0]),
    )
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def postgres() -> Iterator[str]:
    """The DSN of a superuser `tandem` of a fresh server; skips where none is installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    # It refuses to run as root, and a socket's path must be short.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="tandem-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "tandem", "-A", "trust", "-N", "-E", "UTF8"],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        options = f"-c listen_addresses= -c fsync=off -c unix_socket_directories={folder}"
        control = [programs / "pg_ctl", "-D", data, "-w"]
        subprocess.run(
            [*control, "-o", options, "-l", folder / "log", "start"],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        try:
            yield f"postgresql://tandem@/postgres?host={folder}"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"],
                check=True,
                capture_output=True,
                user=user,
                cwd="/",
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
