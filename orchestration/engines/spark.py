"""The dbt project on Spark: a session of this process, or a cluster behind HiveThriftServer2."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from orchestration.engines import python_models, session_key
from orchestration.engines.compare import COMMITTED
from orchestration.engines.mirror import MirroredTable, mirror, mirror_root
from orchestration.engines.requirements import (
    CLUSTER_PACKAGES,
    client_version,
    missing_package,
    missing_requirement,
)
from orchestration.errors import TandemError, first_line
from orchestration.settings import Settings
from orchestration.transform import DbtSession, NodeResult, brief
from orchestration.warehouse import literal

SESSION_TARGET = "spark"
CLUSTER_TARGET = "spark_thrift"
CONNECT_SECONDS = 5.0
Folders = dict[str, dict[str, str]]
"""Schema to table to the folder of its Parquet."""
DEFAULT_PORT = 10_000
TABLES_VARIABLE = "TANDEM_SPARK_TABLES"


def tables_root(settings: Settings) -> Path:
    """Where `build_on_spark` leaves its tables: `<root>/<schema>.db/<table>/*.parquet`."""
    return settings.home.absolute() / "spark" / "warehouse"


def default_target() -> str:
    """The cluster where TANDEM_SPARK_HOST names one, a session of this process elsewhere."""
    return CLUSTER_TARGET if os.environ.get("TANDEM_SPARK_HOST") else SESSION_TARGET


def cluster_address() -> tuple[str, int]:
    """Host and port of HiveThriftServer2. Raises TandemError for a port that is none."""
    port = os.environ.get("TANDEM_SPARK_PORT", "10000")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise TandemError(f"TANDEM_SPARK_PORT is {port!r}: a port is a number from 1 to 65535")
    return os.environ.get("TANDEM_SPARK_HOST") or "127.0.0.1", int(port)


def require_spark(target: str) -> None:
    """Raise TandemError where a session cannot start, or the cluster does not answer."""
    on_cluster = target == CLUSTER_TARGET
    missing = missing_package(CLUSTER_PACKAGES) if on_cluster else missing_requirement()
    if missing:
        raise TandemError(missing)
    if on_cluster:
        _reach(*cluster_address())


def build_on_spark(
    settings: Settings,
    select: Sequence[str] = (),
    on_node: Callable[[str], None] | None = None,
) -> list[NodeResult]:
    """Make every model (or those that `select` names) on Spark, from the warehouse's own inputs.

    Every model is rebuilt whole and nothing is published; the warehouse stays as it is. `on_node`
    hears each node's name. Raises TandemError as `open_spark` does, and where a node failed.
    """
    tables, target = tables_root(settings), default_target()
    with open_spark(settings, target=target, tables=tables, reuse=bool(select)) as spark:
        spark.on_node = on_node
        return spark.run(select)


@contextmanager
def open_spark(
    settings: Settings, *, target: str, tables: Path, reuse: bool = False
) -> Iterator[SparkDbt]:
    """Open dbt on Spark, with the warehouse's inputs mirrored and registered.

    What it builds goes to `<tables>/<schema>.db/<table>`; with `reuse`, what stands there already
    can be read. A cluster must see the home and `tables` under the same paths. Raises TandemError,
    and then has overwritten no table, where Spark cannot run: no Java, no package, a cluster that
    does not answer, is of another version or sees other files, a Parquet file that is not whole.
    """
    require_spark(target)
    folder = settings.home / "spark" / target
    # dbt tells nothing of an operation that fails unless someone listens to nodes.
    dbt = SparkDbt(settings, folder, on_node=lambda _: None, spark_target=target)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with (
        _exchange(settings) as exchange,
        _variable("TANDEM_SPARK_TABLES", str(tables.absolute())),
        session_key.declared(settings.secret_key()),
    ):
        python_models.install(exchange, tables.absolute())
        dbt.parse()
        if target == CLUSTER_TARGET:
            _check_cluster(dbt, exchange)
        made = _made(tables.absolute()) if reuse else {}
        check_parquet(folder for schema in made.values() for folder in schema.values())
        mirrored = _mirrored(mirror_root(settings), mirror(settings))
        check_parquet(folder for schema in mirrored.values() for folder in schema.values())
        dbt.operate("register_tables", {"folders": mirrored | made})
        yield dbt


def stop_session() -> None:
    """End this process's Spark session, if there is one: it holds memory and the metastore."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


def check_parquet(folders: Iterable[str]) -> None:
    """Raise TandemError for the first Parquet file in `folders` that was not written whole.

    Reads each file's footer, which is written last.
    """
    with duckdb.connect() as connection:
        for path in (path for folder in folders for path in Path(folder).rglob("*.parquet")):
            try:
                connection.execute(f"from parquet_file_metadata({literal(path)})").fetchall()
            except duckdb.Error as error:
                reason = first_line(error)
                raise TandemError(f"{path} was not written whole: {reason}") from None


@dataclass
class SparkDbt(DbtSession):
    """dbt for a target of Spark, which does not open the warehouse."""

    spark_target: str = SESSION_TARGET
    problems: list[str] = field(default_factory=list)

    def run(self, select: Sequence[str] = (), *, check: bool = True) -> list[NodeResult]:
        """Make every model, or those that `select` names, anew; as `invoke` otherwise."""
        chosen = ["--select", *select] if select else []
        return self.invoke(["run", "--full-refresh", *chosen], check=check)

    def operate(self, macro: str, arguments: Mapping[str, Any]) -> None:
        """Run a macro as an operation; raises TandemError with dbt's reason where it fails."""
        self.problems.clear()
        results = self._run(["run-operation", macro, "--args", json.dumps(arguments)])
        if any(str(item.status) != "success" for item in results):
            # dbt puts the kind of error and the macro's place before what the macro says.
            told = re.sub(
                r"^(\w+ Error( in [^()]*\([^()]*\))? *)+", "", brief("\n".join(self.problems))
            )
            raise TandemError(told or f"dbt {macro} failed")

    @contextmanager
    def _held_open(self, command: str) -> Iterator[None]:  # noqa: ARG002
        yield

    def parse(self) -> None:
        """As for DuckDB; what is kept of a parsed project is of one target, and says of which."""
        with _variable("TANDEM_TARGET", self.spark_target):
            super().parse()

    def _run(self, arguments: Sequence[str]) -> list[Any]:
        with _variable("TANDEM_TARGET", self.spark_target):
            return super()._run(arguments)

    def _heard(self, event: Any) -> None:
        # The result of an operation does not say why it failed.
        if event.info.name.startswith("RunningOperation"):
            self.problems.append(str(event.data.exc))
        super()._heard(event)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _exchange(settings: Settings) -> Iterator[Path]:
    """A private folder for what goes between this process and Spark's; empty, and gone after."""
    folder = settings.home.absolute() / "spark" / "exchange"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reach(host: str, port: int) -> None:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            pass
    except OSError as error:
        raise TandemError(
            f"no Spark at {host}:{port} ({error.strerror or error}): start its HiveThriftServer2, "
            "or set TANDEM_SPARK_HOST and TANDEM_SPARK_PORT"
        ) from None


def _check_cluster(dbt: SparkDbt, folder: Path) -> None:
    """That the cluster is of this client's version and sees the files of this home."""
    probe = folder / "probe.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select 1 as probe) to {literal(probe)}")
    try:
        dbt.operate("check_cluster", {"client": client_version(), "probe": str(probe)})
    except TandemError as error:
        host, port = cluster_address()
        reason = str(error)
        if "PATH_NOT_FOUND" in reason:
            reason = f"it does not see {folder}, which it must share with this machine"
        raise TandemError(f"the Spark at {host}:{port}: {reason}") from None


def _mirrored(root: Path, tables: Iterable[MirroredTable]) -> Folders:
    found: Folders = {}
    for table in tables:
        folder = root / table.schema / table.name
        found.setdefault(table.schema, {})[table.name] = str(folder)
    return found


def _made(tables: Path) -> Folders:
    """What an earlier run left whole."""
    found: Folders = {}
    for done in sorted(tables.glob(f"*.db/*/{COMMITTED}")):
        schema = done.parent.parent.stem
        found.setdefault(schema, {})[done.parent.name] = str(done.parent)
    return found
