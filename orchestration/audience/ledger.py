"""The release ledger: append-only, hash-chained, and asked before anything random is drawn.

`control.release_ledger` is written here alone, in one transaction a step, under the build lock.
A reservation counts against the budget until it is refunded; it can be refunded only before its
charge. A charge without a release stays a charge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import duckdb

from orchestration.audience.policy import AudiencePolicy
from orchestration.errors import TandemError
from orchestration.warehouse import literal

Status = Literal[
    "reserved", "charged", "candidate", "blocked", "released", "refunded", "revoked", "expired"
]
TABLE = "control.release_ledger"
COLUMNS = (
    "seq",
    "recorded_at",
    "entry",
    "status",
    "population",
    "purpose",
    "pack",
    "version",
    "spec_sha256",
    "snapshot_id",
    "mechanism",
    "params",
    "epsilon",
    "delta",
    "prev_hash",
    "row_hash",
)
GENESIS = "0" * 64
_PLD_INTERVAL = 1e-4
_SLACK = 1e-9


class LedgerError(TandemError):
    """The ledger refuses: the budget is spent, the clock went back, or a row was tampered with."""

    exit_code = 2


@dataclass(frozen=True)
class Row:
    """One row of the ledger; `entry` is the `seq` of the reservation it belongs to."""

    seq: int
    recorded_at: datetime
    entry: int
    status: Status
    population: str
    purpose: str
    pack: str
    version: int
    spec_sha256: str
    snapshot_id: str
    mechanism: str
    params: str
    epsilon: float
    delta: float
    prev_hash: str
    row_hash: str = ""

    def digest(self) -> str:
        """SHA-256 over every other column, in order; floats by their shortest exact text."""
        values: list[Any] = [getattr(self, name) for name in COLUMNS if name != "row_hash"]
        values[1] = self.recorded_at.isoformat(timespec="microseconds")
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """What a pack asks for. `mechanism` is `rows` (composed basically) or `noise` (by PLD).

    `params` say how the noise was made: `kind` is `laplace` (with `scales` and `sensitivities`
    of scalar discrete Laplace draws) or `approx` (only its ε and δ are used).
    """

    population: str
    purpose: str
    pack: str
    version: int
    spec_sha256: str
    snapshot_id: str
    mechanism: Literal["rows", "noise"]
    params: str
    epsilon: float
    delta: float


@dataclass(frozen=True)
class Balance:
    """What is spent of a population's account in the window, and what may be."""

    population: str
    window_days: int
    epsilon: float
    delta: float
    epsilon_cap: float
    delta_cap: float
    purposes: dict[str, float]
    purpose_epsilon_cap: float


def read(connection: duckdb.DuckDBPyConnection, table: str = TABLE) -> list[Row]:
    """Every row in order. Raises LedgerError when the chain of hashes does not hold."""
    rows = [
        Row(*values)
        for values in connection.execute(
            f"select {', '.join(COLUMNS)} from {table} order by seq"
        ).fetchall()
    ]
    before = GENESIS
    for number, row in enumerate(rows, start=1):
        if row.seq != number or row.prev_hash != before or row.digest() != row.row_hash:
            raise LedgerError(f"the release ledger was tampered with at row {number}")
        before = row.row_hash
    return rows


def exists(connection: duckdb.DuckDBPyConnection, catalog: str = "") -> bool:
    """Whether this warehouse was ever written by a version that knows packs."""
    try:
        connection.execute(f"select 1 from {catalog}{TABLE} limit 0")
        connection.execute(f"select 1 from {catalog}control.audience_packs limit 0")
    except duckdb.CatalogException:
        return False
    return True


def read_if_any(connection: duckdb.DuckDBPyConnection, catalog: str = "") -> list[Row]:
    """`read`, of a warehouse that may have no ledger yet."""
    if not exists(connection, catalog):
        return []
    return read(connection, f"{catalog}{TABLE}")


def reserve(
    connection: duckdb.DuckDBPyConnection,
    policy: AudiencePolicy,
    request: Request,
    now: datetime,
) -> Row:
    """Reserve a pack's cost, or raise LedgerError when a cap would be passed.

    Raises it too when `now` lies before the last row: with the clock set back the window would
    forget what was spent.
    """
    connection.begin()
    try:
        rows = read(connection)
        check_clock(rows, now)
        problem = shortfall(rows, policy, request, now)
        if problem:
            raise LedgerError(problem)
        row = _append(connection, rows, request, "reserved", None, now)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return row


def advance(
    connection: duckdb.DuckDBPyConnection,
    entry: int,
    status: Status,
    now: datetime,
    *,
    params: str | None = None,
) -> Row:
    """Append the next step of an entry, in the caller's transaction.

    `params` replace the reservation's, which alone decide the cost.
    Raises LedgerError for a step that may not follow: a refund after the charge, a release of
    what was not charged, any second of a kind.
    """
    rows = read(connection)
    own = [row for row in rows if row.entry == entry]
    before = _steps(own)
    allowed: dict[Status, set[str]] = {
        "charged": {"reserved"},
        "refunded": {"reserved"},
        "candidate": {"charged"},
        "blocked": {"charged", "candidate"},
        "released": {"candidate"},
        "revoked": {"released"},
        "expired": {"released"},
        "reserved": set(),
    }
    if not own or before[-1] not in allowed[status]:
        last = before[-1] if before else "nothing"
        raise LedgerError(f"entry {entry} is {last}: it cannot become {status}")
    check_clock(rows, now)
    first = own[0]
    request = Request(
        first.population,
        first.purpose,
        first.pack,
        first.version,
        first.spec_sha256,
        first.snapshot_id,
        "rows" if first.mechanism == "rows" else "noise",
        first.params if params is None else params,
        first.epsilon,
        first.delta,
    )
    return _append(connection, rows, request, status, entry, now)


def refund_abandoned(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[Row]:
    """Refund reservations that a killed build left uncharged: nothing random was drawn for them.

    Call it only under the build lock, when no other build can be between its two steps.
    """
    rows = read(connection)
    waiting = [entry for entry, own in _entries(rows).items() if _steps(own) == ["reserved"]]
    return [advance(connection, entry, "refunded", now) for entry in waiting]


def check_clock(rows: Sequence[Row], now: datetime) -> None:
    """Raise LedgerError when `now` lies before the ledger's last row."""
    if rows and now < rows[-1].recorded_at:
        raise LedgerError(
            f"the clock says {now:%Y-%m-%d %H:%M} UTC, the ledger's last row is of "
            f"{rows[-1].recorded_at:%Y-%m-%d %H:%M}: set the clock right"
        )


def shortfall(
    rows: Sequence[Row], policy: AudiencePolicy, request: Request, now: datetime
) -> str | None:
    """Why a request does not fit, in one sentence; None when it does."""
    after = balance(rows, policy, now, request)
    spent = after.purposes[request.purpose]
    if spent > policy.purpose_epsilon_cap + _SLACK:
        return (
            f"not enough budget: purpose {request.purpose} would have spent epsilon {spent:.3g} "
            f"in {policy.window_days} days, above its cap of {policy.purpose_epsilon_cap:g}"
        )
    if after.epsilon > policy.epsilon_cap + _SLACK or after.delta > policy.delta_cap * (1 + _SLACK):
        return (
            f"not enough budget: {request.population} would have spent epsilon "
            f"{after.epsilon:.3g} and delta {after.delta:.2g} in {policy.window_days} days, "
            f"above the caps of {policy.epsilon_cap:g} and {policy.delta_cap:g}"
        )
    return None


def balance(
    rows: Sequence[Row], policy: AudiencePolicy, now: datetime, request: Request | None = None
) -> Balance:
    """What the window's reservations and charges cost together, with `request` if given.

    Every entry that was not refunded counts from its reservation, whoever received it.
    """
    since = now - timedelta(days=policy.window_days)
    population = request.population if request else policy.population
    spent: list[Row | Request] = [
        own[0]
        for own in _entries(rows).values()
        if own[0].recorded_at > since
        and own[0].population == population
        and "refunded" not in _steps(own)
    ]
    spent += [request] if request else []
    epsilon, delta = compose(spent, policy.delta_cap)
    purposes = {
        purpose: compose([item for item in spent if item.purpose == purpose], policy.delta_cap)[0]
        for purpose in sorted({item.purpose for item in spent})
    }
    return Balance(
        population,
        policy.window_days,
        epsilon,
        delta,
        policy.epsilon_cap,
        policy.delta_cap,
        purposes,
        policy.purpose_epsilon_cap,
    )


def compose(spent: Sequence[Row | Request], delta_cap: float) -> tuple[float, float]:
    """(ε, δ) of several packs together.

    Rows packs add up. Noise packs add up too, or compose as privacy-loss distributions at the δ
    that the others leave under the cap, whichever gives the smaller ε; both are true.
    """
    basic = (sum(item.epsilon for item in spent), sum(item.delta for item in spent))
    noise = [item for item in spent if item.mechanism == "noise"]
    others = [item for item in spent if item.mechanism != "noise"]
    left = delta_cap - sum(item.delta for item in others)
    if len(noise) < 2 or left <= 0:
        return basic
    epsilon = sum(item.epsilon for item in others) + _noise_epsilon(noise, left)
    return (epsilon, delta_cap) if epsilon < basic[0] else basic


def _noise_epsilon(noise: Sequence[Row | Request], delta: float) -> float:
    """ε at δ of noise packs by PLD (dp-accounting), rounded up by its discretisation.

    Only one-cell Laplace draws have a known exact loss; of others the worst loss that their
    (ε, δ) allows is taken, which is right for any mechanism.
    """
    from dp_accounting.pld import privacy_loss_distribution as losses
    from dp_accounting.pld.common import DifferentialPrivacyParameters

    together = None
    for item in noise:
        params = json.loads(item.params)
        if params.get("kind") == "laplace" and item.delta == 0:
            parts = [
                losses.from_laplace_mechanism(
                    scale, sensitivity=high, value_discretization_interval=_PLD_INTERVAL
                )
                for scale, high in zip(params["scales"], params["sensitivities"], strict=True)
            ]
        else:
            parts = [
                losses.from_privacy_parameters(
                    DifferentialPrivacyParameters(item.epsilon, item.delta),
                    value_discretization_interval=_PLD_INTERVAL,
                )
            ]
        for part in parts:
            together = part if together is None else together.compose(part)
    if together is None:
        return 0.0
    return float(together.get_epsilon_for_delta(delta))


def utc_now() -> datetime:
    """The clock's moment in UTC, without a zone, as timestamps are stored."""
    return datetime.now(UTC).replace(tzinfo=None)


def _entries(rows: Sequence[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.entry, []).append(row)
    return found


def _steps(own: Sequence[Row]) -> list[str]:
    return [row.status for row in own]


def _append(
    connection: duckdb.DuckDBPyConnection,
    rows: Sequence[Row],
    request: Request,
    status: Status,
    entry: int | None,
    now: datetime,
) -> Row:
    seq = len(rows) + 1
    bare = Row(
        seq,
        now.replace(tzinfo=None),
        seq if entry is None else entry,
        status,
        request.population,
        request.purpose,
        request.pack,
        request.version,
        request.spec_sha256,
        request.snapshot_id,
        request.mechanism,
        request.params,
        request.epsilon,
        request.delta,
        rows[-1].row_hash if rows else GENESIS,
    )
    row = Row(**{**vars(bare), "row_hash": bare.digest()})
    values = [literal(getattr(row, name)) for name in COLUMNS]
    connection.execute(f"insert into {TABLE} values ({', '.join(values)})")
    return row
