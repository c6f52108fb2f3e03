from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from data_quality.report import render, report_path, write_report
from data_quality.runner import Outcome
from data_quality.verdicts import record
from orchestration.ingest.tables import create_tables
from tests.support import test_settings

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        create_tables(connection)
        yield connection


def _outcome(**values: object) -> Outcome:
    base = {
        "run_id": "run-1",
        "stage": "marts",
        "suite": "marts/revenue.daily",
        "expectation": "net_as_defined",
        "column_name": None,
        "severity": "critical",
        "success": True,
        "observed": "0",
        "table_name": "revenue.daily",
        "fingerprint": "f",
        "checked_at": datetime.fromisoformat("2026-01-02T03:04:00"),
    }
    return Outcome(**(base | values))  # type: ignore[arg-type]


def _check(page: str) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            assert not {"src", "href", "style", "onclick"} & {name for name, _ in attrs}

    parser = Parser()
    parser.feed(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(parser.tags)
    assert not re.search(r"https?:|url\(|@import", page)


def test_it_stands_on_its_own_in_two_languages(connection: duckdb.DuckDBPyConnection) -> None:
    failed = _outcome(expectation="not_negative", success=False, observed="7")
    warned = _outcome(expectation="gone", severity="warning", success=False, observed="8")
    record(connection, [_outcome(), failed, warned])
    page = render(connection)
    _check(page)
    assert "prefers-color-scheme: dark" in page
    for words in ("数据质量", "Data quality", "净额 = GMV − 退款", "net = GMV - refunds", "阻断"):
        assert words in page
    assert "2026-01-02 03:04" in page


def test_everything_is_escaped(connection: duckdb.DuckDBPyConnection) -> None:
    hostile = {name: f"{HOSTILE}{name}" for name in ("run_id", "suite", "expectation", "observed")}
    record(
        connection,
        [_outcome(**hostile, table_name=HOSTILE, severity=f"{HOSTILE}s", success=False)],
    )
    page = render(connection)
    _check(page)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_a_page_without_a_run_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    page = render(connection)
    _check(page)
    assert "No run has been judged yet." in page


def test_an_earlier_run_can_be_shown(connection: duckdb.DuckDBPyConnection) -> None:
    record(connection, [_outcome()])
    record(
        connection,
        [_outcome(run_id="run-2", checked_at=datetime.fromisoformat("2026-01-03T00:00:00"))],
    )
    assert "Run</span> <code>run-2</code>" in render(connection)
    assert "Run</span> <code>run-1</code>" in render(connection, "run-1")


def test_it_is_written_under_the_home(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = test_settings(tmp_path)
    record(connection, [_outcome()])
    path = write_report(settings, connection)
    assert path == report_path(settings) == tmp_path / "quality" / "index.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]
