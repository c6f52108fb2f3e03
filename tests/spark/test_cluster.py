"""A real cluster on the loopback: a master, two workers and HiveThriftServer2.

Needs Java 17 and the extra `spark`: `make test-spark-cluster` makes an environment for it.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestration.engines import session_key, spark
from orchestration.engines.agreement import compare_engines
from orchestration.engines.cluster import Cluster, loopback_cluster
from orchestration.engines.mirror import mirror_root
from orchestration.engines.requirements import CLUSTER_PACKAGES, missing_java, missing_package
from orchestration.errors import TandemError
from tests.spark.worlds import assert_equal, land_world
from tests.support import test_settings

MISSING = missing_package(CLUSTER_PACKAGES) or missing_java()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(1800),
]
# About the middle of the models.
NODES_BEFORE_THE_KILL = 70


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with loopback_cluster(tmp_path_factory.mktemp("cluster"), driver="2500m") as found:
        yield found
    assert not _processes(found.home)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the tests that build nothing: dbt parses the project once a home."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def _on_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)


def test_every_part_listens_on_the_loopback_alone(cluster: Cluster) -> None:
    processes = [psutil.Process(pid) for pid in _processes(cluster.home)]
    # The master, two workers and the server.
    assert len(processes) >= 4
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening


@pytest.mark.usefixtures("_on_the_cluster")
def test_a_cluster_of_another_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(spark, "client_version", lambda: "3.5.9")
    with pytest.raises(
        TandemError, match=r"127\.0\.0\.1:\d+: it is version 4\.\d.* has pyspark 3\.5\.9"
    ):
        spark.build_on_spark(test_settings(home))
    assert not mirror_root(test_settings(home)).exists()


@pytest.mark.usefixtures("_on_the_cluster")
def test_a_server_that_is_no_spark_is_named(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Closing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("TANDEM_SPARK_PORT", str(server.server_address[1]))
        with pytest.raises(TandemError, match=rf"127\.0\.0\.1:{server.server_address[1]}"):
            spark.build_on_spark(test_settings(home))
        server.shutdown()


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
    agreement = compare_engines(settings, keep=True, on_node=on_node)
    [executors] = lost
    assert executors
    assert not {process.pid for process in executors} & set(_processes(cluster.home))
    assert cluster.workers[1].poll() is not None
    assert_equal(agreement)
    for padded in session_key.padded_keys(settings.secret_key()).values():
        assert not _files_with(padded, cluster.home)
        assert not _files_with(padded, settings.home)


class _Closing(socketserver.BaseRequestHandler):
    """Hangs up at once."""

    def handle(self) -> None:
        self.request.close()


def _processes(home: Path) -> list[int]:
    return [
        process.pid
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
