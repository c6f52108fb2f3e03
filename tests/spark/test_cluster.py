"""A real cluster on the loopback: a master, two workers and HiveThriftServer2.

Needs Java 17 and the extra `spark`: `make test-spark-cluster` makes an environment for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestration.engines import session_key
from orchestration.engines.agreement import compare_engines
from orchestration.engines.cluster import Cluster, loopback_cluster
from orchestration.engines.requirements import CLUSTER_PACKAGES, missing_java, missing_package
from tests.spark.worlds import assert_equal, land_world

MISSING = missing_package(CLUSTER_PACKAGES) or missing_java()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(1800),
]
# About the middle of the models.
NODES_BEFORE_THE_KILL = 70


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with loopback_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found
    assert not [process for process in _processes(found.home) if process.is_running()]


@pytest.fixture
def _on_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_on_the_cluster")
def test_a_build_survives_the_loss_of_a_worker(cluster: Cluster, tmp_path: Path) -> None:
    finished: list[str] = []
    lost: list[list[psutil.Process]] = []

    def kill() -> None:
        lost.append(cluster.executors(1))
        cluster.kill_worker(1)

    def on_node(name: str) -> None:
        # DuckDB's build comes first, when the workers have nothing to do.
        if cluster.executors(1):
            finished.append(name)
            if len(finished) == NODES_BEFORE_THE_KILL:
                # A moment later, when the next models run.
                threading.Timer(0.3, kill).start()

    settings = land_world(tmp_path, seeds=(0,), persons=120)
    agreement = compare_engines(settings, on_node=on_node)
    [executors] = lost
    assert executors
    assert not any(process.is_running() for process in executors)
    assert cluster.workers[1].poll() is not None
    assert_equal(agreement)
    for padded in session_key.padded_keys(settings.secret_key()).values():
        assert not _files_with(padded, cluster.home)


def _processes(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(home) in " ".join(process.info.get("cmdline") or [])
    ]


def _files_with(text: str, folder: Path) -> list[Path]:
    """Files that hold the text as it stands, in capitals, or as the bytes that it spells."""
    wanted = [text.encode(), text.upper().encode(), bytes.fromhex(text)]
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(piece in path.read_bytes() for piece in wanted)
    ]
