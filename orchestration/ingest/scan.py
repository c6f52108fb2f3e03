"""One streaming pass over a file's stored bytes: is it whole, and what does it hold.

DuckDB neither checks a gzip CRC nor notices a truncated stream, so nothing is loaded that did
not pass here. Memory stays at a few megabytes whatever the file's size.
"""

from __future__ import annotations

import codecs
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy
import zstandard

from orchestration.ingest.landing import open_regular

if TYPE_CHECKING:
    import pyarrow

_READ = 1 << 18
# What one call of the decompressor may give is bounded by what it is fed: 1 KiB of zstd can be
# 32 MB. Feeding so little costs it a quarter of its speed (0.075 s for 55 MB, 2026-11).
_COMPRESSED_READ = 1 << 14
_FEED = 1 << 10
FREE_EXPANSION = 256 << 20
"""Bytes that any compressed file may expand to."""
RECORD_BYTES = 64
"""What a record counts at least, in what a file expands to."""
MAX_COLUMNS = 2000
"""A CSV or Parquet file with more is unreadable: the longest contract has 25 fields."""
# Between the processor's cache and the interpreter's lock, which threads hand over with each look:
# 3 GB took two threads 3.3 s in blocks of 128 KiB, 2.2 s in these, 2.4 s in 2 MiB (2026-11).
_BLOCK = 1 << 19
# DuckDB holds two buffers of the longest line a thread; longer ones are read in Python.
_READABLE_LINE = 128 << 20
_SHAPED_LINE = 4 << 20
# So many blanks before a closing bracket are looked behind.
_BLANKS = 8
BOM = b"\xef\xbb\xbf"


class UnreadableError(Exception):
    """The file cannot be read to its end; the text says why, without any of its content."""


@dataclass(frozen=True)
class Shape:
    """What a file's JSON lines show without being parsed.

    `names` counts `":`, `quotes` counts `"`. In a `regular` file nothing but member names can
    account for the former once both agree with the values that were read: it has no backslash
    and no blank before a colon. In a `tidy` file no comma stands before a closing bracket and its
    blanks, so there is none of those that DuckDB forgives; regular files are tidy.
    """

    names: int = 0
    quotes: int = 0
    regular: bool = False
    tidy: bool = False


@dataclass(frozen=True)
class Scan:
    """What a pass over one file found. `lines` counts records; `error` is why it is unreadable.

    `longest` is the longest JSON line or CSV record in bytes. `plain` is False when DuckDB cannot
    be given the file as it lies, but each record needs a closer look.
    """

    sha256: str
    bytes: int
    mtime_ns: int
    lines: int = 0
    longest: int = 0
    plain: bool = True
    shape: Shape = Shape()
    error: str | None = None


def scan(
    path: Path, kind: str, compression: str, max_line_bytes: int, max_expansion: int = 250
) -> Scan:
    """Scan one file. Raises OSError when it cannot be opened or read.

    One that expands to more than `FREE_EXPANSION` and `max_expansion` times its size, each record
    counted with `RECORD_BYTES` at least, is unreadable.
    """
    status = path.stat()
    limit = max(FREE_EXPANSION, max_expansion * status.st_size)
    digest = hashlib.sha256()
    counters: dict[str, type[_JsonLines] | type[_CsvRecords] | type[_Nothing]] = {
        "jsonl": _JsonLines,
        "csv": _CsvRecords,
        "parquet": _Nothing,
    }
    found: _Counter = counters[kind](max_line_bytes)
    try:
        expanded = 0
        for block in _blocks(content(path, compression, digest)):
            found.feed(block)
            expanded += len(block)
            if compression and expanded + RECORD_BYTES * found.seen > limit:
                raise UnreadableError(_bomb(max_expansion))
        lines, plain = found.end()
        if kind == "parquet":
            lines = _parquet_rows(path, limit, max_expansion)
        error = None
    except UnreadableError as problem:
        lines, plain, error = 0, False, str(problem)
        digest = hashlib.sha256()
        with open_regular(path) as handle:
            while data := handle.read(_READ):
                digest.update(data)
    return Scan(
        sha256=digest.hexdigest(),
        bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        lines=lines,
        longest=found.longest,
        plain=plain,
        shape=found.shape(),
        error=error,
    )


def content(path: Path, compression: str, digest: hashlib._Hash | None = None) -> Iterator[bytes]:
    """The decompressed bytes in pieces; `digest` is fed the stored ones.

    Raises UnreadableError for truncated or damaged compression and for trailing garbage.
    """
    with open_regular(path) as handle:
        if not compression:
            while data := handle.read(_READ):
                if digest is not None:
                    digest.update(data)
                yield data
            return
        decompressor = None
        while data := handle.read(_COMPRESSED_READ):
            if digest is not None:
                digest.update(data)
            feed = _FEED if compression == "zst" else _COMPRESSED_READ
            while data:
                if decompressor is None:
                    if compression == "gz" and not data.strip(b"\0"):
                        break
                    decompressor = _decompressor(compression)
                try:
                    piece = decompressor.decompress(data[:feed])
                except (zlib.error, zstandard.ZstdError) as error:
                    raise UnreadableError(f"damaged {compression} stream") from error
                if piece:
                    yield piece
                data = data[feed:]
                if decompressor.eof:
                    data = decompressor.unused_data + data
                    decompressor = None
        if decompressor is not None or path.stat().st_size == 0:
            raise UnreadableError(f"truncated {compression} stream")


def _decompressor(compression: str) -> zlib._Decompress | zstandard.ZstdDecompressionObj:
    if compression == "gz":
        return zlib.decompressobj(wbits=31)
    return zstandard.ZstdDecompressor().decompressobj()


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that are worth a vectorised look."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


class _Counter(Protocol):
    longest: int

    @property
    def seen(self) -> int:
        """Records so far."""

    def feed(self, block: bytes) -> None: ...

    def end(self) -> tuple[int, bool]: ...

    def shape(self) -> Shape: ...


class _Nothing:
    longest = 0
    seen = 0

    def __init__(self, max_line_bytes: int) -> None:
        pass

    def feed(self, block: bytes) -> None:
        pass

    def end(self) -> tuple[int, bool]:
        return 0, True

    def shape(self) -> Shape:
        return Shape()


class _JsonLines:
    """Counts non-blank lines ended by LF alone, and looks for an oversized one."""

    def __init__(self, max_line_bytes: int) -> None:
        self.limit = max_line_bytes
        self.lines = 0
        self.longest = 0
        self.open_bytes = 0
        self.open_has_text = False
        self.names = 0
        self.quotes = 0
        self.regular = True
        self.tidy = True
        self.tail = b""
        self.last = b""

    @property
    def seen(self) -> int:
        return self.lines

    def feed(self, block: bytes) -> None:
        data = numpy.frombuffer(block, dtype=numpy.uint8)
        if self.tidy:
            self.tidy = _is_tidy(data) and _is_tidy(
                numpy.frombuffer(self.last + block[:1], dtype=numpy.uint8)
            )
            self.last = block[-1:]
        self.regular = self.regular and self.tidy
        if self.regular:
            self._look_at(self.tail + block)
        ends = numpy.flatnonzero(data == 10)
        if not ends.size:
            self.open_bytes += len(block)
            self.open_has_text = self.open_has_text or bool(block.strip())
            return
        first, last = int(ends[0]), int(ends[-1])
        self.longest = max(self.longest, self.open_bytes + first)
        self.lines += self.open_has_text or bool(block[:first].strip())
        starts = ends[:-1] + 1
        self.lines += int(starts.size)
        # No JSON text begins with a byte up to the space, so only such lines can be blank.
        for index in numpy.flatnonzero(data[starts] <= 32):
            if not block[int(starts[index]) : int(ends[index + 1])].strip():
                self.lines -= 1
        if starts.size:
            self.longest = max(self.longest, int(numpy.max(ends[1:] - starts)))
        self.open_bytes = len(block) - last - 1
        self.open_has_text = bool(block[last + 1 :].strip())

    def end(self) -> tuple[int, bool]:
        self.longest = max(self.longest, self.open_bytes)
        if self.regular and self.tail:
            self._look_at(self.tail + b"\n")
        return self.lines + self.open_has_text, self.longest <= max(self.limit, _READABLE_LINE)

    def shape(self) -> Shape:
        regular = self.regular and self.longest <= self.limit
        return Shape(self.names, self.quotes, regular, self.tidy)

    def _look_at(self, block: bytes) -> None:
        """Count in the whole lines of a block; the rest waits for the next."""
        whole = block.rfind(b"\n") + 1
        self.tail = block[whole:]
        if not whole:
            self.regular = len(block) <= _SHAPED_LINE
            return
        if not self.names and b"null" in block[:_SHAPED_LINE]:
            # Names without values are for the general path; the counts would show it too late.
            self.regular = False
            return
        data = numpy.frombuffer(block, dtype=numpy.uint8, count=whole)
        quote, colon = data == 34, data == 58
        self.names += int(numpy.count_nonzero(quote[:-1] & colon[1:]))
        self.quotes += int(numpy.count_nonzero(quote))
        self.regular = not (b"\\" in block or (quote[:-2] & colon[2:]).any())


def _is_tidy(data: numpy.typing.NDArray[numpy.uint8]) -> bool:
    before = numpy.flatnonzero((data[1:] & 0xDF) == 93)
    for _ in range(1 + _BLANKS):
        if (data[before] == 44).any():
            return False
        before = before[data[before] <= 32]
        if not before.size:
            return True
        if not before[0]:
            return False
        before -= 1
    return False


class _CsvRecords:
    """Counts records by the parity of quotes, and checks that the text is UTF-8."""

    def __init__(self, max_line_bytes: int) -> None:
        self.limit = max_line_bytes
        self.longest = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.records = 0
        self.odd = 0
        self.plain = True
        self.open_bytes = 0
        self.open_return = False

    @property
    def seen(self) -> int:
        return self.records

    def feed(self, block: bytes) -> None:
        try:
            self.decoder.decode(block)
        except UnicodeDecodeError as error:
            raise UnreadableError("not UTF-8") from error
        if b"\0" in block:
            self.plain = False
        data = numpy.frombuffer(block, dtype=numpy.uint8)
        quotes = numpy.flatnonzero(data == 34)
        ends = numpy.flatnonzero(data == 10)
        outside = ends[(numpy.searchsorted(quotes, ends) + self.odd) % 2 == 0]
        self.odd = (self.odd + int(quotes.size)) % 2
        self.records += int(outside.size)
        if outside.size:
            lengths = numpy.diff(outside, prepend=-1 - self.open_bytes)
            # An empty line (LF or CRLF) is no record to one reader and one to another.
            self.longest = max(self.longest, int(lengths.max()))
            if int(lengths.min()) <= 2 or self.longest > self.limit:
                self.plain = False
            self.open_bytes = len(block) - int(outside[-1]) - 1
        else:
            self.open_bytes += len(block)
        # A carriage return elsewhere than before LF ends lines for some readers.
        lone = self.open_return and not block.startswith(b"\n")
        self.open_return = block.endswith(b"\r")
        if lone or block.count(b"\r") != block.count(b"\r\n") + self.open_return:
            self.plain = False

    def end(self) -> tuple[int, bool]:
        try:
            self.decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise UnreadableError("not UTF-8") from error
        records = self.records + (self.open_bytes > 0)
        self.longest = max(self.longest, self.open_bytes)
        is_plain = self.plain and not self.odd and not self.open_return
        return max(records - 1, 0), is_plain and self.longest <= self.limit

    def shape(self) -> Shape:
        return Shape()


def _bomb(times: int) -> str:
    return f"expands to more than {times} times its size (setting max_expansion)"


def _parquet_rows(path: Path, limit: int, max_expansion: int) -> int:
    """The number of rows, each of them read: of texts that repeat, only the dictionary."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            said = file.metadata
            if said.num_columns > MAX_COLUMNS:
                raise UnreadableError(f"more than {MAX_COLUMNS} columns")
            groups = [said.row_group(number) for number in range(said.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if said.num_rows * RECORD_BYTES + size > limit:
                raise UnreadableError(_bomb(max_expansion))
            texts = [
                column.path
                for column in map(file.schema.column, range(said.num_columns))
                if column.physical_type == "BYTE_ARRAY"
            ]
        expanded = rows = 0
        with parquet.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=texts
        ) as file:
            for batch in file.iter_batches(batch_size=8192):
                batch.validate(full=True)
                rows += batch.num_rows
                expanded += sum(_expanded_bytes(column) for column in batch.columns)
                if rows * RECORD_BYTES + expanded > limit:
                    raise UnreadableError(_bomb(max_expansion))
            return int(file.metadata.num_rows)
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError) as error:
        raise UnreadableError("no readable Parquet file") from error


def _expanded_bytes(column: pyarrow.Array) -> int:
    """Bytes of an array's values, each as often as it stands."""
    import pyarrow

    if isinstance(column, pyarrow.DictionaryArray):
        texts = column.dictionary
        if not len(texts):
            return 0
        if isinstance(texts, (pyarrow.StringArray, pyarrow.BinaryArray)):
            ends = numpy.frombuffer(texts.buffers()[1], dtype=numpy.int32)
            lengths = numpy.diff(ends[texts.offset : texts.offset + len(texts) + 1])
            places = column.indices.drop_null().to_numpy()
            return int(lengths[places].sum())
        return int(column.nbytes)
    if isinstance(column, pyarrow.StructArray):
        return sum(map(_expanded_bytes, column.flatten()))
    if isinstance(column, (pyarrow.ListArray, pyarrow.LargeListArray, pyarrow.MapArray)):
        return _expanded_bytes(column.values)
    return int(column.nbytes)
