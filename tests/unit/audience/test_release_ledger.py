"""The ledger never lets a window's cost pass a cap, and any tampering or odd step is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.audience import ledger
from orchestration.audience.ledger import LedgerError, Request
from orchestration.audience.policy import AudiencePolicy
from orchestration.ingest.tables import CONTROL_TABLES

POLICY = AudiencePolicy()
START = datetime.fromisoformat("2026-01-01 00:00")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with new_connection() as found:
        yield found


def new_connection() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect(":memory:")
    found.execute("create schema control")
    found.execute(f"create table {ledger.TABLE} ({CONTROL_TABLES[ledger.TABLE]})")
    return found


def request(
    epsilon: float = 1.0, purpose: str = "p", delta: float = 1e-8, mechanism: str = "rows"
) -> Request:
    return Request(
        *("community", purpose, "pack", 1, "s" * 64, "i" * 32),
        "rows" if mechanism == "rows" else "noise",
        '{"kind": "approx"}',
        epsilon,
        delta,
    )


def test_columns_are_those_of_the_table() -> None:
    declared = [column.split()[0] for column in CONTROL_TABLES[ledger.TABLE].split(",")]
    assert tuple(declared) == ledger.COLUMNS


def test_a_pack_walks_from_reservation_to_release(connection: duckdb.DuckDBPyConnection) -> None:
    row = ledger.reserve(connection, POLICY, request(), START)
    for step in ("charged", "candidate", "released", "revoked"):
        ledger.advance(connection, row.seq, step, START)
    rows = ledger.read(connection)
    assert [item.status for item in rows] == [
        "reserved", "charged", "candidate", "released", "revoked",
    ]  # fmt: skip
    assert ledger.balance(rows, POLICY, START).epsilon == 1.0


@pytest.mark.parametrize(
    ("steps", "bad"),
    [
        ((), "released"),
        ((), "candidate"),
        (("charged",), "refunded"),
        (("charged",), "charged"),
        (("charged",), "released"),
        (("charged", "blocked"), "released"),
        (("refunded",), "charged"),
        (("charged", "candidate", "released", "revoked"), "expired"),
        ((), "reserved"),
    ],
)
def test_no_step_is_skipped_or_repeated(
    connection: duckdb.DuckDBPyConnection, steps: tuple[ledger.Status, ...], bad: ledger.Status
) -> None:
    row = ledger.reserve(connection, POLICY, request(), START)
    for step in steps:
        ledger.advance(connection, row.seq, step, START)
    with pytest.raises(LedgerError, match="cannot become"):
        ledger.advance(connection, row.seq, bad, START)


def test_a_purpose_and_all_together_are_capped(connection: duckdb.DuckDBPyConnection) -> None:
    for purpose in ("a", "a", "b", "b"):
        ledger.reserve(connection, POLICY, request(purpose=purpose), START)
    with pytest.raises(LedgerError, match=r"purpose a would have spent epsilon 2\.5"):
        ledger.reserve(connection, POLICY, request(0.5, "a"), START)
    with pytest.raises(LedgerError, match=r"community would have spent epsilon 4\.1"):
        ledger.reserve(connection, POLICY, request(0.1, "c"), START)
    assert len(ledger.read(connection)) == 4


def test_delta_is_capped(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(10):
        ledger.reserve(connection, POLICY, request(0.01, f"p{number}"), START)
    with pytest.raises(LedgerError, match="not enough budget"):
        ledger.reserve(connection, POLICY, request(0.01, "q"), START)


def test_the_window_rolls(connection: duckdb.DuckDBPyConnection) -> None:
    for purpose in ("a", "b"):
        ledger.reserve(connection, POLICY, request(2.0, purpose), START)
    last = START + timedelta(days=90) - timedelta(seconds=1)
    with pytest.raises(LedgerError, match="not enough budget"):
        ledger.reserve(connection, POLICY, request(2.0, "c"), last)
    ledger.reserve(connection, POLICY, request(2.0, "c"), START + timedelta(days=90))


def test_a_clock_set_back_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    ledger.reserve(connection, POLICY, request(), START)
    with pytest.raises(LedgerError, match="set the clock right"):
        ledger.reserve(connection, POLICY, request(), START - timedelta(seconds=1))


def test_an_abandoned_reservation_is_refunded_and_a_charge_is_not(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ledger.reserve(connection, POLICY, request(purpose="a"), START)
    kept = ledger.reserve(connection, POLICY, request(purpose="b"), START)
    ledger.advance(connection, kept.seq, "charged", START)
    assert [row.entry for row in ledger.refund_abandoned(connection, START)] == [1]
    assert ledger.refund_abandoned(connection, START) == []
    assert ledger.balance(ledger.read(connection), POLICY, START).purposes == {"b": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        "update {t} set epsilon = 0.1 where seq = 2",
        "update {t} set status = 'refunded' where seq = 3",
        "update {t} set recorded_at = recorded_at - interval 1 year where seq = 1",
        "delete from {t} where seq = 2",
        "delete from {t} where seq = 1",
        "insert into {t} select * from {t} where seq = 3",
        "update {t} set prev_hash = row_hash where seq = 2",
    ],
)
def test_tampering_shows(connection: duckdb.DuckDBPyConnection, change: str) -> None:
    row = ledger.reserve(connection, POLICY, request(), START)
    ledger.advance(connection, row.seq, "charged", START)
    ledger.advance(connection, row.seq, "candidate", START)
    connection.execute(change.format(t=ledger.TABLE))
    with pytest.raises(LedgerError, match="tampered"):
        ledger.reserve(connection, POLICY, request(), START)


STEPS = st.one_of(
    st.tuples(
        st.just("reserve"),
        st.floats(0.01, 2.0),
        st.sampled_from("abc"),
        st.sampled_from([0.0, 1e-9, 4e-8]),
    ),
    st.tuples(
        st.sampled_from(["charged", "candidate", "blocked", "released", "refunded", "abandoned"]),
        st.integers(1, 12),
    ),
    st.tuples(st.just("wait"), st.integers(-3, 60)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_the_balance_never_passes_the_cap_under_any_interleaving(steps: list[tuple]) -> None:
    connection, now = new_connection(), START
    for step in steps:
        before = ledger.read(connection)
        try:
            if step[0] == "wait":
                now += timedelta(days=step[1])
            elif step[0] == "reserve":
                ledger.reserve(connection, POLICY, request(*step[1:]), now)
            elif step[0] == "abandoned":
                ledger.refund_abandoned(connection, now)
            else:
                ledger.advance(connection, step[1], step[0], now)
        except LedgerError:
            assert ledger.read(connection) == before
        rows = ledger.read(connection)
        assert rows[: len(before)] == before
        # Recomputed by hand at every moment at which a window may end.
        for row in rows:
            ends = row.recorded_at
            live = {
                item.entry: item
                for item in rows
                if item.status == "reserved"
                and ends - timedelta(days=90) < item.recorded_at <= ends
            }
            for item in rows:
                if item.status == "refunded":
                    live.pop(item.entry, None)
            assert sum(item.epsilon for item in live.values()) <= 4 + 1e-6
            assert sum(item.delta for item in live.values()) <= 1e-7 * 1.000001
            for purpose in "abc":
                own = [item.epsilon for item in live.values() if item.purpose == purpose]
                assert sum(own) <= 2 + 1e-6
