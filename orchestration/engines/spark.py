"""The dbt project on a Spark session of this process: what that needs, and one run of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestration.engines import python_models
from orchestration.engines.mirror import MirroredTable, mirror, mirror_root
from orchestration.errors import TandemError
from orchestration.settings import Settings
from orchestration.transform import DbtSession, NodeResult

LEAST_JAVA = 17
PACKAGES = ("pyspark", "dbt-spark")
TARGET = "spark"
TABLES_VARIABLE = "TANDEM_SPARK_TABLES"


def tables_root(settings: Settings) -> Path:
    """Where Spark keeps its tables: `<root>/<schema>.db/<table>/*.parquet`."""
    return settings.home.absolute() / "spark" / "warehouse"


def missing_requirement() -> str | None:
    """What keeps this machine from running Spark, in words; None where nothing does."""
    for package in PACKAGES:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"the package {package} is not installed: install Tandem's extra `spark`"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None:
        return f"no java on the path: Spark needs Java {LEAST_JAVA}"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{java} -version fails ({error}): Spark needs Java {LEAST_JAVA}"
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    if found is None or int(found[1]) < LEAST_JAVA:
        return f"{java} is Java {found[1] if found else '?'}: Spark needs Java {LEAST_JAVA}"
    return None


def build_on_spark(
    settings: Settings,
    select: Sequence[str] = (),
    on_node: Callable[[str], None] | None = None,
) -> list[NodeResult]:
    """Make every model (or those that `select` names) on Spark, from the warehouse's own inputs.

    The inputs are mirrored to Parquet, everything is rebuilt, and nothing is published; the
    warehouse stays as it is. `on_node` hears each node's name. Raises TandemError where Spark
    cannot run, before anything is written, and where a node failed.
    """
    return open_spark(settings, on_node=on_node).run(select)


def open_spark(
    settings: Settings,
    *,
    tables: Path | None = None,
    on_node: Callable[[str], None] | None = None,
) -> SparkDbt:
    """Open dbt on Spark over what the warehouse holds now, for one selection after another.

    The inputs are mirrored to Parquet. `tables` is where the models' tables go instead of
    Spark's own warehouse, laid out alike: `<tables>/<schema>.db/<table>/*.parquet`. Raises
    TandemError where Spark cannot run, before anything is written.
    """
    missing = missing_requirement()
    if missing:
        raise TandemError(missing)
    mirrored = mirror(settings)
    python_models.install()
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    dbt = SparkDbt(settings, settings.home / "spark" / "dbt", on_node=on_node, tables=tables)
    _register(dbt, settings, mirrored)
    _declare_key(settings)
    return dbt


def stop_session() -> None:
    """End this process's Spark session, if there is one: it holds memory and the metastore."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


@dataclass
class SparkDbt(DbtSession):
    """dbt for the Spark target, which does not open the warehouse."""

    tables: Path | None = None

    def run(self, select: Sequence[str] = (), *, check: bool = True) -> list[NodeResult]:
        """Make the models that `select` names, or all; raises TandemError as `invoke` does."""
        chosen = ["--select", *select] if select else []
        return self.invoke(["run", "--full-refresh", "--target", TARGET, *chosen], check=check)

    def _run(self, arguments: Sequence[str]) -> list[Any]:
        with _tables_in(self.tables):
            return super()._run(arguments)

    @contextmanager
    def _held_open(self, command: str) -> Iterator[None]:  # noqa: ARG002
        yield

    def operate(self, macro: str, arguments: Mapping[str, Any]) -> None:
        """Run a macro as an operation; raises TandemError where it fails."""
        command = ["run-operation", macro, "--target", TARGET, "--args", json.dumps(arguments)]
        for item in self._run(command):
            if str(item.status) != "success":
                raise TandemError(f"dbt {macro}: {str(item.message or item.status).strip()[:300]}")


@contextmanager
def _tables_in(folder: Path | None) -> Iterator[None]:
    """Tell the macro `spark__location_clause` and the Python models where tables go."""
    before = os.environ.pop(TABLES_VARIABLE, None)
    if folder is not None:
        os.environ[TABLES_VARIABLE] = str(folder.absolute())
    try:
        yield
    finally:
        os.environ.pop(TABLES_VARIABLE, None)
        if before is not None:
            os.environ[TABLES_VARIABLE] = before


def _register(dbt: SparkDbt, settings: Settings, tables: Sequence[MirroredTable]) -> None:
    names: dict[str, list[str]] = {}
    for table in tables:
        names.setdefault(table.schema, []).append(table.name)
    dbt.operate("register_mirror", {"root": str(mirror_root(settings)), "tables": names})


def _declare_key(settings: Settings) -> None:
    """The padded keys of RFC 2104 as session variables: no table, view or log holds them."""
    key = settings.secret_key()
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    block = key.ljust(64, b"\0")
    session = _session()
    for name, mask in (("tandem_ipad", 0x36), ("tandem_opad", 0x5C)):
        padded = bytes(byte ^ mask for byte in block)
        session.sql(f"declare or replace variable {name} binary default X'{padded.hex()}'")


def _session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()
