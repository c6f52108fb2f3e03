"""From a definition to a released pack, and what becomes of it: build, list, revoke, expire.

The order is the contract's: reserve → charge → draw → candidate → gate → release. A build killed
before its charge is refunded by the next one; after it, it stays charged. What the ledger calls
released is renamed into place, by the next build if this one dies in between; nothing else is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from orchestration import durable
from orchestration.audience import counts, ledger, rows
from orchestration.audience.card import NAME as CARD
from orchestration.audience.card import make_card
from orchestration.audience.definition import SpecError
from orchestration.audience.files import (
    FOLDER_MODE,
    candidate_path,
    data_name,
    exports_path,
    released_table,
    version_path,
    write_data,
    write_text,
)
from orchestration.audience.interface import AttackContext, AttackResult, PackSpec
from orchestration.audience.ledger import Balance, Request
from orchestration.audience.manifest import NAME as MANIFEST
from orchestration.audience.manifest import (
    as_json,
    make_manifest,
    manifest_key,
    read_manifest,
    to_text,
)
from orchestration.audience.recode import column_list, quoted, recode_file
from orchestration.audience.scratch import (
    as_of_date,
    attached,
    count_eligible,
    create_known_ids,
    create_population,
    load_persons,
    load_weeks,
    open_scratch,
)
from orchestration.audience.spec import cell_limit, load_pack
from orchestration.errors import GateError, TandemError
from orchestration.ingest.tables import create_tables
from orchestration.lock import build_lock
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

Attacks = Callable[[AttackContext], list[AttackResult]]


@dataclass(frozen=True)
class Plan:
    """What a build would do, without having drawn or spent anything.

    `problems` are the refusals; `epsilon_after` and `delta_after` the account if it ran.
    """

    spec: PackSpec
    version: int
    problems: tuple[str, ...]
    before: Balance
    after: Balance
    stored: Path | None = None
    """The released version of this very definition and snapshot, which a build would return."""


@dataclass(frozen=True)
class Release:
    """A pack that was released, now or, when `is_new` is false, before."""

    pack: str
    version: int
    folder: Path
    manifest: Mapping[str, Any]
    is_new: bool


@dataclass
class _Draw:
    """What was drawn for one candidate; lives in memory until the gate has judged it."""

    spec: PackSpec
    connection: duckdb.DuckDBPyConnection
    coins: bytes = field(repr=False)
    accuracy: dict[str, float]

    def redo(
        self,
        table: str,
        *,
        without: Collection[str] = (),
        coins: bytes | None = None,
        planted: bool = False,
        filtered: bool = False,
    ) -> None:
        """Build the cells again, as `interface.Redo` says."""
        persons = "population"
        if planted:
            persons = "(select * from population union all select * from canary_population)"
        if self.spec.product == "counts":
            counts.build_cells(
                self.connection,
                self.spec,
                table,
                persons=persons,
                without=without,
                ticket="ticket",
            )
            return
        rows.build_cells(
            self.connection,
            self.spec,
            table,
            self.coins if coins is None else coins,
            persons=persons,
            without=without,
        )
        if filtered:
            rows.filter_classes(self.connection, self.spec, table, table)

    def rewrite(self, folder: Path) -> Mapping[str, str]:
        """Write the data files again, as `interface.Rewrite` says."""
        return write_data(folder, self.spec, released_table(self.connection, self.spec, "drawn"))


def plan_pack(settings: Settings, pack: str, *, now: datetime | None = None) -> Plan:
    """What `build_pack` would do, as `tandem audience build --dry-run` shows it.

    Reads the data only to find refusals; spends, draws and writes nothing. Raises SpecError for
    a definition that does not compile, TandemError where there is nothing to read.
    """
    now = now or _now(settings)
    with (
        build_lock(settings),
        open_scratch(settings) as connection,
        attached(connection, settings),
    ):
        spec = load_pack(pack, settings.audience, as_of_date(connection))
        return _plan(settings, connection, spec, now, "warehouse.")


def build_pack(
    settings: Settings,
    pack: str,
    *,
    now: datetime | None = None,
    attacks: Attacks | None = None,
) -> Release:
    """Build, gate and release the next version of a pack; or return the one there is.

    The same definition on the same snapshot is never drawn twice: the stored version is
    returned, and nothing is charged. `attacks` is the gate, the suite's by default.
    Raises SpecError or LedgerError for what is refused before the charge, GateError when the
    gate blocks (the charge stays), LockedError while another build runs.
    """
    now = now or _now(settings)
    with build_lock(settings):
        _recover(settings, now)
        _end_expired(settings, now)
        with open_scratch(settings) as connection:
            with attached(connection, settings):
                spec = load_pack(pack, settings.audience, as_of_date(connection))
                plan = _plan(settings, connection, spec, now, "warehouse.")
                if plan.stored is not None:
                    return Release(
                        spec.pack,
                        plan.version,
                        plan.stored,
                        read_manifest(plan.stored),
                        is_new=False,
                    )
                if plan.problems:
                    raise _refusal(plan)
                snapshot = snapshot_id(connection, "warehouse.")
                load_persons(connection, spec)
                if spec.product == "counts":
                    load_weeks(connection, spec)
                create_population(connection, spec)
                if _is_hopeless(connection, spec):
                    raise SpecError([f"{spec.path}: the segment selects no one, or too few"])
            return _release(settings, connection, plan, snapshot, now, attacks or _suite())


def describe_plan(plan: Plan) -> dict[str, Any]:
    """A plan as `--dry-run --json` prints it: declared words and budgets, no figure of the data."""
    spec = plan.spec
    noise = counts.plan_noise(spec).accuracy if spec.product == "counts" else {}
    return {
        "pack": spec.pack,
        "version": plan.version,
        "kind": spec.product,
        "spec_sha256": spec.sha256,
        "columns": [
            {"name": column.name, "role": column.role, "values": list(column.vocabulary)}
            for column in spec.columns
        ],
        "cells": cell_limit(spec),
        "accuracy": {name: math.ceil(value) for name, value in noise.items()},
        "guarantee": asdict(spec.guarantee),
        "before": asdict(plan.before),
        "after": asdict(plan.after),
        "stored": str(plan.stored) if plan.stored else None,
        "problems": list(plan.problems),
    }


def list_packs(settings: Settings) -> list[dict[str, Any]]:
    """Every version of every pack with its status, newest last, and what it costs."""
    if not settings.warehouse_path.exists():
        return []
    with open_warehouse(settings, read_only=True) as connection:
        if not ledger.exists(connection):
            return []
        names = (
            "pack", "version", "kind", "purpose", "created_at", "expires_at", "epsilon", "delta",
            "status",
        )  # fmt: skip
        found = connection.execute(
            f"select {', '.join(names)} from control.audience_packs "
            "order by created_at, pack, version"
        ).fetchall()
    return [dict(zip(names, values, strict=True)) for values in found]


def read_balance(settings: Settings, *, now: datetime | None = None) -> Balance:
    """What the account has spent in the window."""
    now = now or _now(settings)
    if not settings.warehouse_path.exists():
        return ledger.balance([], settings.audience, now)
    with open_warehouse(settings, read_only=True) as connection:
        return ledger.balance(ledger.read_if_any(connection), settings.audience, now)


def revoke_pack(
    settings: Settings, pack: str, *, version: int | None = None, now: datetime | None = None
) -> list[int]:
    """Mark released versions of a pack as revoked and remove their files; the cost stays.

    Returns the versions; all released ones when none is named. Raises TandemError when there is
    none.
    """
    now = now or _now(settings)
    with build_lock(settings):
        _recover(settings, now)
        chosen = "" if version is None else f" and version = {int(version)}"
        ended = _end(settings, "revoked", f"pack = {literal(pack)}{chosen}", now)
    if not ended:
        raise TandemError(f"{pack} has no released version{'' if version is None else ' so'}")
    return [number for _, number in ended]


def expire_packs(settings: Settings, *, now: datetime | None = None) -> list[tuple[str, int]]:
    """Remove what expired; returns (pack, version) of each."""
    now = now or _now(settings)
    with build_lock(settings):
        _recover(settings, now)
        return _end_expired(settings, now)


def snapshot_id(connection: duckdb.DuckDBPyConnection, catalog: str = "") -> str:
    """What the marts were made of: the last build's batch, date, settings and code, hashed.

    Raises TandemError unless that build was published: of a blocked or broken one nobody knows
    what its tables hold.
    """
    found = connection.execute(
        f"""
        select state, batch_id, as_of_date, settings_fingerprint, code_fingerprint
        from {catalog}control.builds
        order by started_at desc, build_id desc limit 1
        """
    ).fetchall()
    if not found or found[0][0] != "published":
        raise TandemError("the last build was not published: run `tandem build` first")
    batch_id, as_of_date, fingerprint, code = map(str, found[0][1:])
    # Without the key's part: another key makes no other data, and allows no second draw.
    text = json.dumps([batch_id, as_of_date, fingerprint.partition("-")[0], code])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# Planning


def _plan(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    now: datetime,
    catalog: str,
) -> Plan:
    policy = settings.audience
    past = ledger.read_if_any(connection, catalog)
    ledger.check_clock(past, now)
    _check_remembered(settings, past)
    snapshot = snapshot_id(connection, catalog)
    version = 1 + max((row.version for row in past if row.pack == spec.pack), default=0)
    request = _request(spec, version, snapshot)
    before = ledger.balance(past, policy, now)
    after = ledger.balance(past, policy, now, request)
    stored = _stored(settings, connection, spec, snapshot, now, catalog)
    if stored is not None:
        return Plan(spec, stored[0], (), before, before, stored[1])
    problems = []
    eligible = count_eligible(connection, spec)
    if spec.product == "rows" and eligible < policy.min_eligible:
        problems.append(
            f"{spec.path}: a rows pack needs {policy.min_eligible:,} eligible persons; "
            "make a counts pack"
        )
    if spec.guarantee.delta * 10 * eligible > 1:
        problems.append(f"{spec.path}: delta is too great for this population: lower it")
    gone = [
        row.version
        for row in past
        if row.status == "released"
        and (row.spec_sha256, row.snapshot_id) == (spec.sha256, snapshot)
    ]
    if gone:
        # `repeat_charge` would block it after the charge.
        problems.append(
            f"{spec.path}: v{gone[-1]:03d} was this definition on this data, and is gone; a second "
            "draw could be averaged with it: build the warehouse from new data, or change the "
            "definition"
        )
    shortfall = ledger.shortfall(past, policy, request, now)
    problems += [f"{spec.path}: {shortfall}"] if shortfall else []
    return Plan(spec, version, tuple(problems), before, after)


def _check_remembered(settings: Settings, past: Sequence[ledger.Row]) -> None:
    """Raise LedgerError when a released pack was paid for in a ledger that is not this one.

    A warehouse that was made anew has forgotten what was spent.
    """
    known = {row.row_hash for row in past}
    for path in sorted(exports_path(settings).glob(f"*/v*/{MANIFEST}")):
        if read_manifest(path.parent)["ledger"]["row_hash"] not in known:
            raise ledger.LedgerError(
                f"{path.parent} was paid for in another ledger: bring back the warehouse that "
                "holds it, or its control.release_ledger"
            )


def _request(spec: PackSpec, version: int, snapshot: str) -> Request:
    params: dict[str, Any] = {"kind": "approx"}
    if spec.product == "counts":
        noise = counts.plan_noise(spec)
        highs = [1, *(max(abs(m.low), abs(m.high)) for m in spec.measures)]
        if spec.noise == "laplace" and spec.keys == "public" and spec.max_cells_per_person == 1:
            params = {
                "kind": "laplace",
                "scales": list(noise.scales.values()),
                "sensitivities": highs,
            }
    return Request(
        spec.population,
        spec.purpose,
        spec.pack,
        version,
        spec.sha256,
        snapshot,
        "rows" if spec.product == "rows" else "noise",
        json.dumps(params, sort_keys=True),
        spec.guarantee.epsilon,
        spec.guarantee.delta,
    )


def _stored(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    snapshot: str,
    now: datetime,
    catalog: str,
) -> tuple[int, Path] | None:
    if not ledger.exists(connection, catalog):
        return None
    found = connection.execute(
        f"""
        select version from {catalog}control.audience_packs
        where
            pack = ? and spec_sha256 = ? and snapshot_id = ? and status = 'released'
            and expires_at > ?
        order by version desc limit 1
        """,
        [spec.pack, spec.sha256, snapshot, now],
    ).fetchall()
    if not found:
        return None
    folder = version_path(settings, spec.pack, found[0][0])
    return (found[0][0], folder) if folder.is_dir() else None


def _refusal(plan: Plan) -> TandemError:
    text = "\n".join(plan.problems)
    if any("not enough budget" in problem for problem in plan.problems):
        return ledger.LedgerError(text)
    return SpecError(plan.problems)


def _is_hopeless(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> bool:
    found = connection.execute("select count(*) from population").fetchall()[0][0]
    if spec.guarantee.k is None or spec.guarantee.beta is None:
        return bool(found == 0)
    return bool(found * spec.guarantee.beta < spec.guarantee.k)


# Releasing


def _release(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    snapshot: str,
    now: datetime,
    attacks: Attacks,
) -> Release:
    spec = plan.spec
    with open_warehouse(settings) as warehouse:
        create_tables(warehouse)
        reserved = ledger.reserve(
            warehouse, settings.audience, _request(spec, plan.version, snapshot), now
        )
        with _transaction(warehouse):
            charge = ledger.advance(warehouse, reserved.seq, "charged", now)
    draw = _draw(connection, spec)
    folder = candidate_path(settings, spec.pack, plan.version)
    folder.mkdir(parents=True, mode=FOLDER_MODE)
    exports_path(settings).chmod(FOLDER_MODE)
    folder.parent.chmod(FOLDER_MODE)
    number_of_rows = _write_candidate(folder, draw)
    described = _Description(settings, plan, snapshot, now, charge, draw.accuracy, number_of_rows)
    described.write(folder, ())
    with open_warehouse(settings) as warehouse, _transaction(warehouse):
        ledger.advance(warehouse, reserved.seq, "candidate", now)
    results = _attack(settings, draw, plan, folder, attacks)
    if number_of_rows == 0:
        results.append(AttackResult("something_left", 0.0, 1.0, passed=False))
    failed = [result.id for result in results if not result.passed]
    if failed or not results:
        with open_warehouse(settings) as warehouse, _transaction(warehouse):
            ledger.advance(warehouse, reserved.seq, "blocked", now)
            _record(warehouse, described, results, "blocked")
        shutil.rmtree(folder)
        raise GateError(
            f"{spec.pack} v{plan.version:03d} is blocked by "
            f"{', '.join(failed) or 'an empty gate'}; nothing was released, the charge stays"
        )
    manifest = described.write(folder, results)
    # Before the ledger calls it released: a pack that is paid for must not be lost.
    durable.sync_tree(folder)
    for above in (folder.parent, exports_path(settings), settings.home):
        durable.sync(above)
    with open_warehouse(settings) as warehouse, _transaction(warehouse):
        text = (folder / MANIFEST).read_bytes()
        ledger.advance(
            warehouse, reserved.seq, "released", now,
            params=json.dumps({"manifest_sha256": hashlib.sha256(text).hexdigest()}),
        )  # fmt: skip
        _record(warehouse, described, results, "released")
        _record_content(warehouse, spec, plan.version, folder)
    target = version_path(settings, spec.pack, plan.version)
    durable.replace(folder, target)
    return Release(spec.pack, plan.version, target, manifest, is_new=True)


def _draw(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> _Draw:
    if spec.product == "counts":
        noise = counts.plan_noise(spec)
        counts.build_candidate_cells(connection, spec, "cells", ticket="ticket")
        counts.draw(connection, spec, "cells", "drawn", noise)
        connection.execute("drop table cells")
        return _Draw(spec, connection, b"", dict(noise.accuracy))
    draw = _Draw(spec, connection, os.urandom(32), {})
    draw.redo("drawn", filtered=True)
    return draw


def _write_candidate(folder: Path, draw: _Draw) -> int:
    draw.rewrite(folder)
    write_text(folder / "recode.sql", recode_file(draw.spec))
    path = folder / f"{data_name(draw.spec)}.parquet"
    draw.connection.execute(f"create table released as select * from read_parquet({literal(path)})")
    found = draw.connection.execute("select count(*) from released").fetchall()
    return int(found[0][0])


@dataclass(frozen=True)
class _Description:
    """What manifest and card are made of, but for the attacks."""

    settings: Settings
    plan: Plan
    snapshot: str
    now: datetime
    charge: ledger.Row
    accuracy: dict[str, float]
    rows: int

    @property
    def expires_at(self) -> datetime:
        return self.now + timedelta(days=self.plan.spec.ttl_days)

    def write(self, folder: Path, results: Sequence[AttackResult]) -> dict[str, Any]:
        card = make_card(
            self.plan.spec,
            number=self.plan.version,
            created_at=self.now,
            expires_at=self.expires_at,
            rows=self.rows,
            accuracy=self.accuracy,
            balance=self.plan.after,
            attacks=results,
            policy=self.settings.audience,
        )
        write_text(folder / CARD, card)
        manifest = make_manifest(
            self.plan.spec,
            number=self.plan.version,
            created_at=self.now,
            expires_at=self.expires_at,
            snapshot_id=self.snapshot,
            folder=folder,
            rows=self.rows,
            accuracy=self.accuracy,
            balance=self.plan.after,
            charge=self.charge,
            attacks=results,
            key=manifest_key(self.settings),
        )
        write_text(folder / MANIFEST, to_text(manifest))
        return manifest


def _attack(
    settings: Settings, draw: _Draw, plan: Plan, folder: Path, attacks: Attacks
) -> list[AttackResult]:
    """The gate's verdicts; an attack that raises is a failed one."""
    connection = draw.connection
    with attached(connection, settings):
        create_known_ids(connection)
        connection.execute(
            f"""
            create table ledger as select * from warehouse.{ledger.TABLE}
            where population = {literal(plan.spec.population)} order by seq
            """
        )
        context = AttackContext(
            connection=connection,
            spec=plan.spec,
            version=plan.version,
            folder=folder,
            previous=_previous(settings, connection, plan.spec.population),
            redo=draw.redo,
            rewrite=draw.rewrite,
            secrets=tuple(
                item for item in (draw.coins, settings.secret_key(), manifest_key(settings)) if item
            ),
        )
        try:
            return list(attacks(context))
        except Exception as error:  # noqa: BLE001 (a gate must not fail open)
            return [AttackResult("gate_error", 1.0, 0.0, passed=False, detail=type(error).__name__)]


def _previous(
    settings: Settings, connection: duckdb.DuckDBPyConnection, population: str
) -> list[Path]:
    found = connection.execute(
        """
        select pack, version from warehouse.control.audience_packs
        where population = ? and status = 'released' order by created_at, pack, version
        """,
        [population],
    ).fetchall()
    folders = [version_path(settings, pack, version) for pack, version in found]
    return [folder for folder in folders if folder.is_dir()]


def _record(
    warehouse: duckdb.DuckDBPyConnection,
    described: _Description,
    results: Sequence[AttackResult],
    status: str,
) -> None:
    spec, held = described.plan.spec, described.plan.spec.guarantee
    warehouse.execute(
        f"insert into control.audience_packs values ({', '.join('?' for _ in range(18))})",
        [
            spec.pack, described.plan.version, described.charge.entry, spec.product, spec.purpose,
            spec.population, described.now, described.expires_at, held.epsilon, held.delta,
            held.beta, held.k, held.l, held.alpha, held.t, spec.sha256, described.snapshot, status,
        ],
    )  # fmt: skip
    for result in results:
        warehouse.execute(
            "insert into control.audience_attacks values (?, ?, ?, ?, ?, ?)",
            [
                spec.pack,
                described.plan.version,
                result.id,
                as_json(result.value),
                result.gate,
                result.passed,
            ],
        )


def _record_content(
    warehouse: duckdb.DuckDBPyConnection, spec: PackSpec, version: int, folder: Path
) -> None:
    """Keep what the file holds in long form: a line a cell and column, or cell and measure."""
    path = literal(folder / f"{data_name(spec)}.parquet")
    keys = column_list(spec.key_columns)
    head = f"{literal(spec.pack)} as pack, {version} as version"
    if spec.product == "rows":
        warehouse.execute(
            f"""
            insert into control.audience_rows
            select {head}, cell, column_name, value, cell_rows from (
                unpivot (
                    select {keys}, count(*) as cell_rows,
                        row_number() over (order by {keys}) as cell
                    from read_parquet({path}) group by {keys}
                ) on {keys} into name column_name value value
            )
            """
        )
        return
    pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in spec.key_columns)
    measures = column_list(column.name for column in spec.columns if column.role == "measure")
    warehouse.execute(
        f"""
        insert into control.audience_counts
        select {head}, cell, measure, value from (
            unpivot (
                select cast(to_json(struct_pack({pairs})) as varchar) as cell, {measures}
                from read_parquet({path})
            ) on {measures} into name measure value value
        )
        """
    )


# Ending and recovering


def _end(
    settings: Settings, status: ledger.Status, condition: str, now: datetime
) -> list[tuple[str, int]]:
    with open_warehouse(settings) as warehouse:
        create_tables(warehouse)
        with _transaction(warehouse):
            ended = warehouse.execute(
                f"""
                select pack, version, entry from control.audience_packs
                where status = 'released' and {condition} order by pack, version
                """
            ).fetchall()
            for pack, version, entry in ended:
                ledger.advance(warehouse, entry, status, now)
                which = f"pack = {literal(pack)} and version = {version}"
                warehouse.execute(
                    f"update control.audience_packs set status = {literal(status)} where {which}"
                )
                for table in ("audience_rows", "audience_counts"):
                    warehouse.execute(f"delete from control.{table} where {which}")
    for pack, version, _ in ended:
        shutil.rmtree(version_path(settings, pack, version), ignore_errors=True)
    return [(pack, version) for pack, version, _ in ended]


def _end_expired(settings: Settings, now: datetime) -> list[tuple[str, int]]:
    if not settings.warehouse_path.exists():
        return []
    return _end(settings, "expired", f"expires_at <= timestamp {literal(now)}", now)


def _recover(settings: Settings, now: datetime) -> None:
    """Finish or undo what a killed build left: refunds, renames, candidates, ended versions.

    Call it only under the build lock. Raises LedgerError when the clock was set back: nothing
    would expire, and what has expired would be handed out.
    """
    if not settings.warehouse_path.exists():
        return
    with open_warehouse(settings) as warehouse:
        create_tables(warehouse)
        ledger.check_clock(ledger.read(warehouse), now)
        with _transaction(warehouse):
            ledger.refund_abandoned(warehouse, now)
        status: dict[tuple[str, int], str] = {
            (pack, version): state
            for pack, version, state in warehouse.execute(
                "select pack, version, status from control.audience_packs"
            ).fetchall()
        }
    for candidate in exports_path(settings).glob("*/.candidate-v*"):
        pack, version = candidate.parent.name, int(candidate.name.removeprefix(".candidate-v"))
        target = version_path(settings, pack, version)
        if status.get((pack, version)) == "released" and not target.exists():
            durable.replace(candidate, target)
        else:
            shutil.rmtree(candidate)
    for (pack, version), state in status.items():
        if state in ("revoked", "expired"):
            shutil.rmtree(version_path(settings, pack, version), ignore_errors=True)


# Small things


def _suite() -> Attacks:
    from orchestration.audience.attacks import run_attacks

    return run_attacks


def _now(settings: Settings) -> datetime:
    if settings.now is not None:
        from datetime import UTC

        return settings.now.astimezone(UTC).replace(tzinfo=None)
    return ledger.utc_now()


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
