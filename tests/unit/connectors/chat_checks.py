"""What every converter of chats is held to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from orchestration.connectors import ConversionError, ConvertOptions, convert
from orchestration.ingest import ingest, list_quarantine
from tests.support import test_settings
from tests.unit.connectors.landing_files import (
    Records,
    contract_faults,
    landed_files,
    read_landing,
)

EVENT_KEYS = {"group/messages": "message_id", "group/memberships": "event_id"}


def events(records: Records) -> dict[tuple[str, str], dict[str, Any]]:
    """Events by log and key; two of one key must be equal."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for log, key in EVENT_KEYS.items():
        for row in records.get(log, []):
            assert found.setdefault((log, row[key]), row) == row
    return found


def assert_accepted(home: Path) -> None:
    """What was converted into the home's landing zone is accepted, every line of it."""
    report = ingest(test_settings(home))
    read = sum(totals.lines_read for totals in report.totals.values())
    assert list_quarantine(test_settings(home)) == []
    assert sum(totals.accepted for totals in report.totals.values()) == read > 0


@st.composite
def damage(draw: st.DrawFn, good: bytes) -> bytes:
    """The file cut off, with a piece cut out, or with a few bytes changed or put in."""
    at = draw(st.integers(0, len(good) - 1))
    match draw(st.sampled_from(["cut", "hole", "change", "insert"])):
        case "cut":
            return good[:at]
        case "hole":
            return good[:at] + good[at + draw(st.integers(1, 200)) :]
        case "change":
            return good[:at] + draw(st.binary(min_size=1, max_size=3)) + good[at + 1 :]
        case _:
            odd = [b"null", b"{", b"]", b'"', b"0", b"-1", b"\n", b",", b"\xff", b"9" * 30]
            return good[:at] + draw(st.sampled_from(odd)) + good[at:]


def assert_whole_or_nothing(
    format_name: str, name: str, data: bytes, zone: str | None = None, **more: str
) -> None:
    """A conversion of the data ends in a ConversionError and no file, or in good records."""
    folder = Path(tempfile.mkdtemp())
    try:
        export = folder / "export" / name
        export.parent.mkdir()
        export.write_bytes(data)
        landing = folder / "landing"
        try:
            convert(format_name, export, landing, "x", zone, ConvertOptions(more=more))
        except ConversionError:
            assert not landing.exists() or landed_files(landing) == []
        else:
            assert contract_faults(read_landing(landing), format_name) == []
    finally:
        shutil.rmtree(folder)
