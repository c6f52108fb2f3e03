"""The cursor finds what a plain parser finds, however a document is laid out."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.connectors import ConversionError
from orchestration.connectors.json_cursor import CHUNK_BYTES, JsonCursor

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "\n  }", "]"]), VALUES), max_size=6)


def read(text: bytes) -> dict[str, Any]:
    cursor = JsonCursor(io.BytesIO(text), "here")
    found = {
        key: list(cursor.items()) if cursor.peek() == b"[" else cursor.value()
        for key in cursor.object()
    }
    cursor.end()
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.text(max_size=3), ITEMS | VALUES, max_size=4),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.booleans(),
)
def test_it_reads_what_json_reads(document: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert read(text.encode()) == document


@pytest.mark.parametrize("indent", [None, 1])
def test_items_around_and_above_the_chunk(indent: int | None) -> None:
    sizes = [10, CHUNK_BYTES - 50, 3 * CHUNK_BYTES, 7, 20 * CHUNK_BYTES, 1] + [999] * 300
    document = {"list": [{"n": number, "t": "é" * size} for number, size in enumerate(sizes)]}
    assert read(json.dumps(document, indent=indent, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b'{"a": [1, 2}',
        b'{"a": 1,}',
        b'{"a": [1,]}',
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": 1} 2',
        b'{"a": ' + b"[" * 100_000,
        b'{\n "a": [\n  {\n   "b": 1\n  }\n ]\n',
        b'{\n "a": [\n  {\n   "b": 1\n  },\n  {\n   "b": \n  }\n ]\n}',
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ConversionError, match=r"here: byte \d+"):
        read(text)


def test_the_rest_of_a_document_is_passed_over() -> None:
    document = {"a": {"b": [1, {"c": []}], "d": "x"}, "e": [[1], [2]], "f": 3}
    cursor = JsonCursor(io.BytesIO(json.dumps(document).encode()), "here")
    assert {key: cursor.skip() for key in cursor.object()} == {"a": 1, "e": 2, "f": 1}
    cursor.end()
