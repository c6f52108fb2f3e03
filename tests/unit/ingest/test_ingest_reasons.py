"""Every reason of the contract, with a record that fails and one that just passes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.ingest import ingest
from tests.unit.ingest.landing_files import (
    EVENTS,
    WRITERS,
    event,
    put,
    rejected,
    rows,
    settings_at,
)

ORDERS = "commerce/orders"
LATEST = "2026-06-02T00:00:00Z"


def order(**values: Any) -> dict[str, Any]:
    record = {
        "source": "shop",
        "order_id": "o1",
        "kind": "tip",
        "amount_minor": 100,
        "currency": "CNY",
        "paid_at": "2026-05-01T00:00:00Z",
        "account_id": "a1",
    }
    return {name: value for name, value in (record | values).items() if value is not None}


def rate(**values: Any) -> dict[str, Any]:
    record = {
        "source": "bank",
        "rate_id": "r1",
        "rate_date": "2026-05-01",
        "currency": "USD",
        "rate": "7.1",
    }
    return {name: value for name, value in (record | values).items() if value is not None}


def node(**values: Any) -> dict[str, Any]:
    record = {"source": "app", "node_id": "n1", "updated_at": "2026-05-01T00:00:00Z"}
    return {name: value for name, value in (record | values).items() if value is not None}


def group(**values: Any) -> dict[str, Any]:
    moment = "2026-05-01T00:00:00Z"
    record = {
        "source": "app",
        "group_id": "g1",
        "updated_at": moment,
        "created_at": moment,
        "kind": "paid",
    }
    return record | values


def experiment(**values: Any) -> dict[str, Any]:
    record = {
        "source": "app",
        "experiment_id": "x1",
        "updated_at": "2026-05-01T00:00:00Z",
        "unit": "account",
        "starts_at": "2030-05-01T00:00:00Z",
        "variants": {"b": 1, "a": 0},
    }
    return record | values


def policy(**values: Any) -> dict[str, Any]:
    record = {
        "source": "app",
        "policy_id": "p1",
        "scope": "platform",
        "share_bps": 0,
        "valid_from": "2050-01-01",
    }
    return record | values


def consult(**values: Any) -> dict[str, Any]:
    record = {
        "source": "app",
        "event_id": "q1",
        "session_id": "s1",
        "member_id": "m1",
        "action": "rate",
        "occurred_at": "2026-05-01T00:00:00Z",
    }
    return record | values


GOOD: list[tuple[str, dict[str, Any]]] = [
    (EVENTS, event()),
    (EVENTS, event(occurred_at="2000-01-01T00:00:00Z")),
    (EVENTS, event(occurred_at=LATEST)),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00.123456+08:00")),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00.1-0330")),
    (EVENTS, event(occurred_at="2026-05-01T08:00+08")),
    (EVENTS, event(occurred_at="2024-02-29T23:59:59Z")),
    (EVENTS, event(dwell_ms=0)),
    (EVENTS, event(dwell_ms="007")),
    (EVENTS, event(dwell_ms=2**63 - 1)),
    (EVENTS, event(platform="")),
    (EVENTS, event(query='say "hi", \\ 你好\n\t\u2028 x')),
    (EVENTS, event(account_id=12345678901234567890123)),
    (EVENTS, event(properties={"a": {"b": [1, "x,]"]}})),
    (EVENTS, event(received_at=LATEST)),
    (ORDERS, order(amount_minor=0)),
    (ORDERS, order(account_id=None, member_id="m1")),
    (ORDERS, order(currency="XAU")),
    ("commerce/fx_rates", rate(rate="0.000000000000000000000001")),
    ("commerce/fx_rates", rate(rate_date="2050-01-01")),
    ("community/nodes", node(level="platform")),
    ("community/nodes", node(level="circle", parent_node_id="n0")),
    ("group/groups", group(observes=["read", "click"])),
    ("group/groups", group(observes=[])),
    ("operations/experiments", experiment()),
    ("commerce/share_policies", policy(share_bps=10000)),
    ("group/consults", consult(score=5)),
    ("group/members", node(member_id="m1", is_bot=True, is_kol="false")),
]

BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (EVENTS, event(source=None), "missing_required", "source"),
    (EVENTS, event(event_id=""), "missing_required", "event_id"),
    (EVENTS, event(occurred_at=None, event_type="nope"), "missing_required", "occurred_at"),
    (ORDERS, order(account_id=None), "missing_required", "account_id"),
    ("community/nodes", node(level="circle"), "missing_required", "parent_node_id"),
    (EVENTS, event(occurred_at="yesterday"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-02-30T00:00:00Z"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T24:00:00Z"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:60Z"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00.1234567Z"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00.Z"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00+08:99"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00+99:00"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00.12+08:00:00"), "bad_type", "occurred_at"),
    (EVENTS, event(occurred_at="1777593600"), "bad_type", "occurred_at"),
    (EVENTS, event(received_at="soon"), "bad_type", "received_at"),
    (EVENTS, event(dwell_ms=12.5), "bad_type", "dwell_ms"),
    (EVENTS, event(dwell_ms="12.0"), "bad_type", "dwell_ms"),
    (EVENTS, event(dwell_ms="1e3"), "bad_type", "dwell_ms"),
    (EVENTS, event(dwell_ms="+5"), "bad_type", "dwell_ms"),
    (EVENTS, event(dwell_ms=2**63), "bad_type", "dwell_ms"),
    (EVENTS, event(dwell_ms=True), "bad_type", "dwell_ms"),
    (EVENTS, event(properties=[1]), "bad_type", "properties"),
    (EVENTS, event(properties="{"), "bad_type", "properties"),
    ("commerce/fx_rates", rate(rate="1e3"), "bad_type", "rate"),
    ("commerce/fx_rates", rate(rate_date="2026-05-01T00:00:00Z"), "bad_type", "rate_date"),
    ("commerce/fx_rates", rate(rate_date="2026-02-29"), "bad_type", "rate_date"),
    ("group/members", node(member_id="m1", is_bot=1), "bad_type", "is_bot"),
    ("group/members", node(member_id="m1", is_bot="True"), "bad_type", "is_bot"),
    ("group/groups", group(observes={"read": 1}), "bad_type", "observes"),
    ("operations/experiments", experiment(variants={"a": "1"}), "bad_type", "variants"),
    (EVENTS, event(event_type="READ"), "bad_enum", "event_type"),
    (EVENTS, event(platform="symbian", occurred_at="2026-05-01"), "bad_enum", "platform"),
    (ORDERS, order(currency="cny"), "bad_enum", "currency"),
    (ORDERS, order(currency="ZZZ"), "bad_enum", "currency"),
    ("group/groups", group(observes=["reads"]), "bad_enum", "observes"),
    (EVENTS, event(occurred_at="2026-05-01T08:00:00"), "naive_timestamp", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01 08:00:00.5"), "naive_timestamp", "occurred_at"),
    (EVENTS, event(occurred_at="2026-05-01"), "naive_timestamp", "occurred_at"),
    (EVENTS, event(received_at="2026-05-01T08:00"), "naive_timestamp", "received_at"),
    (EVENTS, event(occurred_at="1999-12-31T23:59:59.999999Z"), "out_of_range", "occurred_at"),
    (EVENTS, event(occurred_at="2026-06-02T00:00:00.000001Z"), "out_of_range", "occurred_at"),
    (EVENTS, event(dwell_ms=-1), "out_of_range", "dwell_ms"),
    (ORDERS, order(amount_minor=-1), "out_of_range", "amount_minor"),
    ("commerce/fx_rates", rate(rate="0.00"), "out_of_range", "rate"),
    ("commerce/fx_rates", rate(rate="-1"), "out_of_range", "rate"),
    ("operations/experiments", experiment(variants={"a": -1}), "out_of_range", "variants"),
    ("commerce/share_policies", policy(share_bps=10001), "out_of_range", "share_bps"),
    ("group/consults", consult(score=6), "out_of_range", "score"),
    ("group/consults", consult(score=0), "out_of_range", "score"),
]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_each_reason(tmp_path: Path, suffix: str) -> None:
    settings = settings_at(tmp_path)
    expected: list[tuple[str, int, str, str]] = []
    for log in sorted({case[0] for case in [*GOOD, *BAD]}):
        key = next(iter([name for name in _first(log) if name not in ("source",)]))
        records = []
        for number, (_, record) in enumerate(case for case in GOOD if case[0] == log):
            records.append(record | {key: f"good{number}"})
        good = len(records)
        path = f"{log}/f.{suffix}"
        for number, case in enumerate(case for case in BAD if case[0] == log):
            _, record, reason, field = case
            keyed = record if field == key else record | {key: f"bad{number}"}
            records.append(keyed)
            expected.append((path, len(records), reason, field))
        put(settings, log, f"f.{suffix}", WRITERS[suffix](records))
        assert good
    ingest(settings)
    found = [(path, line, reason, field) for path, line, reason, field in rejected(settings)]
    if suffix != "parquet":
        # CSV: a header, and one record over two lines; only their order is told here.
        found = [row if suffix == "jsonl" else (row[0], 0, *row[2:]) for row in found]
        expected = [row if suffix == "jsonl" else (row[0], 0, *row[2:]) for row in expected]
    assert sorted(found) == sorted(expected)
    for log in {case[0] for case in GOOD}:
        wanted = sum(case[0] == log for case in GOOD)
        assert len(rows(settings, log)) == wanted, log


def _first(log: str) -> dict[str, Any]:
    return next(record for name, record in GOOD if name == log)


def test_values_are_the_same_in_every_format(tmp_path: Path) -> None:
    record = event(
        occurred_at="2026-05-01T08:00:00.5+08:00",
        account_id="12345678901234567890123",
        dwell_ms=5,
        query='多行\n"quoted"',
        properties={"b": [1, 2.5], "a": None},
        topic="",
    )
    found = []
    for suffix, writer in WRITERS.items():
        settings = settings_at(tmp_path / suffix)
        put(settings, EVENTS, f"f.{suffix}", writer([record]))
        ingest(settings)
        found.append(rows(settings, EVENTS))
    assert all(one == found[0] for one in found)
    row = found[0][0]
    assert row["occurred_at"] == datetime.fromisoformat("2026-05-01 00:00:00.500000")
    assert row["properties"] == '{"b":[1,2.5],"a":null}'
    assert row["topic"] is None
    assert row["dwell_ms"] == 5


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("12", "12"),
        ("-0", "-0"),
        ("1.10", "1.10"),
        ("1e5", "1e5"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        ('{"b": 1}', '{"b": 1}'),
        ('"[图片]"', "[图片]"),
        ('"1.10"', "1.10"),
        ('"\\u4e2d\\n"', "中\n"),
    ],
)
@pytest.mark.parametrize("spaces", ["", " "])
def test_the_exact_text_of_json_scalars(tmp_path: Path, text: str, kept: str, spaces: str) -> None:
    settings = settings_at(tmp_path)
    line = (
        f'{{"source":"app","event_id":"e1","account_id":{spaces}{text},"event_type":"read",'
        '"occurred_at":"2026-05-01T00:00:00Z"}\n'
    )
    put(settings, EVENTS, "f.jsonl", line.encode())
    ingest(settings)
    assert [row["account_id"] for row in rows(settings, EVENTS)] == [kept]


MALFORMED = [
    b"{",
    b"[1]",
    b"12",
    b"null",
    b'{"a":1} x',
    b'{"source":NaN}',
    b'{"topic":"a\tb"}',
    b'{"topic":"\\ud800"}',
    b'{"topic":"a\x00b"}',
    b"\xc2\xa0",
    b"'x'",
]


def test_malformed_json_lines(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    good = as_line(event())
    trailing = good.replace(b'"}', b'",}')
    spaced = good.replace(b'"}', b'", }')
    nested = as_line(event(properties={"a": 1})).replace(b"1}}", b"1,}}")
    nan = as_line(event(topic="x")).replace(b'"x"', b"NaN")
    twice = good.replace(b"{", b'{"topic":"a","topic":"b",', 1)
    bad = [*MALFORMED, trailing, spaced, nested, nan, twice]
    body = good + b"\n \t\r\n" + b"\n".join(bad) + b"\r\n" + as_line(event(2))
    put(settings, EVENTS, "f.jsonl", body)
    ingest(settings)
    assert rejected(settings) == [
        ("community/events/f.jsonl", line, "malformed", None) for line in range(3, 3 + len(bad))
    ]
    assert len(rows(settings, EVENTS)) == 2


def as_line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def test_malformed_csv_records_and_their_lines(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    head = b"\xef\xbb\xbfsource,event_id,account_id,event_type,occurred_at,topic\r\n"
    when = b"read,2026-05-01T00:00:00Z"
    body = [
        b'app,e1,a1,%s,"two\r\nlines"\r\n' % when,
        b"app,e2,a1,%s\r\n" % when,
        b"app,e3,a1,%s,x,y\r\n" % when,
        b'app,e4,a1,%s,5" screen\r\n' % when,
        b'app,e5,a1,%s,"a"b\r\n' % when,
        b'app,e6,a1,%s,"say ""hi"""\r\n' % when,
        b"app,e7,a1,%s,\r\n" % when,
    ]
    put(settings, EVENTS, "f.csv", head + b"".join(body))
    ingest(settings)
    assert [row[1:3] for row in rejected(settings)] == [
        (4, "malformed"),
        (5, "malformed"),
        (6, "malformed"),
        (7, "malformed"),
    ]
    topics = {row["event_id"]: row["topic"] for row in rows(settings, EVENTS)}
    assert topics == {"e1": "two\r\nlines", "e6": 'say "hi"', "e7": None}
