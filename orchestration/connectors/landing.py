"""Writes landing files that appear together when a conversion ends well, or not at all.

Belongs here: streaming, naming and the final renames. What a record means is the converters'.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from orjson import OPT_APPEND_NEWLINE, dumps

from orchestration.contracts import contracts

PART_BYTES = 256 * 1024 * 1024
"""A landing file takes about this many bytes of JSON before the next one begins."""
BUFFER_BYTES = 1024 * 1024

Record = Mapping[str, Any]
Write = Callable[[dict[str, Any]], None]
WriteLines = Callable[[bytes, int], None]
"""Called with whole JSON lines that hold `source` already, and their number."""


@dataclass(frozen=True)
class Landed:
    """The files of one conversion: those that appeared, and those that were there already."""

    new: tuple[Path, ...]
    unchanged: tuple[Path, ...]


class _Part:
    """One landing file under its temporary name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._file = path.open("xb")
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self._stream = compressor.stream_writer(self._file, closefd=False)

    def append(self, block: bytes) -> None:
        self._stream.write(block)
        self._digest.update(block)
        self.size += len(block)

    def finish(self) -> str:
        """Close the file durably; the SHA-256 of its uncompressed text as hex."""
        self._stream.flush(zstandard.FLUSH_FRAME)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        # Closing flushes, which a full disk refuses once more: the file goes away all the same.
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


class _LogStream:
    """The records of one log, cut into parts."""

    def __init__(self, folder: Path, stem: str, token: str, source: str) -> None:
        self.folder = folder
        self.records = 0
        self.finished: list[tuple[Path, str]] = []
        self._stem = stem
        self._token = token
        self._source = source
        self._part: _Part | None = None
        self._lines: list[bytes] = []
        self._pending = 0

    def write(self, record: dict[str, Any]) -> None:
        record["source"] = self._source
        line = dumps(record, None, OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self.records += 1
        self._pending += len(line)
        if self._pending >= BUFFER_BYTES:
            self._flush()

    def write_lines(self, block: bytes, records: int) -> None:
        self._lines.append(block)
        self.records += records
        self._pending += len(block)
        if self._pending >= BUFFER_BYTES:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._end_part()

    def discard(self) -> None:
        if self._part is not None:
            self._part.discard()
        for path, _ in self.finished:
            path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._lines:
            return
        if self._part is None:
            name = f".{self._stem}-{self._token}-{len(self.finished)}.part"
            self._part = _Part(self.folder / name)
        self._part.append(b"".join(self._lines))
        self._lines.clear()
        self._pending = 0
        if self._part.size >= PART_BYTES:
            self._end_part()

    def _end_part(self) -> None:
        if self._part is not None:
            self.finished.append((self._part.path, self._part.finish()))
            self._part = None


class LandingWriter:
    """Streams records into `<landing>/<core>/<log>/<format>-<source>-<digest>.jsonl.zst`.

    Until `commit`, everything stands under names that ingestion passes over. The digest is of the
    uncompressed text, so the same records in the same order get the same name. Use as a context
    manager: leaving it without a commit removes every temporary file.
    """

    def __init__(self, landing: Path, format_name: str, source: str) -> None:
        self._landing = landing
        self._source = source
        slug = re.sub(r"[^A-Za-z0-9.-]+", "_", source)[:80]
        self._stem = f"{format_name}-{slug}"
        self._token = secrets.token_hex(8)
        self._streams: dict[str, _LogStream] = {}
        self._made: list[Path] = []

    def __enter__(self) -> LandingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.discard()
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()

    def stream(self, log: str) -> Write:
        """The function that appends one record (contract field → value) to the log.

        It sets `source`. KeyError for a log that no contract describes.
        """
        return self._stream(log).write

    def lines(self, log: str) -> WriteLines:
        """The function that appends blocks of JSON lines, which hold `source`, to the log."""
        return self._stream(log).write_lines

    @property
    def records(self) -> dict[str, int]:
        """Records written so far, by log, in the order of the contracts."""
        return {
            log: self._streams[log].records
            for log in contracts()
            if log in self._streams and self._streams[log].records
        }

    def commit(self) -> Landed:
        """Finish every file, then give all of them their names.

        A rename that fails takes the earlier ones back. Raises OSError.
        """
        for stream in self._streams.values():
            stream.finish()
        new: list[Path] = []
        unchanged: list[Path] = []
        try:
            for log in self.records:
                stream = self._streams[log]
                for temporary, digest in stream.finished:
                    final = stream.folder / f"{self._stem}-{digest[:16]}.jsonl.zst"
                    if final.exists():
                        temporary.unlink()
                        unchanged.append(final)
                    else:
                        temporary.replace(final)
                        new.append(final)
        except BaseException:
            for path in new:
                path.unlink(missing_ok=True)
            raise
        for folder in {path.parent for path in new}:
            _sync_folder(folder)
        self._made.clear()
        return Landed(tuple(new), tuple(unchanged))

    def _stream(self, log: str) -> _LogStream:
        if log not in self._streams:
            folder = self._landing / contracts()[log].log
            self._make(folder)
            self._streams[log] = _LogStream(folder, self._stem, self._token, self._source)
        return self._streams[log]

    def _make(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made.extend(reversed(missing))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
