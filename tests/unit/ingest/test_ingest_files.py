"""Whole files: damaged, misplaced, with control totals, seen before, changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from orchestration.errors import LockedError, SettingsError, TandemError
from orchestration.ingest import (
    ingest,
    list_quarantine,
    load,
    pending,
    replay_quarantine,
    scan,
    show_quarantine,
)
from orchestration.ingest.landing import FORMATS
from orchestration.ingest.load import Batch
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import (
    EVENTS,
    WRITERS,
    as_csv,
    as_jsonl,
    as_parquet,
    counts,
    event,
    put,
    query,
    rejected,
    rows,
    settings_at,
)

MANY = [event(number, topic=f"topic {number}") for number in range(500)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def damaged() -> dict[str, bytes]:
    gz, zst = gzip.compress(as_jsonl(MANY)), zstandard.compress(as_jsonl(MANY))
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(as_jsonl(MANY))
    parquet = as_parquet(MANY)
    flipped = bytearray(gz)
    flipped[len(gz) // 2] ^= 0x10
    middle = bytearray(parquet)
    middle[100:140] = bytes(40)
    return {
        "cut.jsonl.gz": gz[:-200],
        "cut_trailer.jsonl.gz": gz[:-4],
        "crc.jsonl.gz": gz[:-8] + struct.pack("<I", 1) + gz[-4:],
        "length.jsonl.gz": gz[:-4] + struct.pack("<I", 1),
        "flipped.jsonl.gz": bytes(flipped),
        "garbage.jsonl.gz": gz + b"garbage",
        "plain.jsonl.gz": as_jsonl(MANY),
        "empty.jsonl.gz": b"",
        "cut.jsonl.zst": zst[:-20],
        "checksum.jsonl.zst": checked[:-1] + bytes([checked[-1] ^ 1]),
        "plain.jsonl.zst": as_jsonl(MANY[1:]),
        "cut.csv.gz": gzip.compress(as_csv(MANY))[:-100],
        "latin.csv": as_csv([event(topic="é")]).decode().encode("latin-1"),
        "latin.jsonl": as_jsonl([event(1), event(2, topic="é")]).decode().encode("latin-1"),
        "utf16.jsonl": as_jsonl([event(1)]).decode().encode("utf-16"),
        "names.csv": b"source,source\na,b\n",
        "footer.parquet": parquet[:-20],
        "text.parquet": b"no parquet at all",
        "zeroed.parquet": bytes(middle),
    }


def test_an_unreadable_file_is_quarantined_whole(settings: Settings) -> None:
    files = damaged()
    for name, data in files.items():
        put(settings, EVENTS, name, data)
    put(settings, EVENTS, "good.jsonl", as_jsonl(MANY[:3]))
    report = ingest(settings)
    assert {row[0].split("/")[-1]: row[1:3] for row in rejected(settings)} == dict.fromkeys(
        files, (None, "unreadable_file")
    )
    assert len(rows(settings, EVENTS)) == 3
    assert report.totals[EVENTS].lines_read == report.totals[EVENTS].accepted == 3
    assert ingest(settings).files == []


def test_an_unreadable_file_is_taken_again_once_its_content_changes(settings: Settings) -> None:
    path = put(settings, EVENTS, "a.jsonl.gz", gzip.compress(as_jsonl(MANY))[:-9])
    ingest(settings)
    path.write_bytes(gzip.compress(as_jsonl(MANY)))
    assert [file.change for file in pending(settings)] == ["changed"]
    ingest(settings)
    assert len(rows(settings, EVENTS)) == 500
    assert rejected(settings) == []


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_every_suffix_and_an_empty_file(settings: Settings, suffix: str) -> None:
    put(settings, EVENTS, f"some.{suffix}", WRITERS[suffix](MANY))
    empty = WRITERS[suffix]([]) if suffix != "parquet" else as_parquet([event()])
    put(settings, EVENTS, f"none.{suffix}", empty)
    ingest(settings)
    assert f".{suffix}" in FORMATS
    found = counts(settings)
    assert found[f"{EVENTS}/some.{suffix}"][0] == 500
    assert len(rows(settings, EVENTS)) == 500


def test_several_frames_in_one_file(settings: Settings) -> None:
    halves = as_jsonl(MANY[:200]), as_jsonl(MANY[200:])
    put(settings, EVENTS, "a.jsonl.gz", b"".join(map(gzip.compress, halves)) + bytes(512))
    put(settings, "community/contents", "b.jsonl.zst", b"".join(map(zstandard.compress, halves)))
    put(settings, EVENTS, "b.jsonl.zst", b"".join(map(zstandard.compress, halves)))
    ingest(settings)
    assert len(rows(settings, EVENTS)) == 500


def test_names_that_are_not_ready_or_hidden(settings: Settings) -> None:
    for name in (
        "a.jsonl.tmp",
        "a.jsonl.part",
        ".a.jsonl",
        "_a.jsonl",
        "_b/a.jsonl",
        ".b/a.jsonl",
        "a.jsonl.control.json",
    ):
        put(settings, EVENTS, name, as_jsonl(MANY[:1]))
    put(settings, EVENTS, "date=2026-05-01/[x]*?.jsonl", as_jsonl([event(7)]))
    ingest(settings)
    assert [row["event_id"] for row in rows(settings, EVENTS)] == ["e7"]
    assert rejected(settings) == []


def test_what_lies_in_the_wrong_place_is_reported_until_it_is_gone(settings: Settings) -> None:
    put(settings, "community/evnets", "a.jsonl", as_jsonl(MANY[:1]))
    put(settings, "shop/orders", "a.jsonl", as_jsonl(MANY[:1]))
    put(settings, EVENTS, "a.json", b"{}")
    put(settings, EVENTS, "b.jsonl.bz2", b"")
    outside = settings.home / "secret.jsonl"
    outside.write_bytes(as_jsonl(MANY[:1]))
    (settings.landing_path / EVENTS / "link.jsonl").symlink_to(outside)
    (settings.landing_path / EVENTS / "up").symlink_to(settings.home)
    report = ingest(settings)
    expected = [
        ("community/events/a.json", None, "unknown_format", None),
        ("community/events/b.jsonl.bz2", None, "unknown_format", None),
        ("community/events/link.jsonl", None, "unreadable_file", "symlink"),
        ("community/events/up", None, "unreadable_file", "symlink"),
        ("community/evnets", None, "unknown_log", "log"),
        ("shop", None, "unknown_log", "core"),
    ]
    assert rejected(settings) == expected
    assert [entry.path for entry in report.unknown] == [row[0] for row in expected]
    assert pending(settings) == []
    assert rows(settings, EVENTS) == []
    (settings.landing_path / EVENTS / "a.json").unlink()
    ingest(settings)
    assert len(rejected(settings)) == 5


def test_a_link_inside_the_zone_is_followed(settings: Settings) -> None:
    path = put(settings, EVENTS, "a.jsonl", as_jsonl(MANY[:2]))
    (path.parent / "b.jsonl").symlink_to(path)
    ingest(settings)
    assert counts(settings) == {"community/events/a.jsonl": (2, 2, 0, 0)}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.zst"])
def test_control_totals(settings: Settings, suffix: str) -> None:
    records = [event(number, dwell_ms=number, topic='"') for number in range(10)]
    data = WRITERS[suffix](records)
    good = {"sha256": hashlib.sha256(data).hexdigest(), "lines": 10, "sums": {"dwell_ms": 45}}
    cases: dict[str, Any] = {
        "good": good,
        "none": {},
        "sha": good | {"sha256": "0" * 64},
        "lines": good | {"lines": 11},
        "sums": good | {"sums": {"dwell_ms": 44}},
        "field": good | {"sums": {"dwell": 0}},
        "key": good | {"rows": 10},
        "list": [],
    }
    for number, (name, control) in enumerate(cases.items()):
        log = settings.landing_path / EVENTS
        content = data if name == "good" else WRITERS[suffix]([event(100 + number)])
        if name not in ("good", "none", "sha", "key", "list"):
            content = WRITERS[suffix]([*records, event(200 + number)][1:])
        put(settings, EVENTS, f"{name}.{suffix}", content)
        if isinstance(control, dict) and "sha256" in control and name not in ("good", "sha"):
            control = control | {"sha256": hashlib.sha256(content).hexdigest()}
        (log / f"{name}.{suffix}.control.json").write_text(json.dumps(control))
    ingest(settings)
    assert {row[0].split("/")[-1].split(".")[0]: row[2] for row in rejected(settings)} == (
        dict.fromkeys(["sha", "lines", "sums", "field", "key", "list"], "control_mismatch")
    )
    assert len(rows(settings, EVENTS)) == 11
    assert pending(settings) == []
    (settings.landing_path / EVENTS / f"list.{suffix}.control.json").write_text("{}")
    assert [file.change for file in pending(settings)] == ["control"]
    ingest(settings)
    assert len(rows(settings, EVENTS)) == 12


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.zst"])
def test_control_sums_count_accepted_and_rejected_records_alike(
    settings: Settings, suffix: str
) -> None:
    records: list[dict[str, Any]] = [event(n, dwell_ms=n, topic=str(n % 3)) for n in range(9)]
    records += [event(9, dwell_ms=100, platform="none"), event(10, dwell_ms=1000, event_type="?")]
    records += [event(11, dwell_ms=10_000, topic="5"), event(11, dwell_ms=10_000, topic="5")]
    total = {"dwell_ms": 36 + 100 + 1000 + 20_000, "topic": 9 + 10}
    for number, off in enumerate(["", "dwell_ms", "topic"]):
        of = [record | {"event_id": f"{number} {record['event_id']}"} for record in records]
        put(settings, EVENTS, f"{number}.{suffix}", WRITERS[suffix](of))
        control = {"sums": total | ({off: total[off] - 1} if off else {})}
        put(settings, EVENTS, f"{number}.{suffix}.control.json", json.dumps(control).encode())
    ingest(settings)
    path = f"{EVENTS}/{{}}.{suffix}".format
    assert counts(settings) == {path(0): (13, 10, 2, 1), path(1): (0,) * 4, path(2): (0,) * 4}
    assert len(rows(settings, EVENTS)) == 10
    assert [row for row in rejected(settings) if row[0] != path(0)] == [
        (path(1), None, "control_mismatch", "sums.dwell_ms"),
        (path(2), None, "control_mismatch", "sums.topic"),
    ]


def test_a_file_that_is_no_utf8_is_unreadable_whatever_its_control_file_says(
    settings: Settings,
) -> None:
    bad = as_jsonl([event(1, dwell_ms=5)]).replace(b"dwell_ms", b"dwell\xff")
    put(settings, EVENTS, "a.jsonl", bad)
    put(settings, EVENTS, "a.jsonl.control.json", b'{"sums": {"dwell_ms": 5}}')
    put(settings, EVENTS, "b.jsonl", as_jsonl([event(2)]))
    ingest(settings)
    assert rejected(settings) == [(f"{EVENTS}/a.jsonl", None, "unreadable_file", "not UTF-8")]
    assert counts(settings)[f"{EVENTS}/b.jsonl"] == (1, 1, 0, 0)


def test_the_same_content_under_any_name_changes_nothing(settings: Settings) -> None:
    data = as_jsonl(MANY)
    put(settings, EVENTS, "a.jsonl", data)
    ingest(settings)
    before = query(settings, "from raw.community__events order by all"), counts(settings)
    put(settings, EVENTS, "2026/b.jsonl", data)
    (settings.landing_path / EVENTS / "a.jsonl").touch()
    assert len(pending(settings)) == 2
    report = ingest(settings)
    assert report.files == []
    assert (query(settings, "from raw.community__events order by all"), counts(settings)) == before
    assert pending(settings) == []


def test_of_the_same_content_under_two_formats_the_first_path_counts(settings: Settings) -> None:
    put(settings, EVENTS, "a.jsonl", b"")
    put(settings, EVENTS, "b.csv", b"")
    report = ingest(settings)
    assert [file.path for file in report.files] == [f"{EVENTS}/a.jsonl"]


def test_the_same_records_in_other_bytes_are_duplicates(settings: Settings) -> None:
    put(settings, EVENTS, "a.jsonl", as_jsonl(MANY))
    ingest(settings)
    before = rows(settings, EVENTS)
    for suffix in list(WRITERS)[1:]:
        put(settings, EVENTS, f"b.{suffix}", WRITERS[suffix](MANY))
        ingest(settings)
    assert rows(settings, EVENTS) == before
    found = counts(settings)
    assert found.pop("community/events/a.jsonl") == (500, 500, 0, 0)
    assert set(found.values()) == {(500, 0, 0, 500)}
    assert len(found) == len(WRITERS) - 1
    assert query(settings, "select distinct _batch_id from raw.community__events") == [(1,)]
    assert query(settings, "from control.replaced") == []


def test_the_smaller_received_at_wins_whatever_comes_first(tmp_path: Path) -> None:
    early = event(1, received_at="2026-05-02T00:00:00Z", topic="early")
    late = event(1, received_at="2026-05-03T00:00:00Z", topic="late")
    none = event(1, topic="none", occurred_at="2026-04-01T00:00:00Z")
    ledgers = []
    for number, order in enumerate([(early, late, none), (none, late, early)]):
        settings = settings_at(tmp_path / str(number))
        for place, record in enumerate(order):
            name = f"{record['topic']}{place}.jsonl"
            put(settings, EVENTS, name, as_jsonl([record]))
            ingest(settings)
        assert [row["topic"] for row in rows(settings, EVENTS)] == ["early"]
        ledgers.append(
            query(settings, "select sha256, accepted, duplicates from control.files order by all")
        )
        replaced = query(settings, "select id, occurred_at, batch_id from control.replaced")
        if number:
            assert replaced == [
                ("e1", datetime.fromisoformat("2026-04-01"), 2),
                ("e1", datetime.fromisoformat("2026-05-01"), 3),
            ]
            assert query(settings, "select _batch_id from raw.community__events") == [(3,)]
        else:
            assert replaced == []
    assert ledgers[0] == ledgers[1]


def test_entity_logs_keep_every_distinct_state(settings: Settings) -> None:
    log = "group/members"
    state = {"source": "app", "member_id": "m", "updated_at": "2026-05-01T00:00:00Z"}
    put(settings, log, "a.jsonl", as_jsonl([state | {"is_kol": True}, state, state]))
    put(settings, log, "b.csv", as_csv([state | {"received_at": "2026-05-02T00:00:00Z"}]))
    ingest(settings)
    assert [row["is_kol"] for row in rows(settings, log)] == [True, None]
    assert counts(settings) == {
        "group/members/a.jsonl": (3, 1, 0, 2),
        "group/members/b.csv": (1, 1, 0, 0),
    }


def test_unknown_fields_are_kept_and_reported(settings: Settings) -> None:
    extra = {"lang": "zh", "n": 1.10, "o": {"a": [1]}}
    put(settings, EVENTS, "a.jsonl", as_jsonl([event(1) | extra, event(2), event(3, topic='":')]))
    put(settings, EVENTS, "b.csv", as_csv([event(4) | {"lang": 'a"b'}, event(5)]))
    put(settings, EVENTS, "c.parquet", as_parquet([event(6) | {"lang": "x"}, event(7)]))
    report = ingest(settings)
    kept = {row["event_id"]: row["_extra"] for row in rows(settings, EVENTS, extra=True)}
    assert json.loads(kept["e1"]) == extra
    assert json.loads(kept["e4"]) == {"lang": 'a"b'}
    assert json.loads(kept["e6"]) == {"lang": "x"}
    assert [kept[f"e{number}"] for number in (2, 3, 5, 7)] == [None] * 4
    assert report.drift == {(EVENTS, "lang"): 3, (EVENTS, "n"): 1, (EVENTS, "o"): 1}
    drift = query(settings, "select field, lines from control.schema_drift order by file_id, field")
    assert drift == [("lang", 1), ("n", 1), ("o", 1), ("lang", 1), ("lang", 1)]


def test_plain_unknown_fields_need_no_python(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batch, "_load_carefully", None)
    extras = [{"lang": "中"}, {"n": -7, "lang": "zh"}, {"b": True, "nothing": None}]
    records = [event(number) | extra for number, extra in enumerate(extras, 1)]
    put(settings, EVENTS, "a.jsonl", as_jsonl(records))
    report = ingest(settings)
    kept = {row["event_id"]: row["_extra"] for row in rows(settings, EVENTS, extra=True)}
    assert {name: json.loads(text) for name, text in kept.items()} == {
        f"e{number}": extra for number, extra in enumerate(extras, 1)
    }
    assert report.drift == {
        (EVENTS, name): n for name, n in {"lang": 2, "n": 1, "b": 1, "nothing": 1}.items()
    }


def test_lines_with_nulls_in_a_known_order_hide_no_other_line(settings: Settings) -> None:
    plain = json.dumps(event(1) | {"topic": None, "platform": None, "dwell_ms": 5})
    lines = [plain, plain.replace("e1", "e2")]
    lines.append(plain.replace("e1", "e3").replace("{", '{"topic": "x", ', 1))
    lines.append(plain.replace("e1", "e4").replace("topic", "mood"))
    lines.append(plain.replace("e1", "e5").replace("platform", "topic"))
    put(settings, EVENTS, "a.jsonl", "\n".join(lines).encode())
    report = ingest(settings)
    kept = {row["event_id"]: row["_extra"] for row in rows(settings, EVENTS, extra=True)}
    assert kept == {"e1": None, "e2": None, "e4": '{"mood":null}'}
    assert [row[1:3] for row in rejected(settings)] == [(3, "malformed"), (5, "malformed")]
    assert report.drift == {(EVENTS, "mood"): 1}


def test_unknown_members_of_a_known_layout_keep_their_texts(settings: Settings) -> None:
    values = ['"zh"', "null", "true", "-7", "0", "-0", "1.50", "1e2", r'"\u00e9"', "[1, 2]", "{}"]
    values += [str(2**64), str(2**64 - 1), '"/"', '""', "NaN"]
    plain = json.dumps(event(0) | {"topic": None, "lang": "LANG"})
    lines = [plain.replace("e0", f"e{n}").replace('"LANG"', v) for n, v in enumerate(values)]
    lines.append(plain.replace("lang", "Lang").replace("e0", "capital"))
    put(settings, EVENTS, "a.jsonl", "\n".join(lines).encode())
    ingest(settings)
    kept = {row["event_id"]: row["_extra"] for row in rows(settings, EVENTS, extra=True)}
    assert kept.pop("capital") == '{"Lang":"LANG"}'
    assert kept == {f"e{n}": f'{{"lang":{v}}}' for n, v in enumerate(values) if v != "NaN"}
    assert [row[1:3] for row in rejected(settings)] == [(len(values), "malformed")]


@pytest.mark.parametrize("topic", [None, "t"], ids=["general", "regular"])
def test_a_trailing_comma_is_malformed_whatever_blanks_follow(
    settings: Settings, topic: str | None
) -> None:
    good = json.dumps(event(1, topic=topic, properties={"a": [1]}))
    ends = [",", ", ", ",    ", ",\t\t\t\t", ",\r", "," + 20 * " "]
    bad = [good[:-1] + end + "}" for end in ends] + [good[:-2] + end + "}}" for end in ends]
    bad += [good.replace("]", end + "]") for end in ends]
    put(settings, EVENTS, "a.jsonl", "\n".join([good, *bad, good.replace("e1", "e2")]).encode())
    ingest(settings)
    assert {row["event_id"] for row in rows(settings, EVENTS)} == {"e1", "e2"}
    assert [row[1:3] for row in rejected(settings)] == [
        (line, "malformed") for line in range(2, 2 + len(bad))
    ]


@pytest.mark.parametrize(
    ("line", "tidy"),
    [
        ('{"a": [1]}', True),
        ('{"a": [ok ]   }', True),
        ('{"a": "b,c ]"}', True),
        ('{"a": "b, ]"}', False),
        ('{"a": 1,\t}', False),
        ('{"a": 1' + 40 * " " + "}", False),
    ],
)
def test_tidy_lines(tmp_path: Path, line: str, tidy: bool) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n', "utf-8")
    assert scan.scan(path, "jsonl", "", 10 << 20).shape.tidy is tidy


def test_a_comma_and_a_bracket_are_seen_between_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for size in range((1 << 18) - 4, (1 << 18) + 2):
        path.write_bytes(b'{"a":"' + b"x" * (size - 7) + b'",}\n')
        assert not scan.scan(path, "jsonl", "", 10 << 20).shape.tidy
        path.write_bytes(b'{"a":"' + b"x" * (size - 7) + b'"}\n')
        assert scan.scan(path, "jsonl", "", 10 << 20).shape.tidy


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_plain_csv_needs_no_python(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, compression: str, ending: bytes
) -> None:
    monkeypatch.setattr(Batch, "_load_carefully", None)
    # Lines of every length, so that some block ends between CR and LF.
    monkeypatch.setattr(scan, "_BLOCK", 97)
    data = as_csv([event(n, topic="x" * (n % 97) + '"\r\n,') for n in range(500)])
    data = data.replace(b"\r\n", ending)
    packed = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[compression](data)
    put(settings, EVENTS, f"a.csv{compression}", packed)
    report = ingest(settings)
    assert [(file.accepted, file.rejected) for file in report.files] == [(500, 0)]


def test_a_parquet_file_that_repeats_a_column_is_unreadable_beside_one_that_does_not(
    settings: Settings,
) -> None:
    put(settings, EVENTS, "a.parquet", as_parquet([event(1)]))
    names = [*event(2), "source"]
    twice = pyarrow.Table.from_arrays([[event(2)[name]] for name in names], names=names)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(twice, sink)
    put(settings, EVENTS, "b.parquet", sink.getvalue())
    ingest(settings)
    assert [row[0] for row in rejected(settings)] == [f"{EVENTS}/b.parquet"]
    assert counts(settings)[f"{EVENTS}/a.parquet"] == (1, 1, 0, 0)


def test_a_carriage_return_of_its_own_is_seen_between_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, is_plain in [("a,b\r\n1,2\r\n", True), ("a,b\n1,2\r", False), ("a,b\n1\r,2", False)]:
        path.write_bytes(text.encode())
        blocks = [text.encode()[n : n + 1] for n in range(len(text))]
        counter = scan._CsvRecords(1000)
        for block in blocks:
            counter.feed(block)
        assert counter.end() == (1, is_plain)
        assert counter.longest == max(map(len, text.splitlines(keepends=True)))


def test_what_two_faults_of_one_line_cancel_is_still_seen(settings: Settings) -> None:
    """Unquoted ids are shorter, an unknown field is longer: both counts must disagree."""
    line = as_jsonl([event(1, account_id=7, content_id=8, node_id=9)]).replace(b", ", b",")
    line = line.replace(b": ", b":")
    put(settings, EVENTS, "a.jsonl", line.replace(b"}", b',"x":"y"}') + line.replace(b"e1", b"e2"))
    blank = line.replace(b'"account_id":7', b'"account_id" :7').replace(b"e1", b"e3")
    put(settings, EVENTS, "b.jsonl", blank.replace(b"}", b',"x":"y"}'))
    ingest(settings)
    kept = {row["event_id"]: row["_extra"] for row in rows(settings, EVENTS, extra=True)}
    assert kept == {"e1": '{"x":"y"}', "e2": None, "e3": '{"x":"y"}'}


def test_parquet_with_native_types(settings: Settings) -> None:
    moment = datetime(2026, 5, 1, 8, tzinfo=UTC)
    table = pyarrow.table(
        {
            "source": ["app"] * 3,
            "message_id": pyarrow.array([1, 2, 3], pyarrow.int64()),
            "group_id": ["g"] * 3,
            "member_id": ["m"] * 3,
            "kind": pyarrow.array(["text"] * 3).dictionary_encode(),
            "occurred_at": pyarrow.array(
                [moment, moment, moment + timedelta(days=365)], pyarrow.timestamp("us", "UTC")
            ),
            "received_at": pyarrow.array([moment] * 3, pyarrow.timestamp("ns", "Asia/Shanghai")),
            "text_length": pyarrow.array([1, -1, None], pyarrow.int32()),
            "mentions": pyarrow.array([["a", "b"], None, []], pyarrow.list_(pyarrow.string())),
        }
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    put(settings, "group/messages", "a.parquet", sink.getvalue())
    rates = pyarrow.table(
        {
            "source": ["bank"],
            "rate_id": ["r"],
            "rate_date": [date(2026, 5, 1)],
            "currency": ["USD"],
            "rate": ["7.10"],
        }
    )
    naive = rates.append_column("received_at", pyarrow.array([moment], pyarrow.timestamp("us")))
    for name, one in (("b", rates), ("c", naive)):
        sink = io.BytesIO()
        pyarrow.parquet.write_table(one, sink)
        put(settings, "commerce/fx_rates", f"{name}.parquet", sink.getvalue())
    ingest(settings)
    (message,) = rows(settings, "group/messages")
    assert message["message_id"] == "1"
    assert (
        message["occurred_at"]
        == message["received_at"]
        == datetime.fromisoformat("2026-05-01 08:00:00")
    )
    assert message["mentions"] == '["a","b"]'
    (one,) = rows(settings, "commerce/fx_rates")
    assert (one["rate_date"], one["rate"]) == (date(2026, 5, 1), "7.10")
    assert rejected(settings) == [
        ("commerce/fx_rates/c.parquet", 1, "naive_timestamp", "received_at"),
        ("group/messages/a.parquet", 2, "out_of_range", "text_length"),
        ("group/messages/a.parquet", 3, "out_of_range", "occurred_at"),
    ]


def test_long_lines_and_deep_nesting(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, max_line_bytes=100_000)
    long = as_jsonl([event(1, query="x" * 100_000)])
    deep = as_jsonl([event(2)]).replace(
        b"}", b',"properties":' + b'{"a":' * 1000 + b"1" + b"}" * 1001
    )
    deeper = deep.replace(b'"e2"', b'"e3"').replace(b'{"a":', b'{"a":' * 30)
    deeper = deeper.replace(b"}", b"}" * 30)[:-30] + b"\n"
    put(settings, EVENTS, "a.jsonl", long + deep + as_jsonl([event(4)]))
    put(settings, EVENTS, "b.csv", as_csv([event(5, query="x" * 100_000), event(6)]))
    ingest(settings)
    assert rejected(settings) == [
        ("community/events/a.jsonl", 1, "malformed", None),
        ("community/events/b.csv", 2, "malformed", None),
    ]
    assert [row["event_id"] for row in rows(settings, EVENTS)] == ["e2", "e4", "e6"]
    assert len(show_quarantine(settings)[0].raw_text or "") == 64 * 1024


def test_a_line_of_a_hundred_megabytes(settings: Settings) -> None:
    data = (
        as_jsonl([event(1)]) + b'{"query":"' + b"x" * 100_000_000 + b'"}\n' + as_jsonl([event(2)])
    )
    put(settings, EVENTS, "a.jsonl.gz", gzip.compress(data, 1))
    ingest(settings)
    assert counts(settings) == {"community/events/a.jsonl.gz": (3, 2, 1, 0)}


def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(settings, EVENTS, "a.jsonl", as_jsonl(MANY))
    original = load.Batch._load_json

    def load_and_touch(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        os.utime(path, (1, 1))

    monkeypatch.setattr(load.Batch, "_load_json", load_and_touch)
    with pytest.raises(TandemError, match="changed while it was read"):
        ingest(settings)
    assert query(settings, "from control.files") == []
    assert rows(settings, EVENTS) == []
    monkeypatch.setattr(load.Batch, "_load_json", original)
    ingest(settings)
    assert len(rows(settings, EVENTS)) == 500


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(tmp_path)
    ingest(settings)
    original = load.create_tables

    def no_room(connection: Any) -> None:
        original(connection)
        connection.execute("set memory_limit = '12MB'")
        connection.execute("set max_temp_directory_size = '0KB'")

    monkeypatch.setattr(load, "create_tables", no_room)
    big = [event(number, query="x" * 3000 + str(number)) for number in range(20_000)]
    put(settings, EVENTS, "a.jsonl", as_jsonl(big))
    with pytest.raises(TandemError, match="nothing of its batch was kept"):
        ingest(settings)
    monkeypatch.setattr(load, "create_tables", original)
    assert rows(settings, EVENTS) == []
    ingest(settings)
    assert len(rows(settings, EVENTS)) == 20_000


def test_a_locked_warehouse_says_so(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, lock_wait_seconds=0.3)
    ingest(settings)
    code = "import duckdb,sys; c=duckdb.connect(sys.argv[1]); print('held',flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.warehouse_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(LockedError, match=str(holder.pid)):
        ingest(settings)
    holder.communicate(b"\n")


def test_an_unknown_log_in_the_call_is_an_error(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="no such log"):
        ingest(settings, logs=["community/evnets"])


def test_some_logs_only(settings: Settings) -> None:
    put(settings, EVENTS, "a.jsonl", as_jsonl(MANY[:1]))
    put(settings, "group/members", "a.jsonl", b"{}\n")
    assert [file.log for file in ingest(settings, logs=[EVENTS]).files] == [EVENTS]
    assert [file.log for file in pending(settings)] == ["group/members"]


def test_progress_ends_at_the_total(settings: Settings) -> None:
    put(settings, EVENTS, "a.jsonl", as_jsonl(MANY))
    put(settings, EVENTS, "b.jsonl", as_jsonl(MANY[:5]))
    events: list[load.ProgressEvent] = []
    ingest(settings, progress=events.append)
    assert events[-1].files_done == events[-1].files_total == 2
    assert events[-1].bytes_done == events[-1].bytes_total


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_replay_under_a_later_clock(tmp_path: Path, suffix: str) -> None:
    settings = settings_at(tmp_path)
    records = [
        event(1, topic='a "b"\nc'),
        event(2, occurred_at="2026-06-05T00:00:00Z", topic='a "b"\nc', properties={"x": 1}),
        event(3, dwell_ms="x"),
        event(1, occurred_at="2026-06-06T00:00:00Z", received_at="2026-06-06T00:00:00Z"),
    ]
    put(settings, EVENTS, f"a.{suffix}", WRITERS[suffix](records))
    ingest(settings)
    assert [group.lines for group in list_quarantine(settings)] == [2, 1]
    assert list_quarantine(settings)[0].reason == "out_of_range"
    later = settings_at(tmp_path, now=datetime(2026, 7, 1, tzinfo=UTC))
    report = replay_quarantine(later)
    assert (report.lines, report.accepted, report.duplicates, report.rejected) == (3, 1, 1, 1)
    assert counts(later) == {f"community/events/a.{suffix}": (4, 2, 1, 1)}
    found = {row["event_id"]: row for row in rows(later, EVENTS)}
    assert found["e2"]["topic"] == 'a "b"\nc'
    assert found["e2"]["properties"] == '{"x":1}'
    assert found["e1"]["received_at"] == datetime.fromisoformat("2026-06-06")
    assert [row[2] for row in rejected(later)] == ["bad_type"]
    assert replay_quarantine(later, reason="out_of_range").lines == 0


def test_replay_takes_whole_files_again(settings: Settings, monkeypatch: Any) -> None:
    path = put(settings, EVENTS, "a.jsonl", as_jsonl(MANY[:2]))
    control = path.with_name("a.jsonl.control.json")
    control.write_text('{"lines": 3}')
    put(settings, EVENTS, "b.jsonl.gz", b"no gzip")
    ingest(settings)
    control.unlink()
    report = replay_quarantine(settings, path="community/events/a.jsonl")
    assert [file.accepted for file in report.files] == [2]
    assert [row[0] for row in rejected(settings)] == ["community/events/b.jsonl.gz"]
    assert replay_quarantine(settings).files[0].state == "quarantined"
    assert len(rejected(settings)) == 1


def test_no_warehouse_no_quarantine(settings: Settings) -> None:
    assert list_quarantine(settings) == show_quarantine(settings) == []
    assert pending(settings) == []


def test_pending_is_quick_for_thousands_of_files(settings: Settings) -> None:
    folder = settings.landing_path / EVENTS
    folder.mkdir(parents=True)
    for number in range(3000):
        (folder / f"{number}.jsonl").write_bytes(b"")
    with open_warehouse(settings) as connection:
        load.create_tables(connection)
    start = time.process_time()
    assert len(pending(settings)) == 3000
    assert time.process_time() - start < 2
