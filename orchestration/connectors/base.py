"""What a converter is given, what it gives back, and the errors it raises."""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

from orchestration.connectors.landing import LandingWriter, Write, WriteLines
from orchestration.errors import TandemError

# RuntimeError: an encrypted member. NotImplementedError: a compression unknown here. ValueError
# and struct.error: a directory that says what cannot be.
BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError),
    *(RuntimeError, ValueError, struct.error),
)
SHAPE = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What a native record of an unexpected shape raises."""

FREE_EXPANSION = 256 * 1024 * 1024
"""Bytes that any archive may expand to."""
MAX_EXPANSION = 250
"""How many times its size a larger one may; text seldom shrinks to a thirtieth."""
MANY = 500
"""Reports tell so many kinds, notes and reasons apart, and no more."""
_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,39}|[A-Z][a-z]{1,19}(?:[A-Z][a-z]{1,19}){1,4}|[0-9]{1,5}")

Progress = Callable[[int, int, str], None]
"""Called now and then with (bytes read, bytes in all, the file being read)."""


_Key = TypeVar("_Key")


class ConversionError(TandemError):
    """The export cannot be converted: its text names the file and the place in it.

    Nothing was landed.
    """


class ConversionUsageError(ConversionError):
    """Wrong use: an unknown format, a zone that the format does not take, no such input."""

    exit_code = 2


def word(value: Any) -> str:
    """A type's native name as a report may repeat it.

    What does not look like a name that a format gives, may be what a person wrote: `(odd)`.
    """
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "(odd)"


def why_broken(error: Exception) -> str:
    """What is wrong with an archive, without its content."""
    if isinstance(error, zipfile.BadZipFile):
        return str(error)[:300]
    return f"damaged archive ({type(error).__name__})"


def require_sane(path: Path, expanded: int) -> None:
    """Raise ConversionError for an archive that expands to far more than text does."""
    if expanded > max(FREE_EXPANSION, MAX_EXPANSION * path.stat().st_size):
        raise ConversionError(f"{path}: expands to more than {MAX_EXPANSION} times its size")


@dataclass(frozen=True)
class ConvertOptions:
    """What to leave out at the source, and a format's own options (name → text).

    `no_text` leaves out what people wrote; `no_names` their names, phones, e-mail addresses and
    pictures. Ids, times and lengths stay.
    """

    no_text: bool = False
    no_names: bool = False
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """Native records of one kind that no log can hold, and why."""

    kind: str
    reason: str
    records: int


@dataclass(frozen=True)
class ConversionReport:
    """What one conversion did.

    `records_in` counts native records by kind, `records_out` landed records by log; one native
    record may give several landed ones. `notes` counts what was decided on the way (a membership
    inferred, a time borrowed). `files` appeared, `unchanged` were there with the same content.
    """

    format: str
    source: str
    records_in: Mapping[str, int]
    records_out: Mapping[str, int]
    left_out: tuple[LeftOut, ...]
    notes: Mapping[str, int]
    files: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "format": self.format,
            "source": self.source,
            "records_in": dict(self.records_in),
            "records_out": dict(self.records_out),
            "left_out": [vars(item) for item in self.left_out],
            "notes": dict(self.notes),
            "files": [str(path) for path in self.files],
            "unchanged": [str(path) for path in self.unchanged],
            "seconds": round(self.seconds, 3),
        }


class Conversion:
    """One run of a converter: its input, where it writes, and its counts.

    `path` is the export; `source` the platform's name in every record; `zone` is for native times
    without one (None unless the connector takes a zone).
    """

    def __init__(
        self,
        path: Path,
        source: str,
        zone: ZoneInfo | None,
        options: ConvertOptions,
        landing: LandingWriter,
        progress: Progress | None = None,
    ) -> None:
        self.path = path
        self.source = source
        self.zone = zone
        self.options = options
        self.records_in: Counter[str] = Counter()
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.notes: Counter[str] = Counter()
        self.total_bytes = 0
        self._landing = landing
        self._progress = progress
        self._bytes = 0

    def stream(self, log: str) -> Write:
        """The function that appends one record (contract field → value, no `source`) to a log."""
        return self._landing.stream(log)

    def lines(self, log: str) -> WriteLines:
        """The function that appends blocks of JSON lines, which hold `source`, to a log."""
        return self._landing.lines(log)

    def read(self, kind: str, records: int = 1) -> None:
        """Count native records taken from the export."""
        _count(self.records_in, kind, "(others)", records)

    def leave_out(self, kind: str, reason: str, records: int = 1) -> None:
        """Count native records, already counted as read, that give no landed record."""
        _count(self.left_out, (kind, reason), ("(others)", "(others)"), records)

    def note(self, what: str, records: int = 1) -> None:
        """Count a decision that a reader of the marts should know of."""
        _count(self.notes, what, "(others)", records)

    def advance(self, more_bytes: int, what: str) -> None:
        """Report progress; a converter sets `total_bytes` before."""
        self._bytes += more_bytes
        if self._progress is not None:
            self._progress(self._bytes, self.total_bytes, what)


def _count(counter: Counter[_Key], key: _Key, others: _Key, records: int) -> None:
    """Count, but a hostile export does not choose how many kinds there are."""
    counter[key if key in counter or len(counter) < MANY else others] += records


class Connector(ABC):
    """One native format. A third party adds one by an entry point of group `tandem.connectors`.

    Entry point name = `name`; its value is the class, which is made without arguments.
    Fields without a place in the contract go, under their native names, into one object whose
    key is `name`: ingestion keeps it in `_extra`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    takes_zone: ClassVar[bool] = False
    """Whether native times lack a zone, so that `--zone` means something."""
    options: ClassVar[Mapping[str, str]] = {}
    """The format's own options, name → what it does; any other name is refused."""

    @abstractmethod
    def convert(self, conversion: Conversion) -> None:
        """Read the export and write landing records; raises ConversionError."""
