"""What Spark needs on this machine, asked for before anything is started or written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

LEAST_JAVA = 17
SESSION_PACKAGES = ("pyspark", "dbt-spark")
CLUSTER_PACKAGES = ("pyspark", "dbt-spark", "pyhive", "thrift")


def missing_requirement() -> str | None:
    """What keeps this machine from running a Spark session, in words; None where nothing does."""
    return missing_package(SESSION_PACKAGES) or missing_java()


def missing_package(packages: Sequence[str]) -> str | None:
    """The first of `packages` that is not installed, in words; None where all are."""
    for package in packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"the package {package} is not installed: install Tandem's extra `spark`"
    return None


def client_version() -> str:
    """The version of this machine's pyspark, as 4.1.4."""
    return metadata.version("pyspark")


def missing_java() -> str | None:
    """Why there is no Java that Spark can use, in words; None where there is."""
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
