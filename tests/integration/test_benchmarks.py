"""The benchmark's harness on tiny data: the ways to load, the cuts by day, the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from benchmarks.bare import load, settle_components
from benchmarks.measured import BenchmarkError, Record, Results, Subject, interleave, measure
from benchmarks.page import write_page
from benchmarks.platforms import END_DATE, events_of, existing, last_days, link, split
from benchmarks.rivals.dlt_load import load_arrow, load_rows
from orchestration.ingest import ingest
from orchestration.ingest.tables import create_tables
from orchestration.warehouse import open_warehouse
from simulator import SimulatorConfig, simulate
from tests.support import test_settings


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "landing"
    simulate(SimulatorConfig(persons=100, days=14), path)
    return path


def test_all_ways_to_load_read_the_same_lines(
    landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    settings = test_settings(tmp_path / "home", landing=landing)
    accepted = ingest(settings)
    bare = test_settings(tmp_path / "bare")
    with open_warehouse(bare) as connection:
        create_tables(connection)
        load(connection, landing)
        counts = connection.execute(
            "select count(*), count(distinct (source, event_id)) from raw.community__events"
        ).fetchone()
        states = connection.execute("select count(*) from raw.community__accounts").fetchone()
    assert counts is not None
    log = accepted.totals["community/events"]
    assert counts == (log.accepted + log.duplicates, log.accepted)
    assert states is not None
    assert states[0] >= accepted.totals["community/accounts"].accepted > 0
    for number, way in enumerate((load_rows, load_arrow)):
        home = tmp_path / f"dlt{number}"
        home.mkdir()
        assert way(landing, home)["community/events"] == counts[0]


def test_days_are_cut_without_losing_a_line(landing: Path, tmp_path: Path) -> None:
    platform = existing(landing)
    assert platform is not None
    pieces = tmp_path / "pieces"
    split(landing, pieces, last_days(3))
    names = sorted(path.name for path in pieces.iterdir())
    assert names == [f"{number:04}" for number in range(3)]
    again = tmp_path / "again"
    assert link(sorted(pieces.iterdir()), again) > 3
    assert link(sorted(pieces.iterdir()), again) == 0
    report = ingest(test_settings(tmp_path / "home", landing=again))
    totals = report.totals.values()
    assert sum(t.accepted + t.rejected + t.duplicates for t in totals) == platform.lines
    last = tmp_path / "last"
    link([pieces / "0002"], last, ["community/events"])
    with duckdb.connect() as connection:
        days = connection.execute(
            f"""
            select min(cast(received_at as timestamptz)), max(cast(received_at as timestamptz))
            from read_json('{last}/**/*.zst', columns = {{'received_at': 'varchar'}})
            """
        ).fetchone()
    assert days is not None
    begins = days[0].astimezone(tz=None).date()
    assert END_DATE - timedelta(days=1) <= begins <= END_DATE


def test_the_projects_own_macro_finds_components() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table edges as select * from "
            "(values ('a', 'b'), ('c', 'b'), ('x', 'y')) as found (id_key_a, id_key_b)"
        )
        found = settle_components(connection, "edges")
        rows = connection.execute(f"select node, component from {found} order by node").fetchall()
    assert rows == [("a", "a"), ("b", "a"), ("c", "a"), ("x", "x"), ("y", "x")]


def test_a_process_is_measured_and_a_failed_one_says_why() -> None:
    work = "x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096]); print('done')"
    found = measure([sys.executable, "-c", work])
    assert found.output == "done\n"
    assert found.cpu > 0
    # No upper bound: the kernel counts what the test's own process had when it forked.
    assert found.peak_bytes > 200e6
    with pytest.raises(BenchmarkError, match="ended with 3: no luck"):
        measure([sys.executable, "-c", "import sys; sys.stderr.write('no luck'); sys.exit(3)"])


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    results, seen = Results(tmp_path), []

    def subject(name: str, fails_in: int = 0) -> Subject:
        def run(number: int) -> Record:
            if number == fails_in:
                raise BenchmarkError("stopped")
            seen.append((name, number))
            return _record("load", name, "1M", number, 1.0)

        return Subject("load", name, run)

    with pytest.raises(BenchmarkError):
        interleave(results, "1M", 3, [subject("a"), subject("b", fails_in=2)])
    interleave(Results(tmp_path), "1M", 3, [subject("a"), subject("b")])
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)]
    assert [record.machine["cores"] for record in results.all()] == [
        results.all()[0].machine["cores"]
    ] * 6


def test_the_page_says_what_was_met_and_what_was_not_run(tmp_path: Path) -> None:
    assert "Nothing was measured yet" in write_page([], tmp_path).read_text("utf-8")
    records = [
        *_rounds("build", "tandem build", "1M", (30, 33, 31)),
        *_rounds("build", "tandem build", "20M", (120, 130, 140)),
        *_rounds("build", "bare limit", "20M", (100, 100, 100)),
        *_rounds("build", "queries of the rules", "20M", (40, 50, 60)),
        *_rounds("load", "tandem ingest", "1M", (10, 10, 10)),
        *_rounds("load", "dlt, dictionaries", "1M", (90, 100, 200)),
        *_rounds("cold", "tandem --help", "", (0.3, 0.4, 0.6, 0.5, 0.4)),
        *(
            _record("year", "day", "120 days", day, 10 if day < 100 else 13)
            for day in range(1, 121)
        ),
    ]
    page = write_page(records, tmp_path).read_text("utf-8")
    assert "| full build / bare limit at 20M ≤ 1.25 | 1.30 at 20M | **no** |" in page
    assert "rules in the limit ≤ 1.25 | 0.87 at 20M | yes |" in page
    assert (
        "| load: times the throughput of dlt (dictionaries) ≥ 10 × | 10.00 × at 1M | yes |" in page
    )
    assert "| peak memory at 20M ≤ 4 GB | 1.00 GB at 20M | yes |" in page
    assert "| tandem --help ≤ 0.5 s | 0.40 s | yes |" in page
    assert "wall time ≤ 1.15 | 1.30 at 120 days | **no** |" in page
    assert "130.00 s (120.00–140.00)" in page
    assert "| queries of the rules | 50.00 s (40.00–60.00) |" in page
    assert "- full build at 5M" in page
    assert "5M ≥ 5 × | not run | – |" in page
    drawn = {path.name for path in (tmp_path / "images" / "benchmarks").iterdir()}
    assert drawn == {"build.svg", "load.svg", "year-size.svg", "year-time.svg"}


def test_a_bar_without_a_size_shows_all_and_is_judged_at_the_largest(tmp_path: Path) -> None:
    records = [
        *_rounds("load", "tandem ingest", "1M", (10, 10, 10)),
        *_rounds("load", "dlt, dictionaries", "1M", (110, 110, 110)),
        *_rounds("load", "tandem ingest", "5M", (20,)),
        *_rounds("load", "dlt, dictionaries", "5M", (180,)),
    ]
    page = write_page(records, tmp_path).read_text("utf-8")
    assert "(dictionaries) ≥ 10 × | 11.00 × at 1M, 9.00 × at 5M | **no** |" in page


def test_sizes_are_numbers_of_events() -> None:
    assert [events_of(size) for size in ("300k", "1M", "2.5M", "7")] == [
        300_000,
        1_000_000,
        2_500_000,
        7,
    ]
    with pytest.raises(ValueError, match="could not convert"):
        events_of("many")


def _rounds(part: str, subject: str, size: str, walls: Sequence[float]) -> list[Record]:
    return [
        _record(part, subject, size, number, wall) for number, wall in enumerate(walls, start=1)
    ]


def _record(part: str, subject: str, size: str, number: int, wall: float) -> Record:
    values = {
        "stages": {"ingest": 1.0},
        "load": 1.0,
        "models": 2.0,
        "warehouse_bytes": 1000 * number,
        "serving_bytes": 10,
        "dagster_bytes": 10,
        "control_rows": {"builds": number},
    }
    return Record(part, subject, size, number, 1000, wall, wall / 2, 1_000_000_000, 5, 0.0, values)
