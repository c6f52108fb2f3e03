"""What the warehouse holds and how its last build went, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import contracts
from orchestration.errors import LockedError
from orchestration.lock import lock_holder
from orchestration.publish import published
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse


@dataclass(frozen=True)
class LogStatus:
    """One raw log that has rows, or files that were turned away."""

    log: str
    rows: int
    files: int
    rejected: int
    last_record_at: str | None
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class StageStatus:
    """One stage of the last build."""

    stage: str
    seconds: float
    passed: bool
    summary: str


@dataclass(frozen=True)
class BuildStatus:
    """The last build. `state` is `running` or `interrupted` where it has not ended itself."""

    build_id: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    as_of_date: date | None
    stages: list[StageStatus] = field(default_factory=list)


@dataclass(frozen=True)
class LiveStatus:
    """The last live build; `live_as_of` is the UTC time up to which its board counts."""

    build_id: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    live_as_of: datetime | None


@dataclass(frozen=True)
class FailedRule:
    """A rule that did not pass in the last build. `query` shows the rows, if the rule is SQL."""

    stage: str
    table: str
    rule: str
    severity: str
    observed: str
    meaning: str
    query: str | None


@dataclass(frozen=True)
class GateStatus:
    """The verdicts of the last build that was judged."""

    rules: int = 0
    passed: int = 0
    critical: int = 0
    warnings: int = 0
    failed: list[FailedRule] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """All of it. `warehouse_read` is False while another process writes the warehouse."""

    home: Path
    holder: str | None
    warehouse_read: bool
    pending_files: int
    served: dict[str, Any] | None
    build: BuildStatus | None = None
    live: LiveStatus | None = None
    logs: list[LogStatus] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    gates: GateStatus = field(default_factory=GateStatus)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; times are UTC."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def read_status(settings: Settings, *, why: bool = False) -> Status:
    """The state of this home; never waits for a running build.

    With `why`, each failed rule comes with its meaning and, where it has one, its query.
    """
    holder = lock_holder(settings)
    served = published(settings)
    try:
        with open_warehouse(
            settings.model_copy(update={"lock_wait_seconds": 0.0}), read_only=True
        ) as connection:
            return Status(
                home=settings.home,
                holder=holder,
                warehouse_read=True,
                pending_files=_pending(settings),
                served=served,
                build=_build(connection, running=holder is not None),
                live=_live(connection, running=holder is not None),
                logs=_logs(connection),
                rejected=_rejected(connection),
                gates=_gates(connection, why=why),
            )
    except LockedError:
        return Status(settings.home, holder or "another process", False, 0, served)


def _pending(settings: Settings) -> int:
    from orchestration.ingest import pending

    return len(list(pending(settings)))


def _build(connection: duckdb.DuckDBPyConnection, *, running: bool) -> BuildStatus | None:
    row = connection.execute(
        """
        select build_id, state, started_at, finished_at, as_of_date
        from control.builds
        order by started_at desc, build_id desc
        limit 1
        """
    ).fetchone()
    if row is None:
        return None
    stages = connection.execute(
        f"""
        select stage, seconds, passed, summary
        from control.stages
        where build_id = {literal(row[0])}
        order by number
        """
    ).fetchall()
    build_id, state, started_at, finished_at, as_of_date = row
    if finished_at is None:
        state = "running" if running else "interrupted"
    return BuildStatus(
        build_id,
        state,
        started_at,
        finished_at,
        as_of_date,
        stages=[StageStatus(*stage) for stage in stages],
    )


def _live(connection: duckdb.DuckDBPyConnection, *, running: bool) -> LiveStatus | None:
    try:
        row = connection.execute(
            """
            select build_id, state, started_at, finished_at, live_as_of
            from control.live_builds
            order by started_at desc, build_id desc
            limit 1
            """
        ).fetchone()
    except duckdb.CatalogException:
        return None
    if row is None:
        return None
    build_id, state, started_at, finished_at, live_as_of = row
    if finished_at is None:
        state = "running" if running else "interrupted"
    return LiveStatus(build_id, state, started_at, finished_at, live_as_of)


def _logs(connection: duckdb.DuckDBPyConnection) -> list[LogStatus]:
    files = {
        row[0]: row[1:]
        for row in connection.execute(
            """
            select log, count(*), sum(rejected), max(loaded_at)
            from control.files
            group by log
            """
        ).fetchall()
    }
    found = []
    for contract in contracts().values():
        rows, last = connection.execute(
            f"select count(*), max({contract.time}) from raw.{contract.table}"
        ).fetchone() or (0, None)
        count, rejected, loaded = files.get(contract.log, (0, 0, None))
        if rows or count:
            found.append(
                LogStatus(
                    contract.log,
                    rows,
                    count,
                    int(rejected or 0),
                    last.isoformat() if last is not None else None,
                    loaded,
                )
            )
    return found


def _rejected(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return dict(
        connection.execute(
            "select reason, count(*) from quarantine.lines group by reason order by all"
        ).fetchall()
    )


def _gates(connection: duckdb.DuckDBPyConnection, *, why: bool) -> GateStatus:
    last = connection.execute(
        "select run_id from control.validations order by checked_at desc, run_id desc limit 1"
    ).fetchone()
    if last is None:
        return GateStatus()
    rows = connection.execute(
        f"""
        select stage, table_name, expectation, severity, observed, success
        from control.validations
        where run_id = {literal(last[0])}
        order by stage, table_name, expectation
        """
    ).fetchall()
    failed = [row[:5] for row in rows if not row[5]]
    return GateStatus(
        rules=len(rows),
        passed=len(rows) - len(failed),
        critical=sum(row[3] == "critical" for row in failed),
        warnings=sum(row[3] != "critical" for row in failed),
        failed=[
            FailedRule(
                stage, table, rule, severity, observed, *_explained(stage, table, rule, why=why)
            )
            for stage, table, rule, severity, observed in failed
        ],
    )


def _explained(stage: Any, table: str, rule: str, *, why: bool) -> tuple[str, str | None]:
    if not why:
        return "", None
    from data_quality.catalogue import CANARY, CANARY_WORDS, suites

    if rule == CANARY:
        return CANARY_WORDS.en, None
    for suite in suites(stage):
        if suite.table == table:
            for found in suite.rules:
                if found.id == rule:
                    query = " ".join(found.sql.format(batch=table).split()) if found.sql else None
                    return found.meta.description.en, query
    return "the rule is no longer in its suite", None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, (date, Path)):
        return str(value)
    return value
