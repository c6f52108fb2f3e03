"""What a loopback cluster asks for and leaves, told without starting one."""

from __future__ import annotations

import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestration.engines import cluster
from orchestration.errors import TandemError


@pytest.fixture
def spark_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package pyspark whose processes sleep."""
    folder = tmp_path / "pyspark"
    (folder / "bin").mkdir(parents=True)
    for name in ("spark-class", "spark-submit"):
        script = folder / "bin" / name
        script.write_text("#!/bin/sh\nenv > env.$$\nsleep 600 &\nwait\n")
        script.chmod(0o755)
    monkeypatch.setattr(cluster, "missing_java", lambda: None)
    monkeypatch.setattr(cluster, "package_folder", lambda: folder)
    return folder


def test_without_java_nothing_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "missing_java", lambda: "no java on the path")
    with pytest.raises(TandemError, match="no java"), cluster.loopback_cluster(tmp_path / "home"):
        pass
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("spark_home")
@pytest.mark.parametrize("memory", ["1", "0m", "-1g", "1t", "1g\nspark.ui.enabled true"])
def test_a_memory_that_is_none_is_refused(memory: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with (
        pytest.raises(TandemError, match=r"memory is .*write it as"),
        cluster.loopback_cluster(home, memory=memory),
    ):
        pass
    assert not home.exists()


@pytest.mark.usefixtures("spark_home")
def test_folders_are_private_and_processes_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "_wait_for", lambda *_: None)
    monkeypatch.setenv("TANDEM_KEY", "not-for-spark")
    home = tmp_path / "home"
    with cluster.loopback_cluster(home) as found:
        started = _below(found.workers)
        assert len(found.workers) == 2
        found.kill_worker(1)
        assert found.workers[1].poll() is not None
    assert started
    # Killed with their parent, and gone when the system comes to it.
    deadline = time.monotonic() + 30
    while any(_lives(process) for process in started):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for path in (home, *home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not any("not-for-spark" in path.read_text() for path in home.glob("env.*"))


def test_a_process_that_ends_at_once_is_an_error(spark_home: Path, tmp_path: Path) -> None:
    (spark_home / "bin" / "spark-class").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    home = tmp_path / "home"
    with (
        pytest.raises(TandemError, match=r"ended at once: see .*logs"),
        cluster.loopback_cluster(home),
    ):
        pass
    assert "broken" in (home / "logs" / "master.log").read_text()


def _below(processes: list[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    found = [psutil.Process(process.pid) for process in processes]
    return found + [child for process in found for child in process.children(recursive=True)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
