"""The live board between builds: what is new is taken in, and one mart of it published.

A live build stands on the last published build and changes nothing of it: the watermark, the
parameters, the intermediate tables and every other mart stay, so that the next build does all
that it would have done. It keeps records of its own in `control.live_builds`.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from orchestration.build import (
    Build,
    Observer,
    judge_tables,
    raise_if_failed,
    run_gate,
    run_ingest,
    run_stage,
)
from orchestration.contracts import contracts
from orchestration.errors import TandemError
from orchestration.lock import build_lock
from orchestration.plan import make_plan
from orchestration.publish import LIVE, publish_live, published, sweep
from orchestration.settings import Settings
from orchestration.transform import DbtSession, project_fingerprint, raise_for_failures
from orchestration.warehouse import literal, open_warehouse, set_key

if TYPE_CHECKING:
    from orchestration.gates import GateWorker

MODEL = "live_board"
BOARD = f"engagement.{MODEL}"
STAGES = ("ingest", "gate raw", "live board", "gate marts", "publish")
LEDGERS = ("control.files", "control.schema_drift", "quarantine.lines")
"""Tables of the stage `raw` that are judged whatever an ingest took."""
RUNS_KEPT = 100
_RECORDS = """
    create table if not exists control.live_builds (
        build_id varchar, started_at timestamp, finished_at timestamp, full_build_id varchar,
        batch_id bigint, live_as_of timestamp, state varchar
    )
"""


@dataclass(frozen=True)
class Base:
    """What a live build starts from.

    `build_id` is the build that published all but the board, `board_batch_id` the newest batch
    that the served board counts, `batch_id` the newest there is.
    """

    build_id: str
    board_batch_id: int
    batch_id: int


def run_live(
    settings: Settings,
    *,
    build_id: str | None = None,
    observer: Observer | None = None,
    gates: GateWorker | None = None,
) -> Build | None:
    """Take in what is new, rebuild the live board, judge both and publish; None if nothing is new.

    `gates` is a worker that outlives this build, for callers that build again and again. Raises
    TandemError where only a full build can go on, GateError when a blocking rule did not pass,
    LockedError when another build does not let go; what was published then stays.
    """
    from orchestration.gates import GateWorker

    with build_lock(settings):
        sweep(settings)
        base = live_base(settings)
        if base.batch_id == base.board_batch_id and not _pending(settings):
            return None
        with (
            nullcontext(gates) if gates is not None else GateWorker() as worker,
            _opened(settings, base, build_id, observer, worker) as build,
        ):
            _run(build, base)
    return build


def live_base(settings: Settings) -> Base:
    """The published build that a live one can stand on.

    Raises TandemError, which says to run `tandem build`, where Spark is the engine, when nothing
    was published, when the last build did not publish or something else is served, and when
    settings, key or the dbt project changed since.
    """
    if settings.engine != "duckdb":
        raise TandemError(
            f"the engine is {settings.engine}, and only DuckDB refreshes the live board: "
            "run `tandem build`"
        )
    if not settings.warehouse_path.exists() or (served := published(settings)) is None:
        raise TandemError("nothing was published yet: run `tandem build` first")
    with open_warehouse(settings, read_only=True) as connection:
        last = connection.execute(
            """
            select build_id, state, batch_id
            from control.builds
            where settings_fingerprint is not null
            order by started_at desc, build_id desc
            limit 1
            """
        ).fetchone()
        if last is None or last[1] != "published":
            raise TandemError("the last build did not publish: run `tandem build`")
        if last[0] != served["build_id"] or "kind" not in served:
            raise TandemError("what is served is not the last build's: run `tandem build`")
        plan = make_plan(connection, settings)
        if plan.full_refresh or settings.as_of_date not in (None, served["as_of_date"]):
            raise TandemError(
                "settings, key or the dbt project changed since the last build: run `tandem build`"
            )
        board_batch_id = last[2]
        if served["kind"] == LIVE:
            row = connection.execute(
                "select max(batch_id) from control.live_builds"
                f" where build_id = {literal(served['live_build_id'])}"
            ).fetchone()
            board_batch_id = row[0] if row and row[0] is not None else board_batch_id
    return Base(last[0], board_batch_id, plan.batch_id)


def _run(build: Build, base: Base) -> None:
    from orchestration.gates import rules_fingerprint

    # Loading Great Expectations over there takes longer than what is done here meanwhile.
    build.gates.warm_up()
    served = published(build.settings)
    if served is None or served["rules"] != rules_fingerprint():
        raise TandemError("the rules changed since the last build: run `tandem build`")
    run_ingest(build)
    touched = _touched(build.settings, base.board_batch_id)
    run_gate(build, "raw", touched)
    raise_if_failed(build)
    as_of = _rebuild(build)
    raise_if_failed(build)
    run_gate(build, "marts", [BOARD])
    raise_if_failed(build)
    _publish(build, touched, as_of)


@contextmanager
def _opened(
    settings: Settings,
    base: Base,
    build_id: str | None,
    observer: Observer | None,
    gates: GateWorker,
) -> Iterator[Build]:
    """A build whose record says `failed` until the opposite is known."""
    build = Build(
        settings=settings,
        build_id=build_id or str(uuid.uuid4()),
        work=settings,
        dbt=DbtSession(settings, target=settings.home.absolute() / "dbt"),
        gates=gates,
        observer=observer or Observer(),
    )
    with open_warehouse(settings) as connection:
        connection.execute(_RECORDS)
        connection.execute(
            f"""
            insert into control.live_builds (build_id, started_at, full_build_id, state)
            select
                {literal(build.build_id)},
                -- With the clock set back it goes on from the last, so that the order holds.
                greatest({_now()}, max(started_at) + interval 1 microsecond),
                {literal(base.build_id)}, 'failed'
            from control.live_builds
            """
        )
    try:
        yield build
    except TandemError as error:
        build.error = build.error or error
        raise
    except BaseException as error:
        build.error = build.error or TandemError(f"stopped by {type(error).__name__}")
        raise
    finally:
        _finish(build)


def _finish(build: Build) -> None:
    with open_warehouse(build.settings) as connection:
        connection.begin()
        connection.execute(
            f"""
            update control.live_builds
            set state = {literal(build.state)}, finished_at = {_now()}
            where build_id = {literal(build.build_id)}
            """
        )
        for number, stage in enumerate(build.stages, start=1):
            connection.execute(
                "insert into control.stages values (?, ?, ?, ?, ?, ?)",
                [build.build_id, number, stage.stage, stage.seconds, stage.passed, stage.summary],
            )
        # They come often: verdicts and stages of builds must not be crowded out.
        connection.execute(
            f"""
            delete from control.validations
            where run_id in (select build_id from control.live_builds)
                and run_id <> {literal(build.build_id)}
            """
        )
        old = f"""
            select build_id from control.live_builds
            order by started_at desc, build_id desc offset {RUNS_KEPT}
        """
        connection.execute(f"delete from control.stages where build_id in ({old})")
        connection.execute(f"delete from control.live_builds where build_id in ({old})")
        connection.commit()


def _pending(settings: Settings) -> bool:
    from orchestration.ingest import pending

    return bool(pending(settings))


def _touched(settings: Settings, board_batch_id: int) -> list[str]:
    """The raw tables with rows that are newer than the served board, and the ledgers."""
    with open_warehouse(settings, read_only=True) as connection:
        found = [
            f"raw.{contract.table}"
            for contract in contracts().values()
            if connection.execute(
                f"select 1 from raw.{contract.table} where _batch_id > {board_batch_id} limit 1"
            ).fetchone()
        ]
    return [*found, *LEDGERS]


def _rebuild(build: Build) -> datetime | None:
    """Replace the board's rows in one transaction, run its dbt tests, and say what it counts to."""

    def work() -> tuple[datetime | None, str]:
        query = board_sql(build.dbt)
        with open_warehouse(build.settings) as connection:
            set_key(connection, build.settings)
            connection.begin()
            connection.execute(f"delete from {BOARD}")
            # Into the table as dbt made it, so that the contract's columns and types hold.
            connection.execute(f"insert into {BOARD} by name {query}")
            rows, as_of = connection.execute(
                f"select count(*), max(five_minute_start) + interval 5 minute from {BOARD}"
            ).fetchone() or (0, None)
            connection.execute(
                f"""
                update control.live_builds
                set batch_id = (select max(batch_id) from control.batches),
                    live_as_of = (
                        select max(five_minute_start) + interval 5 minute from {BOARD}
                    )
                where build_id = {literal(build.build_id)}
                """
            )
            connection.commit()
        try:
            raise_for_failures(build.dbt.test("marts", [MODEL]))
        except TandemError as error:
            build.error = error
        return as_of, f"{rows:,} rows, to {as_of} UTC"

    return run_stage(build, "live board", work, passed=lambda: build.error is None)


def board_sql(session: DbtSession) -> str:
    """The board's SQL as dbt compiles it, compiled once for one state of the project."""
    path = (session.target or session.settings.home / "dbt") / f"{MODEL}.json"
    fingerprint = project_fingerprint()
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["project"] == fingerprint:
            return str(kept["sql"])
    query = session.compile([MODEL])[MODEL]
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"project": fingerprint, "sql": query}), encoding="utf-8")
    temporary.replace(path)
    return query


def _publish(build: Build, touched: list[str], as_of: datetime | None) -> None:
    from data_quality.export_rules import CATALOG
    from data_quality.verdicts import gate

    def judge(connection: duckdb.DuckDBPyConnection) -> None:
        gate(connection, build.build_id, "raw", tables=touched, same_rows=False)
        gate(connection, build.build_id, "marts", tables=[BOARD])

    def audit(path: Path) -> None:
        judge_tables(build, "export", database=path, tables=[CATALOG, BOARD])
        raise_if_failed(build)

    def work() -> tuple[Any, str]:
        report = publish_live(
            build.settings, build.build_id, table=BOARD, as_of=as_of, judge=judge, audit=audit
        )
        return report, f"version {report.version}: the live board to {as_of} UTC"

    build.report = run_stage(build, "publish", work)


def _now() -> str:
    return f"timestamp '{datetime.now(UTC).replace(tzinfo=None).isoformat(sep=' ')}'"
