"""Invariants: order, split and format of the files do not matter, nor which path a line takes."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.contracts import contracts
from orchestration.ingest import ingest, load, readers
from orchestration.ingest.canonical import canonical_json, canonical_sql
from orchestration.ingest.tables import create_tables, raw_columns
from tests.unit.ingest.landing_files import (
    EVENTS,
    WRITERS,
    event,
    put,
    query,
    rows,
    settings_at,
)

RELAXED = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.sampled_from(["e1", "e2", "3", "é", ""]),
    "account_id": st.one_of(TEXTS, st.integers(-5, 2**70), st.sampled_from(["", None, "1.10"])),
    "event_type": st.sampled_from(["read", "like", "nope"]),
    "occurred_at": st.sampled_from(
        [
            "2026-05-01T08:00:00+08:00",
            "2026-05-01T00:00:00.000Z",
            "2026-05-01T00:00:00.123456Z",
            "2026-05-01T00:00:00-03:30",
            "2026-05-01T00:00:00+0530",
            "2026-05-01T00:00Z",
            "2026-05-01T00:00:00",
            "2027-05-01T00:00:00Z",
            "2026-05-01T24:00:00+08:00",
            "2026-05-01T00:00:00.1234567+08:00",
        ]
    ),
    "topic": st.one_of(st.none(), TEXTS, st.booleans(), st.floats(allow_nan=False)),
    "dwell_ms": st.one_of(st.none(), st.integers(-1, 5), st.sampled_from(["05", "x", 1.5])),
    "platform": st.sampled_from([None, "ios", "", "palm"]),
    "properties": st.one_of(
        st.none(),
        st.just([]),
        st.dictionaries(TEXTS, st.one_of(st.integers(), st.floats(-9, 9), TEXTS), max_size=2),
    ),
    "received_at": st.sampled_from([None, "2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z"]),
    "unknown": st.one_of(
        st.none(), TEXTS, st.floats(allow_nan=False), st.booleans(), st.integers(-(2**70), 2**70)
    ),
    "a.b": st.one_of(TEXTS, st.lists(st.integers(0, 1), max_size=1)),
    "lang": st.sampled_from(["zh", "en", 0, 1, False]),
    "Lang": st.sampled_from([None, -0.0, 2**64, 1e5, "\\", "/", "\u2028", {}]),
    "Topic": st.just("t"),
}
RECORDS = st.lists(
    st.fixed_dictionaries({"source": st.just("app")}, optional=VALUES),
    min_size=1,
    max_size=12,
)
VALID = st.lists(
    st.builds(
        lambda number, topic, received: event(number, topic=topic, received_at=received),
        st.integers(1, 4),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from([None, "2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z"]),
    ),
    min_size=1,
    max_size=12,
)


@RELAXED
@given(records=VALID, data=st.data())
def test_split_order_format_and_runs_do_not_matter(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    bounds = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=2)))
    parts = [records[a:b] for a, b in zip([0, *bounds], [*bounds, len(records)], strict=True)]
    files = [(data.draw(st.sampled_from(sorted(WRITERS))), part) for part in parts if part]
    outcomes = []
    for at_once in (True, False):
        order = data.draw(st.permutations(range(len(files))))
        with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
            patch.setattr(load, "_SETTLED_APART", data.draw(st.sampled_from([0, 1 << 20])))
            config = settings_at(Path(home))
            for place, number in enumerate(order):
                suffix, part = files[number]
                put(config, EVENTS, f"{place}.{suffix}", WRITERS[suffix](part))
                if not at_once:
                    ingest(config)
            ingest(config)
            ledger = query(
                config,
                "select cast(sum(lines_read) as bigint), cast(sum(accepted) as bigint), "
                "cast(sum(rejected) as bigint), cast(sum(duplicates) as bigint) "
                "from control.files",
            )
            outcomes.append((rows(config, EVENTS), ledger))
    assert outcomes[0][1] == outcomes[1][1]
    assert outcomes[0][0] == outcomes[1][0]


@RELAXED
@given(
    records=RECORDS, separators=st.sampled_from([(",", ":"), (", ", ": ")]), ascii_=st.booleans()
)
def test_the_fast_path_takes_nothing_that_the_careful_one_would_not(
    records: list[dict[str, Any]], separators: tuple[str, str], ascii_: bool
) -> None:
    body = b"".join(
        json.dumps(record, separators=separators, ensure_ascii=ascii_).encode() + b"\n"
        for record in records
    )
    outcomes = []
    for fast in (True, False):
        with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
            config = settings_at(Path(home))
            if not fast:
                patch.setattr(readers, "_field_checks", lambda *_: ["false"])
            put(config, EVENTS, "a.jsonl", body)
            drift = ingest(config).drift
            quarantine = query(
                config, "select line, reason, field, raw_text from quarantine.lines order by all"
            )
            outcomes.append((rows(config, EVENTS, extra=True), quarantine, drift))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("log", ["community/events", "group/members", "commerce/fx_rates"])
@RELAXED
@given(data=st.data())
def test_canonical_json_is_the_same_in_sql_and_python(log: str, data: st.DataObject) -> None:
    contract = contracts()[log]
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "TIMESTAMP": st.datetimes(
            datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2100-01-01")
        ),
        "DATE": st.dates(datetime.fromisoformat("2000-01-01").date()),
        "BIGINT": st.integers(-(2**63), 2**63 - 1),
        "BOOLEAN": st.booleans(),
    }
    record = {}
    for field in contract.all_fields:
        strategy = kinds.get(field.duckdb_type, TEXTS)
        if field.type in ("list", "object"):
            strategy = st.just('{"b":1,"a":"é"}')
        record[field.name] = data.draw(strategy if field.required else st.none() | strategy)
    with duckdb.connect() as connection:
        create_tables(connection)
        names = [name for name in raw_columns(contract) if name in record]
        columns = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" for _ in names)
        connection.execute(
            f"insert into raw.{contract.table} ({columns}) values ({marks})",
            [record[name] for name in names],
        )
        found = connection.execute(
            f"select {canonical_sql(contract)} from raw.{contract.table}"
        ).fetchone()
    assert found == (canonical_json(contract, record),)
