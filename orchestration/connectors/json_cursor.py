"""Walks one large JSON document without holding it: objects by key, arrays item by item.

Belongs here: finding where values end, fast. What they mean is the converters'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import orjson

from orchestration.connectors.base import ConversionError

# What fits the processor's cache: 1 MB chunks take a third more time.
CHUNK_BYTES = 64 * 1024
WINDOW_BYTES = 16 * 1024
VALUE_BYTES = 64 * 1024 * 1024
"""No single value that is taken whole may be longer."""

_SPACE = re.compile(rb"[ \t\n\r]*")
_LINE_INDENT = re.compile(rb"[ \t]*")
_FIRST_ITEM = re.compile(rb"\[\r?\n([ \t]*)\{")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class JsonCursor:
    """A place in a JSON file, from which the next value is taken, walked into or passed over.

    `on_bytes` hears how many bytes were read. `repair` may mend what a known exporter writes
    although it is no JSON; it is only asked about text that does not parse.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        on_bytes: Callable[[int], None] | None = None,
        repair: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._on_bytes = on_bytes
        self._repair = repair
        self._buffer = b""
        self._at = 0
        self._start = 0
        self._ended = False
        if self._more() and self._buffer.startswith(b"\xef\xbb\xbf"):
            self._at = 3

    def error(self, message: str) -> ConversionError:
        """An error that names the file and the byte."""
        return ConversionError(f"{self._name}: byte {self._start + self._at}: {message}")

    def peek(self) -> bytes:
        """The first byte of what comes next, white space skipped; empty at the end."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._more():
                return b""

    def end(self) -> None:
        """Nothing may follow; ConversionError otherwise."""
        if self.peek():
            raise self.error("more after the end")

    def object(self) -> Iterator[str]:
        """The keys of the object here; each value must be taken before the next key is asked."""
        self._take(b"{", "an object")
        if self.peek() == b"}":
            self._at += 1
            return
        while True:
            if self.peek() != b'"':
                raise self.error("a key should be here")
            key = self.value()
            self._take(b":", "a colon")
            yield str(key)
            if self.peek() == b"}":
                self._at += 1
                return
            self._take(b",", "a comma or the end of the object")

    def value(self) -> Any:
        """The whole value here, parsed."""
        self.peek()
        size = WINDOW_BYTES
        while True:
            while len(self._buffer) - self._at < size and self._more():
                pass
            window = self._buffer[self._at : self._at + size]
            whole = self._ended and self._at + size >= len(self._buffer)
            text, problem = _decoded(window), "no value"
            try:
                value, end = _DECODER.raw_decode(text)
            except json.JSONDecodeError as error:
                problem = error.msg
            except (ValueError, RecursionError) as error:
                raise self.error(f"no JSON that can be read ({type(error).__name__})") from None
            else:
                if whole or end < len(text):
                    self._at += len(text[:end].encode("utf-8", "surrogatepass"))
                    return value
            mended = self._repair(window) if self._repair is not None else window
            if mended != window:
                rest = self._buffer[self._at + len(window) :]
                self._buffer = self._buffer[: self._at] + mended + rest
            elif whole:
                raise self.error(problem)
            elif size >= VALUE_BYTES:
                raise self.error(f"{problem}, or a value longer than {VALUE_BYTES} bytes")
            else:
                size *= 8

    def skip(self) -> int:
        """Pass over the value here; how many items it had, if it is an array, else 1."""
        match self.peek():
            case b"{":
                for _ in self.object():
                    self.skip()
            case b"[":
                return sum(len(block) for block in self.blocks())
            case _:
                self.value()
        return 1

    def items(self) -> Iterator[Any]:
        """The items of the array here, one at a time."""
        for block in self.blocks():
            yield from block

    def walk(self) -> Iterator[None]:
        """Stop before each item of the array here; each must be taken before the next is asked."""
        self._take(b"[", "an array")
        if self.peek() == b"]":
            self._at += 1
            return
        while True:
            yield
            if self.peek() == b"]":
                self._at += 1
                return
            self._take(b",", "a comma or the end of the array")

    def blocks(self) -> Iterator[list[Any]]:
        """The items of the array here, in lists of some.

        An exporter that indents shows where an item ends: a line break followed by the item's own
        indentation and `}`. What lies before the last such line of the buffer is parsed at once,
        as a list. That it parses proves the guess: brackets would not match otherwise.
        """
        if self.peek() != b"[":
            raise self.error("an array should be here")
        self._reserve(CHUNK_BYTES)
        fence = self._fence()
        walk = self.walk()
        for _ in walk:
            block = self._block(*fence) if fence else None
            if block is None:
                fence = None
                block = [self.value()]
            yield block

    def _fence(self) -> tuple[bytes, bytes] | None:
        """How an item's last line begins, and the line that ends the array."""
        first = _FIRST_ITEM.match(self._buffer, self._at)
        if first is None:
            return None
        line = self._buffer.rfind(b"\n", 0, self._at) + 1
        indent = _LINE_INDENT.match(self._buffer, line)
        outer = indent[0] if indent else b""
        return b"\n" + first[1] + b"}", b"\n" + outer + b"]"

    def _block(self, item_end: bytes, array_end: bytes) -> list[Any] | None:
        self.peek()
        size, end = CHUNK_BYTES, -1
        while end < 0:
            self._reserve(size)
            stop = self._buffer.find(array_end, self._at)
            end = self._buffer.rfind(item_end, self._at, stop if stop >= 0 else len(self._buffer))
            if end < 0 and (stop >= 0 or self._ended or size >= VALUE_BYTES):
                return None
            size *= 4
        end += len(item_end)
        text = b"[" + self._buffer[self._at : end] + b"]"
        try:
            items = orjson.loads(text)
        except orjson.JSONDecodeError:
            if self._repair is None:
                return None
            try:
                items = orjson.loads(self._repair(text))
            except orjson.JSONDecodeError:
                return None
        self._at = end
        return list(items)

    def _reserve(self, size: int) -> None:
        while len(self._buffer) - self._at < size and self._more():
            pass

    def _take(self, wanted: bytes, what: str) -> None:
        if self.peek() != wanted:
            raise self.error(f"{what} should be here")
        self._at += 1

    def _more(self) -> bool:
        chunk = b"" if self._ended else self._file.read(CHUNK_BYTES)
        if not chunk:
            self._ended = True
            return False
        # The line that the cursor stands in stays: its indentation tells where an array ends.
        keep = self._buffer.rfind(b"\n", max(0, self._at - 4096), self._at)
        keep = self._at if keep < 0 else keep
        self._start += keep
        self._at -= keep
        self._buffer = self._buffer[keep:] + chunk
        if self._on_bytes is not None:
            self._on_bytes(len(chunk))
        return True


def _decoded(window: bytes) -> str:
    """The window's text, up to a character that is cut or broken."""
    try:
        return window.decode()
    except UnicodeDecodeError as error:
        return window[: error.start].decode()
