"""A Spark cluster on this machine's loopback: a master, workers and HiveThriftServer2.

For tests and for a first look: it has every part of a real one, each a process of its own, and
nothing of it outlives the block. All of it comes with the package pyspark.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

from orchestration.engines import session_key
from orchestration.engines.requirements import missing_java, missing_package
from orchestration.errors import TandemError

HOST = "127.0.0.1"
START_SECONDS = 120
_PORTS = range(20_000, 30_000)
_MASTER = "org.apache.spark.deploy.master.Master"
_WORKER = "org.apache.spark.deploy.worker.Worker"
_THRIFT_SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
# A short life on few cores: the second compiler and a parallel collector never pay.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dfile.encoding=UTF-8"


@dataclass
class Cluster:
    """A running cluster. `thrift_port` of `HOST` takes the target `spark_thrift`."""

    home: Path
    master_port: int
    thrift_port: int
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    server: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Tandem builds on this cluster."""
        return {"TANDEM_SPARK_HOST": HOST, "TANDEM_SPARK_PORT": str(self.thrift_port)}

    def executors(self, worker: int) -> list[psutil.Process]:
        """The executors that a worker runs now: none before the first query needs one."""
        try:
            return psutil.Process(self.workers[worker].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill_worker(self, worker: int) -> None:
        """SIGKILL for a worker and its executors, as when a machine loses power."""
        _kill(self.workers[worker])

    def wait(self) -> None:
        """Return when the Thrift server ends, which it does by itself only when it fails."""
        if self.server is not None:
            self.server.wait()


@contextmanager
def loopback_cluster(
    home: Path, *, workers: int = 2, cores: int = 1, memory: str = "768m", driver: str = "1g"
) -> Iterator[Cluster]:
    """Start a cluster with its folders under `home`, which is made private, and end it after.

    Each worker has one executor of `cores` and `memory`; `driver` is the Thrift server's heap.
    Raises TandemError where Java or a package is missing, and where a process does not come up.
    Whoever reaches the Thrift server's port of 127.0.0.1 may query: it is for a machine of one's
    own. The parts trust one another by a secret of this run.
    """
    if missing := missing_java():
        raise TandemError(missing)
    if not re.fullmatch(r"[1-9][0-9]{0,5}[mg]", memory):
        raise TandemError(f"memory is {memory!r}: write it as 512m or 2g")
    package_folder()
    home = home.absolute()
    # The server looks into `tmp/local`, and only writes there where Hive itself runs a query.
    for name in ("", "conf", "local", "logs", "tmp", "tmp/local", "work"):
        (home / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    found = Cluster(home, master_port=_free_port(), thrift_port=_free_port())
    _configure(found, cores, memory)
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str, heap: str = "256m") -> subprocess.Popen[bytes]:
        processes.append(_start(home, name, command, heap))
        return processes[-1]

    try:
        master = f"spark://{HOST}:{found.master_port}"
        address = ("--host", HOST, "--webui-port", "0")
        start("master", "spark-class", _MASTER, *address, "--port", str(found.master_port))
        _wait_for(found.master_port, processes, home)
        limits = ("--cores", str(cores), "--memory", _worker_memory(memory))
        for number in range(workers):
            work = ("--work-dir", str(home / "work" / str(number)))
            options = (*address, *limits, *work, master)
            found.workers.append(start(f"worker-{number}", "spark-class", _WORKER, *options))
        server = ("--class", _THRIFT_SERVER, "spark-internal", *_hive(found))
        # This one driver takes its heap from the setting of Spark's daemons.
        found.server = start("thrift", "spark-submit", *server, heap=driver)
        _wait_for(found.thrift_port, processes, home)
        yield found
    finally:
        for process in reversed(processes):
            _kill(process)


def _configure(cluster: Cluster, cores: int, memory: str) -> None:
    """Settings in files, so that no secret stands in a process's command line."""
    home = cluster.home
    settings = {
        "spark.master": f"spark://{HOST}:{cluster.master_port}",
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(32),
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.extraJavaOptions": f"{_JVM} -Djava.io.tmpdir={home / 'tmp'}",
        "spark.executor.cores": str(cores),
        "spark.executor.memory": memory,
        "spark.executor.extraJavaOptions": f"{_JVM} -Djava.io.tmpdir={home / 'tmp'}",
        "spark.local.dir": str(home / "local"),
        "spark.log.level": "ERROR",
        "spark.master.rest.enabled": "false",
        # Every build makes its tables anew; a metastore in a database would only cost time.
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.redaction.string.regex": session_key.LITERAL,
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.ui.enabled": "false",
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    _write(home / "conf" / "spark-defaults.conf", text)
    _write(
        home / "conf" / "log4j2.properties",
        "rootLogger.level = error\n"
        "rootLogger.appenderRef.stderr.ref = stderr\n"
        "appender.stderr.type = Console\n"
        "appender.stderr.name = stderr\n"
        "appender.stderr.target = SYSTEM_ERR\n"
        "appender.stderr.layout.type = PatternLayout\n"
        "appender.stderr.layout.pattern = %d %p %c: %m%n%ex\n",
    )


def _hive(cluster: Cluster) -> Iterator[str]:
    settings = {
        "hive.server2.thrift.port": str(cluster.thrift_port),
        "hive.server2.thrift.bind.host": HOST,
        "hive.server2.authentication": "NOSASL",
        # Hive would keep a file of what each statement logged.
        "hive.server2.logging.operation.enabled": "false",
        "hive.exec.scratchdir": str(cluster.home / "tmp" / "scratch"),
        "hive.exec.local.scratchdir": str(cluster.home / "tmp" / "local"),
        "hive.downloaded.resources.dir": str(cluster.home / "tmp" / "resources"),
        "hive.querylog.location": str(cluster.home / "tmp" / "querylog"),
    }
    for name, value in settings.items():
        yield from ("--hiveconf", f"{name}={value}")


def package_folder() -> Path:
    """The package pyspark, which holds Spark's own programs. Raises TandemError without it."""
    missing = missing_package(["pyspark"])
    package = find_spec("pyspark")
    if missing or package is None or package.origin is None:
        raise TandemError(missing or "the package pyspark cannot be found")
    return Path(package.origin).parent


def _start(home: Path, name: str, command: tuple[str, ...], heap: str) -> subprocess.Popen[bytes]:
    spark_home = package_folder()
    # The key and the settings of Tandem are none of its business.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")
    }
    path = home / "logs" / f"{name}.log"
    path.touch(mode=0o600)
    with path.open("wb") as log:
        return subprocess.Popen(
            [str(spark_home / "bin" / command[0]), *command[1:]],
            cwd=home,
            env={**inherited, **_environment(home, spark_home), "SPARK_DAEMON_MEMORY": heap},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own: a worker and its executors end together.
            start_new_session=True,
            umask=0o077,
        )


def _environment(home: Path, spark_home: Path) -> Mapping[str, str]:
    return {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(home / "conf"),
        "SPARK_DAEMON_JAVA_OPTS": _JVM,
        "SPARK_HOME": str(spark_home),
        "SPARK_LOCAL_DIRS": str(home / "local"),
        # Without it Spark's own pages would listen on every address.
        "SPARK_LOCAL_IP": HOST,
        "SPARK_PUBLIC_DNS": HOST,
    }


def _wait_for(port: int, processes: list[subprocess.Popen[bytes]], home: Path) -> None:
    """Until the port answers; a process that ends before is an error, and so is too long a wait."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            raise TandemError(f"a process of Spark ended at once: see {home / 'logs'}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise TandemError(f"Spark does not listen after {START_SECONDS} s: see {home / 'logs'}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    """A port that nothing has, and that no one is given who asks for any port."""
    for port in random.sample(_PORTS, k=50):
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port
    raise TandemError(f"no free port from {_PORTS.start} to {_PORTS.stop}")


def _worker_memory(executor: str) -> str:
    """A worker's room for one executor: its heap, in the unit given, and a quarter more."""
    return f"{int(executor[:-1]) * 5 // 4 + 1}{executor[-1]}"


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
