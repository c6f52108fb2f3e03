"""Hostile landing files: bombs, links, pipes, names and shapes that stop nothing beside them."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from orchestration.contracts import contracts
from orchestration.errors import TandemError
from orchestration.ingest import ingest, landing, load, scan
from orchestration.ingest.lines import csv_lines, json_lines, json_record
from orchestration.ingest.load import Batch, _sum_sql
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import (
    EVENTS,
    as_csv,
    as_jsonl,
    counts,
    event,
    put,
    query,
    rejected,
    rows,
    settings_at,
)

GOOD = as_jsonl([event(1)])


def parquet_bytes(**columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def repeated(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


def test_bombs_are_unreadable_and_the_file_beside_them_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "FREE_EXPANSION", 200_000)
    settings = settings_at(tmp_path, max_expansion=20)
    put(settings, EVENTS, "good.jsonl", GOOD)
    put(settings, EVENTS, "long.jsonl.zst", zstandard.compress(b"x" * 3_000_000))
    put(settings, EVENTS, "many.jsonl.gz", gzip.compress(b"{}\n" * 50_000, mtime=0))
    put(settings, EVENTS, "rows.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 50_000, mtime=0))
    put(settings, EVENTS, "text.parquet", parquet_bytes(event_id=repeated("x" * 50_000, 9)))
    put(settings, EVENTS, "null.parquet", parquet_bytes(event_id=pa.nulls(100_000, pa.string())))
    nested = pa.ListArray.from_arrays(pa.array(range(10), pa.int32()), repeated("x" * 50_000, 9))
    put(settings, EVENTS, "list.parquet", parquet_bytes(properties=nested))
    ingest(settings)
    bad = {"list.parquet", "long.jsonl.zst", "many.jsonl.gz", "null.parquet", "rows.csv.gz"}
    assert {path.rsplit("/")[-1] for path, *_ in rejected(settings)} == bad | {"text.parquet"}
    details = query(settings, "select distinct field from quarantine.lines")
    assert details == [("expands to more than 20 times its size (setting max_expansion)",)]
    assert counts(settings)["community/events/good.jsonl"] == (1, 1, 0, 0)


def test_a_file_that_shrinks_well_is_no_bomb(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    alike = as_jsonl([event(7)]) * 20_000
    put(settings, EVENTS, "a.jsonl.zst", zstandard.compress(alike))
    ingest(settings)
    assert counts(settings) == {"community/events/a.jsonl.zst": (20_000, 1, 0, 19_999)}


NAMES = [
    "it's.jsonl",
    "a\nb.jsonl",
    "a\x1b[31m.jsonl",
    "[red]*?[a].jsonl",
    "%2e%2e%2f.jsonl",
    "k=v/x.jsonl",
    '"; drop table control.files; --.jsonl',
    "n" * 248 + ".jsonl",
    "$HOME`id`.jsonl",
    "\u202efdp.jsonl",
]


def test_a_name_is_only_a_name(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    for number, name in enumerate(NAMES):
        put(settings, EVENTS, name, as_jsonl([event(number), {"source": "app"}]))
    put(settings, EVENTS, "\udcff.jsonl", GOOD)
    put(settings, EVENTS, "\udcfe/a.jsonl", GOOD)
    put(settings, "community/\udcff", "a.jsonl", GOOD)
    (settings.landing_path / "\udcff").mkdir()
    deep = settings.landing_path / EVENTS / "/".join(["d"] * 1000)
    for parent in (*reversed(deep.parents), deep):
        if not parent.exists():
            parent.mkdir()
    (deep / "a.jsonl").write_bytes(as_jsonl([event(99)]))
    ingest(settings)
    again = ingest(settings)
    # What removes a test's folder goes down by recursion.
    (deep / "a.jsonl").unlink()
    os.removedirs(deep)
    assert again.files == []
    taken = counts(settings)
    assert {f"{EVENTS}/{name}" for name in NAMES} < taken.keys()
    assert set(taken.values()) == {(2, 1, 1, 0), (1, 1, 0, 0)}
    found = {(path, reason) for path, line, reason, _ in rejected(settings) if line is None}
    assert found == {
        ("\\udcff", "unknown_log"),
        ("community/\\udcff", "unknown_log"),
        (f"{EVENTS}/\\udcfe", "unreadable_file"),
        (f"{EVENTS}/\\udcff.jsonl", "unreadable_file"),
    }


def test_pipes_devices_and_links_block_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(tmp_path)
    path = put(settings, EVENTS, "a.jsonl", GOOD)
    os.mkfifo(path.with_name("pipe.jsonl"))
    path.with_name("zero.jsonl").symlink_to("/dev/zero")
    os.link(path, path.with_name("twin.jsonl"))
    outside = tmp_path / "outside.json"
    outside.write_text('{"lines": 1}')
    put(settings, EVENTS, "b.jsonl", as_jsonl([event(2)]))
    path.with_name("b.jsonl.control.json").symlink_to(outside)
    ingest(settings)
    assert counts(settings) == {
        "community/events/a.jsonl": (1, 1, 0, 0),
        "community/events/b.jsonl": (0, 0, 0, 0),
    }
    assert {(path, reason) for path, _, reason, _ in rejected(settings)} == {
        ("community/events/b.jsonl", "control_mismatch"),
        ("community/events/b.jsonl.control.json", "unreadable_file"),
        ("community/events/pipe.jsonl", "unreadable_file"),
        ("community/events/zero.jsonl", "unreadable_file"),
    }
    # Seen as files, and pipes and links by the time they are read.
    path = put(settings, EVENTS, "c.jsonl", as_jsonl([event(3)]))
    for swap in (lambda: os.mkfifo(path), lambda: path.symlink_to(outside)):
        seen = landing.look(settings.landing_path)
        path.unlink()
        swap()
        monkeypatch.setattr(load, "look", lambda *_, seen=seen: seen)
        with pytest.raises(TandemError, match=r"no regular file|link out of the landing zone"):
            ingest(settings)
        path.unlink()
        path.write_bytes(as_jsonl([event(3)]))
    assert len(counts(settings)) == 2


def test_a_link_that_comes_while_duckdb_reads_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(tmp_path)
    path = put(settings, EVENTS, "a.jsonl", GOOD)
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(GOOD)
    os.utime(outside, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    insert = Batch._insert_fast

    def swapped(self: Batch, *arguments: Any, **more: Any) -> None:
        path.unlink()
        path.symlink_to(outside)
        insert(self, *arguments, **more)

    monkeypatch.setattr(Batch, "_insert_fast", swapped)
    with pytest.raises(TandemError, match="link out of the landing zone"):
        ingest(settings)
    assert counts(settings) == {}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        json.dumps({"sums": {"dwell_ms": 1}, "x": [[]]}),
        '{"sums": {"dwell_ms": ' + "9" * 6000 + "}}",
        "{" + " " * 1_100_000 + "}",
        "\udcff",
    ],
)
def test_a_control_file_of_any_kind_only_holds_its_own_file_back(tmp_path: Path, text: str) -> None:
    settings = settings_at(tmp_path)
    put(settings, EVENTS, "a.jsonl.control.json", text.encode("utf-8", "surrogateescape"))
    put(settings, EVENTS, "a.jsonl", as_jsonl([event(1, dwell_ms=int("9" * 4000))]))
    put(settings, EVENTS, "b.jsonl", as_jsonl([event(2)]))
    ingest(settings)
    assert counts(settings)["community/events/b.jsonl"] == (1, 1, 0, 0)
    assert ("community/events/a.jsonl", None, "control_mismatch", "control file unreadable") in (
        rejected(settings)
    )


def test_only_integers_of_64_bits_add_to_a_control_sum() -> None:
    texts = ["-0", "007", "9" * 6000, str(2**63), str(-(2**63)), "1.0", "٣", "-", "", "0" * 6000]
    with duckdb.connect() as connection:
        sums = [
            connection.execute(f"select {_sum_sql('x')} from (select ? as x)", [text]).fetchone()
            for text in texts
        ]
    assert sums == [(sum_,) for sum_ in (0, 7, 0, 0, -(2**63), 0, 0, 0, 0, 0)]


def test_thousands_of_unknown_fields_are_kept_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "DRIFT_FIELDS", 10)
    settings = settings_at(tmp_path, memory_limit="200MB", threads=1)
    wide = {f"key {number}": number for number in range(3000)}
    named = {"nul\0name": 1, "n" * 5000: 2}
    put(settings, EVENTS, "a.jsonl", as_jsonl([event(1) | wide, event(2) | named, event(3)]))
    put(settings, EVENTS, "b.csv", as_csv([event(4) | {f"c{n}": n for n in range(100)}]))
    report = ingest(settings)
    assert [(file.accepted, file.rejected) for file in report.files] == [(3, 0), (1, 0)]
    by_file = query(settings, "select file_id, count(*) from control.schema_drift group by all")
    assert sorted(by_file) == [(1, 11), (2, 11)]
    assert query(settings, "select max(len(field)) from control.schema_drift") < [(201,)]
    kept = query(
        settings,
        "select coalesce(len(json_keys(_extra)), 0) as n from raw.community__events order by n",
    )
    assert kept == [(0,), (2,), (100,), (3000,)]


def test_tables_too_wide_are_unreadable(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    names = ",".join(f"c{number}" for number in range(5000))
    put(settings, EVENTS, "a.csv", f"{names}\n1\n".encode())
    wide = {f"c{number}": pa.nulls(1, pa.int8()) for number in range(2500)}
    put(settings, EVENTS, "b.parquet", parquet_bytes(**wide))
    ingest(settings)
    fields = {(path.rsplit("/")[-1], field) for path, _, _, field in rejected(settings)}
    assert fields == {("a.csv", "more than 2000 columns"), ("b.parquet", "more than 2000 columns")}


def test_a_nul_in_a_header_is_part_of_the_name(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    put(settings, EVENTS, "a.csv", b"\0x," + as_csv([event(1)]).replace(b"\r\napp", b"\r\n1,app"))
    ingest(settings)
    assert counts(settings) == {"community/events/a.csv": (1, 1, 0, 0)}
    assert query(settings, "select field from control.schema_drift") == [("\0x",)]


def test_a_quote_that_nobody_closes_keeps_little_in_memory() -> None:
    body = b'a,b\n1,2\n3,"' + b'x,""y""\n' * 50_000
    found = list(csv_lines([body[at : at + 999] for at in range(0, len(body), 999)], 5000))
    assert [line.number for line, _ in found] == [1, 2, 3]
    assert (found[2][0].oversized, found[2][1]) == (True, None)
    assert len(found[2][0].data) < 10_000
    # A long record that does end costs only itself.
    closed = body + b'z",4\n5,6\n'
    again = list(csv_lines([closed], 5000))
    assert [fields for _, fields in again] == [["a", "b"], ["1", "2"], None, ["5", "6"]]
    assert again[3][0].number == 50_004


def test_a_text_of_megabytes_is_read_in_little_memory() -> None:
    import tracemalloc

    text = "x" * 4_000_000
    record = as_jsonl([event(1, query=text, properties={"a": [text, 1.0]})])
    line = next(iter(json_lines([record], 1 << 24)))
    tracemalloc.start()
    found = json_record(line, contracts()[EVENTS])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.values["query"] == text
    assert peak < 20 * len(record)


def test_a_file_that_duckdb_gives_up_on_is_quarantined_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(tmp_path)
    for name in ("a", "poison", "z"):
        put(settings, EVENTS, f"{name}.jsonl", as_jsonl([event(ord(name[0]))]))
    take = Batch._load

    def poisoned(self: Batch, contract: Any, entries: list[Any]) -> None:
        if any("poison" in entry.landed.path for entry in entries):
            raise duckdb.ConversionException("Kanarie7Vogel")
        take(self, contract, entries)

    monkeypatch.setattr(Batch, "_load", poisoned)
    report = ingest(settings)
    assert {Path(file.path).stem: file.state for file in report.files} == {
        "a": "loaded",
        "poison": "quarantined",
        "z": "loaded",
    }
    assert rejected(settings) == [
        (
            "community/events/poison.jsonl",
            None,
            "unreadable_file",
            "DuckDB cannot take it (ConversionException)",
        )
    ]
    assert len(rows(settings, EVENTS)) == 2


def test_ids_are_never_sql(tmp_path: Path) -> None:
    from orchestration.warehouse import literal

    settings = settings_at(tmp_path)
    ids = ["'; drop table raw.community__events; --", "a' or '1'='1", 'x"y', "{n}", "\0'", "%s ?"]
    put(settings, EVENTS, "a.jsonl", as_jsonl([event(n, account_id=i) for n, i in enumerate(ids)]))
    ingest(settings)
    with open_warehouse(settings, read_only=True) as connection:
        for text in ids:
            found = connection.execute(
                f"select count(*) from raw.community__events where account_id = {literal(text)}"
            ).fetchone()
            assert found == (1,)
