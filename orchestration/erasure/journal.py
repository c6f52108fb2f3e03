"""What an unfinished erasure is about: one private file, there only until the receipt is written.

It must name the person, since whoever goes on after a kill has to know what to look for.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from orchestration import durable
from orchestration.errors import TandemError
from orchestration.settings import Settings

Stage = Literal["begun", "prepared", "scrubbed", "swapped"]
"""begun: nothing changed. prepared: new landing files lie beside the old. scrubbed: raw and the
file ledger say what the new files hold. swapped: the new files are in place."""


@dataclass
class NewFile:
    """A landing file, by its path in the zone, and what takes its place.

    The new bytes lie in `temporary` beside it, those of its control file in
    `control_temporary`; sizes are bytes.
    """

    path: str
    log: str
    lines: int
    old_sha256: str
    sha256: str
    bytes: int
    mtime_ns: int
    temporary: str
    control_temporary: str | None = None
    control_bytes: int = 0
    control_mtime_ns: int = 0


@dataclass
class Journal:
    """One erasure under way.

    `ids` are (id_kind, source, id, replacement_id, tombstone). `bounded` are values that count
    where they stand alone, `loose` wherever they occur, `exact` only as a whole cell. `common`
    are values that other people's records hold too, `parts` those that longer values contain.
    """

    number: int
    requested_at: str
    ids: list[tuple[str, str, str, str, str]]
    keep_landing: bool = False
    stage: Stage = "begun"
    bounded: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)
    units: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[NewFile] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    common: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    landing_left: int = 0

    def names(self, source: str, number: str) -> bool:
        """Whether this erasure is about that id."""
        return any(row[1:3] == (source, number) for row in self.ids)


def journal_path(settings: Settings) -> Path:
    """Where the journal lies while an erasure is unfinished."""
    return settings.home / "erasure.json"


def read(settings: Settings) -> Journal | None:
    """The unfinished erasure, or None."""
    path = journal_path(settings)
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    values["ids"] = [tuple(row) for row in values["ids"]]
    values["units"] = [tuple(row) for row in values["units"]]
    values["files"] = [NewFile(**row) for row in values["files"]]
    return Journal(**values)


def write(settings: Settings, journal: Journal) -> None:
    """Put the journal in place, whole and on the disk (mode 0600)."""
    path = journal_path(settings)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(asdict(journal), handle, ensure_ascii=False)
    durable.replace(temporary, path)


def remove(settings: Settings) -> None:
    """The erasure is done."""
    journal_path(settings).unlink(missing_ok=True)


def require_none(settings: Settings) -> None:
    """Raise TandemError while landing zone and warehouse stand on two sides of an erasure."""
    found = read(settings)
    if found is not None and found.stage != "swapped":
        raise TandemError(
            "an erasure was interrupted, and nothing may be taken in before it is done: run "
            "`tandem erase --resume`"
        )
