"""Hypothesis strategies that spoil good files: their bytes, their lines, their JSON, their CSV.

What is put in always holds the canary, so that an error or a log that repeats it is seen.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from hypothesis import strategies as st

Files = dict[str, bytes]
"""A small export or landing zone: path within it → bytes."""
Draw = Callable[[st.SearchStrategy[Any]], Any]
Change = Callable[[Draw, bytes], bytes]

CANARY = "Kanarie7Vogel"
"""Stands for personal data: no error, log line or report may repeat it."""

TEXTS = (
    CANARY,
    f"={CANARY}+1",
    f"@{CANARY}",
    f"'; drop table control.files; --{CANARY}",
    f'"{CANARY}"',
    f"<script>alert('{CANARY}')</script>",
    f"\x1b[31m{CANARY}\x1b]0;x\x07",
    f"[red]{CANARY}[/]",
    f"{CANARY}\ninjected: line",
    f"{CANARY}\x00{CANARY}",
    f"\u202e{CANARY}\u2066",
    f"\U0001f9d1\u200d\U0001f680{CANARY}",
    f"{CANARY},\t;|{CANARY}",
    f"../../{CANARY}",
    CANARY * 400,
)
TIMES = (
    "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999+14:00",
    "10000-01-01T00:00:00Z",
    "2026-02-30T25:61:61Z",
    "294248-01-01 00:00:00",
    "-infinity",
    "1e99",
    "٢٠٢٦-٠١-٠١",
)
NUMBERS = (
    "-1",
    "-0",
    "0",
    "1.5",
    "1e400",
    "-1e308",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "253402300800",
    "62135596800001",
    "9" * 400,
    "9" * 5000,
    "NaN",
    "Infinity",
    "0x10",
    "1_000",
)
ODDITIES = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    "\u2028\u0085".encode(),
    b'"',
    b'""',
    b"\\",
    b"\r",
    b"\n\n",
    b"{",
    b"[" * 40,
    b"]" * 5,
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;",
    b"<![CDATA[",
    b"-->",
    b"\x1f\x8b\x08\x00",
    b"\x28\xb5\x2f\xfd",
    b"PK\x03\x04",
    b"PAR1",
    b"," * 50,
)
_WORD = re.compile(rb"[^\s,\"'<>:{}\[\]]{1,60}")


def _splice(data: bytes, start: int, end: int, new: bytes) -> bytes:
    return data[:start] + new + data[end:]


def _place(draw: Draw, data: bytes) -> int:
    return int(draw(st.integers(0, len(data))))


def _flip(draw: Draw, data: bytes) -> bytes:
    if not data:
        return data
    at = draw(st.integers(0, len(data) - 1))
    return _splice(data, at, at + 1, bytes([draw(st.integers(0, 255))]))


def _truncate(draw: Draw, data: bytes) -> bytes:
    return data[: _place(draw, data)]


def _cut(draw: Draw, data: bytes) -> bytes:
    start = _place(draw, data)
    return _splice(data, start, start + draw(st.integers(0, 200)), b"")


def _repeat(draw: Draw, data: bytes) -> bytes:
    start = _place(draw, data)
    piece = data[start : start + draw(st.integers(1, 300))]
    return _splice(data, start, start, piece * draw(st.integers(1, 5)))


def _insert(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    return _splice(data, at, at, draw(st.sampled_from(ODDITIES)))


def _recode(draw: Draw, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    name: str = draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "cp037"]))
    return text.encode(name, "replace")


def _blow_up(draw: Draw, data: bytes) -> bytes:
    """One enormous line or value."""
    at = _place(draw, data)
    unit = draw(
        st.sampled_from([b"a", b"[", b"(", b'{"a":', b" ", b"\\u0041", b'""', b"1", b"<a>"])
    )
    return _splice(data, at, at, unit * draw(st.sampled_from([1_000, 60_000])))


def _lines(draw: Draw, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["drop", "double", "swap", "blank", "cr"])):
        case "drop":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case "swap":
            lines[0], lines[at] = lines[at], lines[0]
        case "blank":
            lines.insert(at, b"\n")
        case _:
            lines[at] = lines[at].replace(b"\n", b"\r")
    return b"".join(lines)


def _word(draw: Draw, data: bytes) -> bytes:
    """Another word in the place of one: the shape of the file stays."""
    words = list(_WORD.finditer(data))
    if not words:
        return data
    found = draw(st.sampled_from(words))
    new = draw(st.sampled_from([*TEXTS, *TIMES, *NUMBERS]))
    return _splice(data, found.start(), found.end(), new.encode())


def _csv(draw: Draw, data: bytes) -> bytes:
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return _word(draw, data)
    if not rows or not rows[0]:
        return data
    match draw(st.sampled_from(["cell", "cell", "header", "column", "double", "wide", "quote"])):
        case "cell":
            row = rows[draw(st.integers(0, len(rows) - 1))]
            if row:
                row[draw(st.integers(0, len(row) - 1))] = draw(
                    st.sampled_from([*TEXTS, *TIMES, *NUMBERS])
                )
        case "header":
            rows[0][draw(st.integers(0, len(rows[0]) - 1))] = draw(
                st.sampled_from(["", '"', "a.b", "c0", "line", "_extra", "$", "x" * 300])
            )
        case "column":
            at = draw(st.integers(0, len(rows[0]) - 1))
            rows = [row[:at] + row[at + 1 :] for row in rows]
        case "double":
            rows[0].append(rows[0][0])
        case "wide":
            more = draw(st.sampled_from([10, 20_000]))
            rows[0] += [f"column {number}" for number in range(more)]
        case _:
            more_lines: bytes = b"y,\n" * draw(st.integers(0, 50))
            return data + b'x,"' + more_lines
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


class _Raw(str):
    """JSON text that stands in a document as it is."""

    __slots__ = ()


_LEAVES: tuple[Any, ...] = (
    *TEXTS,
    *TIMES,
    *(_Raw(number) for number in NUMBERS),
    _Raw('"\\ud800"'),
    _Raw('"\\u0000"'),
    _Raw("[" * 900 + "]" * 900),
    _Raw("[" * 60_000 + "]" * 60_000),
    _Raw('{"a":' * 2000 + "1" + "}" * 2000),
    _Raw("[1,]"),
    "",
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"id": CANARY},
    0,
    1,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += _places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:40]):
            found += _places(item, (*path, number))
    return found


def json_text(value: Any) -> str:
    """JSON of a value that may hold `_Raw` text."""
    if isinstance(value, _Raw):
        return value
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def spoil_json(draw: Draw, document: Any) -> str:
    """The document's JSON with one value, key or item changed."""
    places = [path for path in _places(document) if path]
    if not places:
        return json_text(draw(st.sampled_from(_LEAVES)))
    path = draw(st.sampled_from(places))
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    last = path[-1]
    ways = ["leaf", "leaf", "leaf", "drop", "move"]
    ways += ["rename", "twice", "wide"] if isinstance(parent, dict) else ["double", "reverse"]
    match draw(st.sampled_from(ways)):
        case "leaf":
            parent[last] = draw(st.sampled_from(_LEAVES))
        case "drop":
            del parent[last]
        case "move":
            other: Any = document
            for step in draw(st.sampled_from(places)):
                other = other[step]
            parent[last] = _Raw(json_text(other))
        case "rename":
            parent[draw(st.sampled_from(["", "id", "$", "a.b", '"', "type", "x" * 300]))] = (
                parent.pop(last)
            )
        case "twice":
            text = json_text(parent)
            whole = _Raw(
                f"{text[:-1]},{json.dumps(last)}:{json_text(draw(st.sampled_from(_LEAVES)))}}}"
            )
            return _replaced(document, path[:-1], whole)
        case "wide":
            parent |= {f"key {number}": number for number in range(3000)}
        case "double":
            parent.insert(last, parent[last])
        case _:
            parent.reverse()
    return json_text(document)


def _replaced(document: Any, path: tuple[Any, ...], new: Any) -> str:
    if not path:
        return json_text(new)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = new
    return json_text(document)


def _json(draw: Draw, data: bytes) -> bytes:
    # What an earlier change nested deeply is spoilt no further.
    try:
        return spoil_json(draw, orjson.loads(data)).encode("utf-8", "surrogatepass")
    except (orjson.JSONDecodeError, RecursionError):
        pass
    lines = data.splitlines()
    if not lines:
        return data
    at = draw(st.integers(0, len(lines) - 1))
    try:
        spoilt = spoil_json(draw, orjson.loads(lines[at]))
    except (orjson.JSONDecodeError, RecursionError):
        return _word(draw, data)
    lines[at] = spoilt.encode("utf-8", "surrogatepass")
    return b"\n".join([*lines, b""])


_BYTES: tuple[Change, ...] = (
    _flip,
    _truncate,
    _cut,
    _repeat,
    _insert,
    _recode,
    _blow_up,
    _lines,
    _word,
)


def _changes(name: str) -> tuple[Change, ...]:
    """Ways to spoil a file, those that know its form most often."""
    stem = name.lower()
    if stem.endswith((".json", ".jsonl")):
        return (*_BYTES, *[_json] * 12)
    if stem.endswith((".csv", ".tsv")):
        return (*_BYTES, *[_csv] * 9)
    if stem.endswith((".xml", ".txt", ".sql", ".log", ".yml", ".yaml", ".toml")):
        return (*_BYTES, *[_lines] * 3, *[_word] * 8)
    return _BYTES


@st.composite
def spoilt(draw: Draw, seeds: Sequence[Mapping[str, bytes]], most: int = 3) -> Files:
    """One of the seeds with one to `most` changes, or a file of it missing or empty."""
    return spoil(draw, seeds, most)


def spoil(draw: Draw, seeds: Sequence[Mapping[str, bytes]], most: int) -> Files:
    """`spoilt` within another strategy."""
    files = dict(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, most))):
        if not files:
            break
        name = draw(st.sampled_from(sorted(files)))
        if draw(st.integers(0, 30)) == 0:
            del files[name]
        else:
            files[name] = draw(st.sampled_from(_changes(name)))(draw, files[name])
    return files
