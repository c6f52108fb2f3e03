"""What connectors of JSON exports share: streamed values, times, and errors that name the place."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import ijson
import orjson

from orchestration.connectors.base import SHAPE, Conversion, ConversionError, require_sane

Json = dict[str, Any]
LINE_BYTES = 64 * 1024 * 1024
"""No line that is taken whole may be longer."""
MAX_DEPTH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def shape(conversion: Conversion, place: str, native: str) -> Iterator[None]:
    """Turn a surprise in an export's shape into a ConversionError that names the place.

    The surprise's own text may quote the record; its kind says enough.
    """
    try:
        yield
    except SHAPE as error:
        raise ConversionError(
            f"{conversion.path}: {place}: not as {native} writes it ({type(error).__name__})"
        ) from error


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends in a ConversionError where its archive is a bomb."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        super().__init__()
        self._decompressed = stream
        self._path = path
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._decompressed.read(len(buffer))
        self._bytes += len(block)
        require_sane(self._path, self._bytes)
        buffer[: len(block)] = block
        return len(block)


def bounded(stream: IO[bytes] | gzip.GzipFile, path: Path) -> io.BufferedReader:
    """What an archive expands to, read no further than `require_sane` allows."""
    return io.BufferedReader(_Bounded(stream, path), 256 * 1024)


def whole_lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """Lines with their ends; ConversionError for one longer than `LINE_BYTES`."""
    while line := stream.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise ConversionError(f"{path}: a line longer than {LINE_BYTES} bytes")
        yield line


class Counting:
    """A binary stream that reports its progress."""

    def __init__(self, stream: IO[bytes], conversion: Conversion, what: str) -> None:
        self._stream = stream
        self._conversion = conversion
        self._what = what

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as a file gives them."""
        block = self._stream.read(size)
        self._conversion.advance(len(block), self._what)
        return block

    def __iter__(self) -> Iterator[bytes]:
        pending = 0
        for line in whole_lines(self._stream, self._conversion.path):
            pending += len(line)
            if pending > 1 << 20:
                self._conversion.advance(pending, self._what)
                pending = 0
            yield line
        self._conversion.advance(pending, self._what)


def export_files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or the folder's files of these endings at any depth, in order."""
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.name.lower().endswith(suffixes) and file.name[0] not in "._"
    )


def relative(conversion: Conversion, path: Path) -> str:
    """A file's name inside the export, for error texts and reports."""
    if path == conversion.path:
        return path.name
    return path.relative_to(conversion.path).as_posix()


def read_lines(conversion: Conversion, stream: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    """The value of each JSON line, with its place."""
    for number, line in enumerate(Counting(stream, conversion, name), start=1):
        if line.isspace():
            continue
        place = f"{name}: line {number}"
        try:
            yield place, orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConversionError(
                f"{conversion.path}: {place}, column {error.colno}: {error.msg}"
            ) from error


def read_json(conversion: Conversion, path: Path) -> Iterator[tuple[str, Any]]:
    """The values of a JSON file, one after the other, each with its place.

    A list gives its items; JSON lines and values that follow each other give themselves.
    """
    name = relative(conversion, path)
    with path.open("rb") as stream:
        head = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        stream.seek(0)
        if not head:
            conversion.advance(path.stat().st_size, name)
            return
        first = head.partition(b"\n")[0]
        if head[:1] != b"[" and _whole(first if b"\n" in head else stream.readline(LINE_BYTES)):
            stream.seek(0)
            yield from read_lines(conversion, stream, name)
            return
        _require_flat(conversion, path, name)
        stream.seek(0)
        prefix = "item" if head[:1] == b"[" else ""
        source = Counting(stream, conversion, name)
        number = 0
        try:
            for value in ijson.items(source, prefix, use_float=True, multiple_values=True):
                number += 1
                yield f"{name}: value {number}", value
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise ConversionError(
                f"{conversion.path}: {name}: after value {number}: no JSON ({type(error).__name__})"
            ) from error


def _require_flat(conversion: Conversion, path: Path, name: str) -> None:
    """Raise ConversionError for deep JSON."""
    # ijson keeps the whole path of each level: 60,000 of them, in 120 KB, would take 18 GB.
    depth = 0
    with path.open("rb") as stream, suppress(ijson.JSONError, UnicodeDecodeError):
        for event, _ in ijson.basic_parse(stream, use_float=True, multiple_values=True):
            if event in ("start_map", "start_array"):
                depth += 1
                if depth > MAX_DEPTH:
                    raise ConversionError(
                        f"{conversion.path}: {name}: nested deeper than {MAX_DEPTH} levels"
                    )
            elif event in ("end_map", "end_array"):
                depth -= 1


def _whole(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def text_of(conversion: Conversion, record: Any, name: str, place: str) -> str:
    """A field that must hold text or a whole number, as text."""
    value = record.get(name) if isinstance(record, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ConversionError(f"{conversion.path}: {place}: no {name}")
    return value


def millis(value: Any) -> str:
    """ISO time in UTC of milliseconds since 1970; TypeError or ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no milliseconds")
    moment = _EPOCH + timedelta(milliseconds=value)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def stand_in(name: str) -> str:
    """A stable id in place of a name: the first 16 hex digits of its SHA-256."""
    return f"name:{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def remainder(
    conversion: Conversion, record: Json, taken: Collection[str], harmless: Collection[str]
) -> Json:
    """The native fields that no contract field holds.

    With text or names left out, only those known to be harmless: formats grow new fields.
    """
    if conversion.options.no_text or conversion.options.no_names:
        return {name: value for name, value in record.items() if name in harmless}
    return {
        name: value
        for name, value in record.items()
        if name not in taken and value not in (None, "", [], {})
    }
