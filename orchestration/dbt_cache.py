"""What dbt made of one state of the project, kept for every home of this user.

Parsing takes ten seconds of CPU and compiling the data tests as many, and both follow from the
project's files alone. A copy counts in a home only with the stamp that `transform` checks, so
what is damaged or missing here is made anew; nothing here is about the data.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from orchestration import durable, plan

STATES_KEPT = 4


def fetch(target: Path, fingerprint: str, names: Iterable[str]) -> None:
    """Copy the files that are kept for this state of the project into `target`."""
    with suppress(OSError, RuntimeError):
        folder = _folder(fingerprint)
        found = [folder / name for name in names if (folder / name).is_file()]
        if found:
            target.mkdir(parents=True, exist_ok=True)
            for path in found:
                shutil.copyfile(path, target / path.name)
            os.utime(folder)


def keep(target: Path, fingerprint: str, names: Iterable[str]) -> None:
    """Keep copies of these files of `target`, and those of the states used last."""
    with suppress(OSError, RuntimeError):
        folder = _folder(fingerprint)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            temporary = folder / f".{name}-{uuid.uuid4().hex[:8]}"
            shutil.copyfile(target / name, temporary)
            durable.replace(temporary, folder / name)
        os.utime(folder)
        states = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in states[:-STATES_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _folder(fingerprint: str) -> Path:
    """`$XDG_CACHE_HOME/tandem/dbt/<state>`; the project's path counts, as dbt writes it down."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    text = f"{fingerprint}\n{plan.DBT_PROJECT.resolve()}"
    return Path(base) / "tandem" / "dbt" / hashlib.sha256(text.encode()).hexdigest()[:32]
