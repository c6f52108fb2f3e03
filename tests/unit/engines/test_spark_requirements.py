"""What Spark needs is said before anything is written."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from orchestration.engines import requirements, spark
from orchestration.errors import TandemError
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


def test_nothing_is_written_without_spark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark, "missing_requirement", lambda: "no java")
    with pytest.raises(TandemError, match="no java"):
        spark.build_on_spark(test_settings(tmp_path / "home"))
    assert not (tmp_path / "home").exists()
