"""What Spark needs is said before anything is written."""

from __future__ import annotations

import socket
from importlib import metadata
from pathlib import Path

import duckdb
import pytest

from orchestration.engines import requirements, spark
from orchestration.errors import TandemError
from orchestration.warehouse import literal
from tests.support import test_settings


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.metadata, "version", lambda _: "1")


def _java(folder: Path, version: str) -> None:
    (folder / "bin").mkdir()
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(requirements.metadata, "version", absent)
    assert "pyspark is not installed" in str(requirements.missing_requirement())


@pytest.mark.usefixtures("installed")
def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requirements.missing_requirement() == "no java on the path: Spark needs Java 17"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("version", "missing"), [("17.0.1", False), ("21", False), ("11.0.2", True)]
)
def test_an_old_java_is_refused(
    version: str, missing: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert (requirements.missing_requirement() is not None) == missing


@pytest.fixture
def on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of this machine on which nothing listens, as the cluster's."""
    monkeypatch.setattr(spark, "missing_package", lambda _: None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    monkeypatch.setenv("TANDEM_SPARK_HOST", "127.0.0.1")
    monkeypatch.setenv("TANDEM_SPARK_PORT", str(port))
    return port


def test_a_cluster_that_does_not_answer_is_named(on_a_cluster: int, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=rf"no Spark at 127\.0\.0\.1:{on_a_cluster} \(.*refused"):
        spark.build_on_spark(test_settings(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("on_a_cluster")
@pytest.mark.parametrize("port", ["0", "65536", "http", "", "１"])
def test_a_port_that_is_none_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TANDEM_SPARK_PORT", port)
    with pytest.raises(TandemError, match="TANDEM_SPARK_PORT is "):
        spark.build_on_spark(test_settings(tmp_path / "home"))


def test_a_cluster_needs_the_extra_but_no_java(
    on_a_cluster: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(spark, "missing_package", requirements.missing_package)
    monkeypatch.setattr(requirements, "CLUSTER_PACKAGES", ("no-such-package",))
    monkeypatch.setattr(spark, "CLUSTER_PACKAGES", ("no-such-package",))
    with pytest.raises(TandemError, match="no-such-package is not installed"):
        spark.build_on_spark(test_settings(tmp_path / "home"))


def test_a_file_that_was_not_written_whole_is_named(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.parquet", tmp_path / "half.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select range as n from range(1000)) to {literal(whole)}")
    spark.check_parquet([str(tmp_path)])
    half.write_bytes(whole.read_bytes()[:500])
    with pytest.raises(TandemError, match=r"half\.parquet was not written whole"):
        spark.check_parquet([str(tmp_path)])


def test_nothing_is_written_without_spark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark, "missing_requirement", lambda: "no java")
    with pytest.raises(TandemError, match="no java"):
        spark.build_on_spark(test_settings(tmp_path / "home"))
    assert not (tmp_path / "home").exists()
