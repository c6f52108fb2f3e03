"""One build, stage by stage, as plain functions: what Dagster's assets and the CLI call.

A build's row in `control.builds` is written first and says `failed` until the opposite is known,
so that a build killed anywhere leaves a warehouse from which the next one goes on.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import duckdb
from pydantic import SecretStr

from orchestration import durable
from orchestration.engines.tables import drop_unread, have_folders, read_from_spark
from orchestration.errors import GateError, TandemError, first_line, first_of
from orchestration.ingest.tables import HISTORY_TABLES, create_tables
from orchestration.land.store import move_in, rebuild_root, tidy
from orchestration.lock import build_lock
from orchestration.plan import LAYERS, Plan, make_plan, write_plan
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

if TYPE_CHECKING:
    from data_quality.runner import Outcome
    from orchestration.engines.stages import SparkStages
    from orchestration.gates import GateWorker
    from orchestration.ingest import IngestReport, ProgressEvent
    from orchestration.publish import PublishReport
    from orchestration.transform import DbtSession, NodeResult

STAGES = (
    "ingest",
    "gate raw",
    "plan",
    "staging",
    "gate staging",
    "intermediate",
    "gate intermediate",
    "marts",
    "gate marts",
    "publish",
)
State = Literal["transformed", "published", "blocked", "failed"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class StageResult:
    """How one stage ended. `summary` holds counts and names, never values of the data."""

    stage: str
    seconds: float
    passed: bool
    summary: str


class Observer:
    """Told what a build does; the base class ignores all of it."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def progressed(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """`done` of `total` units are through; total is None while it is unknown."""

    def finished(self, result: StageResult) -> None:
        """A stage ended, well or not."""


@dataclass
class Build:
    """One build in this process, from `open_build`.

    `work` are the settings of the warehouse that the stages write: the home's own, or during a
    full refresh the one in `<home>/rebuild`, which replaces it once every gate passed.
    """

    settings: Settings
    build_id: str
    work: Settings
    dbt: DbtSession
    gates: GateWorker
    full_refresh: bool = False
    observer: Observer = field(default_factory=Observer)
    plan: Plan | None = None
    stages: list[StageResult] = field(default_factory=list)
    error: TandemError | None = None
    report: PublishReport | None = None
    blocked: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    window_dates: tuple[date, ...] = ()
    spark: SparkStages | None = None

    @property
    def state(self) -> State:
        """What `control.builds` says of this build when it ends now."""
        if self.report is not None and self.error is None:
            return "published"
        if isinstance(self.error, GateError):
            return "blocked"
        done = {stage.stage for stage in self.stages if stage.passed}
        if self.error is None and done.issuperset(LAYERS):
            return "transformed"
        return "failed"


@contextmanager
def open_build(
    settings: Settings,
    *,
    build_id: str | None = None,
    full_refresh: bool = False,
    observer: Observer | None = None,
    gates: GateWorker | None = None,
) -> Iterator[Build]:
    """A build that holds the build lock until the context ends, and then records its outcome.

    With `full_refresh` everything is taken from the landing zone again, into a new warehouse.
    `gates` is one that runs already, and goes on running.
    Raises LockedError when another build does not let go in `lock_wait_seconds`.
    """
    from orchestration.erasure import journal
    from orchestration.gates import GateWorker
    from orchestration.keys import bring_kept_keys
    from orchestration.publish import sweep
    from orchestration.transform import DbtSession

    with build_lock(settings):
        journal.require_none(settings)
        if settings.engine != "duckdb":
            from orchestration.engines.spark import require_spark

            require_spark(settings.engine)
        sweep(settings)
        shutil.rmtree(_rebuild_home(settings), ignore_errors=True)
        shutil.rmtree(rebuild_root(settings), ignore_errors=True)
        for leftover in settings.home.glob(f".{settings.warehouse_path.name}.*"):
            leftover.unlink(missing_ok=True)
        work = _rebuild_settings(settings) if full_refresh else settings
        bring_kept_keys(settings, work)
        with nullcontext(gates) if gates else GateWorker() as worker:
            build = Build(
                settings=settings,
                build_id=build_id or uuid.uuid4().hex,
                work=work,
                dbt=DbtSession(settings, target=settings.home.absolute() / "dbt"),
                gates=worker,
                full_refresh=full_refresh,
                observer=observer or Observer(),
            )
            _begin(build)
            _drop_unread(build)
            try:
                yield build
            except TandemError as error:
                build.error = build.error or error
                raise
            except BaseException as error:
                build.error = build.error or TandemError(f"stopped by {type(error).__name__}")
                raise
            finally:
                if build.spark is not None:
                    build.spark.close()
                with _first_error_first(build):
                    _finish(build)
                    _drop_unread(build)
                    if build.outcomes and build.state != "published":
                        run_report(build)


def run_build(
    settings: Settings,
    *,
    full_refresh: bool = False,
    window_dates: Iterable[date] = (),
    observer: Observer | None = None,
    gates: GateWorker | None = None,
) -> Build:
    """All stages in order, without Dagster; `gates` as for `open_build`.

    Raises GateError when a blocking rule did not pass, else TandemError or LockedError; what was
    published before then stays as it is.
    """
    with open_build(settings, full_refresh=full_refresh, observer=observer, gates=gates) as build:
        build.window_dates = tuple(sorted(set(window_dates)))
        run_ingest(build)
        run_gate(build, "raw")
        raise_if_failed(build)
        plan_build(build)
        for layer in LAYERS:
            run_layer(build, layer)
            raise_if_failed(build)
            run_gate(build, layer)
            raise_if_failed(build)
        run_publish(build)
    return build


def run_ingest(build: Build, logs: Sequence[str] | None = None) -> IngestReport:
    """Landing files to `raw`, quarantine and the ledger."""
    from orchestration.ingest import ingest

    def work() -> tuple[IngestReport, str]:
        # The worker loads Great Expectations while DuckDB reads files.
        build.gates.warm_up()

        def progress(event: ProgressEvent) -> None:
            build.observer.progressed("ingest", event.bytes_done, event.bytes_total, "bytes")

        report = ingest(build.work, logs=logs, progress=progress)
        return report, _ingest_summary(report)

    return run_stage(build, "ingest", work)


def run_gate(build: Build, stage: str, tables: Sequence[str] | None = None) -> list[Outcome]:
    """Judge one stage's tables and keep the verdicts.

    Does not raise when a critical rule fails: `build.blocked` then names it, so that a caller
    can report every verdict first. `raise_if_failed` and the publish stop there.
    """

    def work() -> tuple[list[Outcome], str]:
        with ThreadPoolExecutor(1) as beside:
            if stage == "raw" and tables is None:
                # The gates' process works, this one waits. What fails here, dbt's first command
                # meets again and reports.
                beside.submit(build.dbt.warm_up)
            outcomes = judge_tables(build, stage, tables=tables)
        return outcomes, _gate_summary(outcomes)

    return run_stage(build, f"gate {stage}", work, passed=lambda: not build.blocked)


def raise_if_failed(build: Build) -> None:
    """Raise what stopped this build: GateError for a critical rule, TandemError for a model."""
    if build.error is not None:
        raise build.error


def set_window(build: Build, days: Iterable[date]) -> None:
    """Ask this build to rebuild these business dates too. Call it before the plan is made."""
    build.window_dates = tuple(sorted(set(days)))
    with open_warehouse(build.work) as connection:
        connection.begin()
        connection.execute("delete from control.window_dates")
        connection.executemany(
            "insert into control.window_dates values (?)", [[day] for day in build.window_dates]
        )
        connection.commit()


def plan_build(build: Build) -> Plan:
    """Decide what is rebuilt, and write it where the models read it; once a build."""
    if build.plan is not None:
        return build.plan

    def work() -> tuple[Plan, str]:
        with open_warehouse(build.work) as connection:
            create_tables(connection)
            on_spark = build.settings.engine != "duckdb"
            was_on_spark = bool(read_from_spark(connection))
            plan = make_plan(connection, build.work, full_refresh=build.full_refresh or on_spark)
            connection.execute(
                """
                update control.builds
                set batch_id = ?, as_of_date = ?, settings_fingerprint = ?, code_fingerprint = ?
                where build_id = ?
                """,
                [
                    plan.batch_id,
                    plan.as_of_date,
                    plan.settings_fingerprint,
                    plan.code_fingerprint,
                    build.build_id,
                ],
            )
            write_plan(connection, build.work, plan, build.window_dates)
        kind = (
            "everything"
            if plan.full_refresh
            else f"what is new since batch {plan.watermark_batch_id}"
        )
        if was_on_spark and not on_spark:
            kind = "everything, as Spark made what is there"
        return plan, f"as of {plan.as_of_date}, rebuilds {kind}"

    build.plan = run_stage(build, "plan", work)
    return build.plan


def run_layer(build: Build, layer: str, models: Sequence[str] | None = None) -> list[NodeResult]:
    """One dbt invocation for a layer's models, or the named ones of it, and then their tests.

    Returns every node's outcome. Does not raise when a model or test fails: `build.error` then
    says so; the caller stops there.
    """
    from orchestration.transform import raise_for_failures

    plan = plan_build(build)
    name = layer if models is None else f"{layer} (in part)"

    def work() -> tuple[list[NodeResult], str]:
        if build.dbt.manifest is None:
            build.dbt.read_models()
        # Parsed for the home, so that a rebuild elsewhere does not discard the partial parse.
        build.dbt.settings = build.work
        outcomes = _run_models(build, plan, layer, models)
        if not any(item.failed for item in outcomes):
            outcomes += build.dbt.test(layer, models)
        try:
            raise_for_failures(outcomes)
        except TandemError as error:
            build.error = error
        return outcomes, _layer_summary(outcomes)

    done = _Counter(build, layer)
    build.dbt.on_node = done
    try:
        outcomes = run_stage(build, name, work, passed=lambda: build.error is None)
    finally:
        build.dbt.on_node = None
    if layer == "marts" and build.state == "transformed":
        _record_state(build, "transformed")
    return outcomes


def _run_models(
    build: Build, plan: Plan, layer: str, models: Sequence[str] | None
) -> list[NodeResult]:
    if build.settings.engine == "duckdb":
        return build.dbt.invoke(dbt_arguments(plan, layer, models), check=False)
    from orchestration.engines.stages import SparkStages

    if build.spark is None:
        build.spark = SparkStages(build.settings, build.build_id, build.dbt)
    return build.spark.run(build.work, layer, models, build.dbt.on_node)


def dbt_arguments(plan: Plan, layer: str, models: Sequence[str] | None = None) -> list[str]:
    """What dbt is told to build a layer.

    Seeds go with staging. Data tests follow the layer (`DbtSession.test`); unit tests never run
    against real data.
    """
    selected = list(models) if models is not None else [f"fqn:tandem.{layer}"]
    if models is None and layer == "staging":
        selected.append("resource_type:seed")
    arguments = ["build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    arguments += ["--select", *selected]
    return arguments + (["--full-refresh"] if plan.full_refresh else [])


def run_publish(build: Build) -> PublishReport:
    """Write, audit and swap in what readers see; after a full refresh, the new warehouse first.

    Raises GateError when a verdict is missing, failed, or about other bytes than are copied.
    """
    from data_quality.verdicts import assert_publishable
    from orchestration.gates import rules_fingerprint
    from orchestration.payouts import post
    from orchestration.publish import mart_tables, publish
    from orchestration.transform import read_manifest

    def work() -> tuple[PublishReport, str]:
        raise_if_failed(build)
        if build.work is not build.settings:
            _adopt(build)
        tables = mart_tables(read_manifest(build.settings))
        progress = _progress(build, "publish")
        copied = [0]

        def on_table(_: str) -> None:
            copied[0] += 1
            progress(copied[0], len(tables), "tables")

        def audit(path: Path) -> None:
            judge_tables(build, "export", database=path)
            raise_if_failed(build)
            # After every gate and before the swap: what readers see was always posted.
            with open_warehouse(build.work) as connection:
                post(connection, build.build_id)

        below = build.gates.settled(build.build_id)
        report = publish(
            build.settings,
            build.build_id,
            tables=tables,
            rules=rules_fingerprint(),
            judge=lambda connection: assert_publishable(connection, build.build_id, known=below),
            audit=audit,
            on_table=on_table,
        )
        return report, f"version {report.version}: {len(report.tables)} tables, {report.rows} rows"

    build.report = run_stage(build, "publish", work)
    _record_state(build, "published")
    return build.report


def run_report(build: Build) -> Path:
    """Write the page that shows this build's verdicts, and return where it is."""
    from data_quality.report import write_report

    with open_warehouse(build.work, read_only=True) as connection:
        return write_report(build.settings, connection, build.build_id)


def nothing_new(settings: Settings) -> dict[str, Any] | None:
    """The `_publish` row of what is served, if a build now would publish the very same.

    That is: no file is pending, the last build was published, no audience pack was released or
    ended since, and settings, key, project, rules and as_of_date are those it was built with.
    Cheap: no Dagster, dbt or Great Expectations.
    """
    from orchestration.gates import rules_fingerprint
    from orchestration.ingest import pending
    from orchestration.publish import FULL, published, published_rows

    if not settings.warehouse_path.exists() or pending(settings):
        return None
    with open_warehouse(settings, read_only=True) as connection:
        try:
            last = connection.execute(
                """
                select
                    build_id, state, as_of_date, batch_id,
                    (select count(*) from control.release_ledger) as pack_steps
                from control.builds
                order by started_at desc, build_id desc
                limit 1
                """
            ).fetchone()
        except duckdb.CatalogException:
            return None
        if last is None or last[1] != "published":
            return None
        plan = make_plan(connection, settings)
    if plan.full_refresh or (plan.as_of_date, plan.batch_id) != last[2:4]:
        return None
    served = published(settings)
    # A live build moves no watermark, and a rollback is for the time until the next build.
    if served is None or served.get("kind", FULL) != FULL:
        return None
    same = served["build_id"] == last[0] and served["rules"] == rules_fingerprint()
    # Counted, not timed: the ledger only grows, and clocks are set back.
    same = same and published_rows(settings, "audience.release_ledger") == last[4]
    return served if same else None


def run_stage(
    build: Build,
    name: str,
    work: Callable[[], tuple[_T, str]],
    passed: Callable[[], bool] = lambda: True,
) -> _T:
    """Run one stage, keep how it ended, and turn what a person can act on into TandemError.

    `work` gives the result and a summary of counts and names. Raises TandemError.
    """
    started = time.monotonic()
    build.observer.started(name)
    summary, succeeded = "", False
    try:
        result, summary = work()
        succeeded = passed()
        return result
    except TandemError as error:
        build.error = build.error or error
        summary = str(error)
        raise
    except (OSError, duckdb.Error) as error:
        text = first_line(error)
        build.error = TandemError(f"{name}: {text}")
        summary = text
        raise build.error from error
    finally:
        ended = StageResult(name, time.monotonic() - started, succeeded, summary)
        build.stages.append(ended)
        build.observer.finished(ended)


def _begin(build: Build) -> None:
    from orchestration.audience.mirror import keep_packs
    from orchestration.erasure.receipts import keep_tombstones
    from orchestration.payouts import bring_ledger, keep_ledger

    now = datetime.now(UTC).replace(tzinfo=None)
    for settings in {id(item): item for item in (build.settings, build.work)}.values():
        with open_warehouse(settings) as connection:
            create_tables(connection)
            connection.execute(
                """
                create table if not exists control.stages (
                    build_id varchar, number bigint, stage varchar, seconds double,
                    passed boolean, summary varchar
                )
                """
            )
            last = connection.execute("select max(started_at) from control.builds").fetchone()
            if last is not None and last[0] is not None:
                # Builds are ordered by this time: with the clock set back it goes on from there.
                now = max(now, last[0] + timedelta(microseconds=1))
            connection.execute(
                "insert into control.builds (build_id, started_at, state) "
                f"values ({literal(build.build_id)}, {literal(now)}, 'failed')"
            )
    with open_warehouse(build.settings) as connection:
        keep_ledger(connection, build.settings.serving_path)
        keep_packs(connection, build.settings.serving_path)
        keep_tombstones(connection, build.settings)
    if build.work is not build.settings:
        with open_warehouse(build.work) as connection:
            bring_ledger(connection, build.settings.warehouse_path)


@contextmanager
def _first_error_first(build: Build) -> Iterator[None]:
    """On a disk that is full the last words of a build fail too; what stopped it is told.

    Its row says `failed` since it began.
    """
    try:
        yield
    except (TandemError, OSError, duckdb.Error) as error:
        if build.error is None:
            reason = first_line(error)
            raise TandemError(f"how the build ended could not be kept: {reason}") from error


def _finish(build: Build) -> None:
    with open_warehouse(build.settings) as connection:
        connection.begin()
        connection.execute(
            "update control.builds set state = ?, finished_at = ? where build_id = ?",
            [build.state, datetime.now(UTC).replace(tzinfo=None), build.build_id],
        )
        for number, stage in enumerate(build.stages, start=1):
            connection.execute(
                "insert into control.stages values (?, ?, ?, ?, ?, ?)",
                [build.build_id, number, stage.stage, stage.seconds, stage.passed, stage.summary],
            )
        connection.commit()


def _drop_unread(build: Build) -> None:
    """Remove the tables of builds on Spark that neither warehouse reads any more."""
    if have_folders(build.settings):
        with ExitStack() as stack:
            homes = {item.home: item for item in (build.settings, build.work)}.values()
            opened = [stack.enter_context(open_warehouse(one, read_only=True)) for one in homes]
            drop_unread(build.settings, opened)


def _record_state(build: Build, state: State) -> None:
    with open_warehouse(build.work) as connection:
        connection.execute(
            "update control.builds set state = ? where build_id = ?", [state, build.build_id]
        )


def _rebuild_home(settings: Settings) -> Path:
    return settings.home / "rebuild"


def _rebuild_settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "home": _rebuild_home(settings),
            "landing": settings.landing_path,
            "landed": rebuild_root(settings),
            "key": SecretStr(settings.secret_key().decode()),
        }
    )


def _adopt(build: Build) -> None:
    """Put the rebuilt warehouse in the old one's place, in one rename.

    Raises TandemError, and changes nothing, when the old one holds files that are no longer in
    the landing zone: rebuilding without them would lose what they said.
    """
    old, new = build.settings.warehouse_path, build.work.warehouse_path
    with open_warehouse(build.settings):
        # Opening and closing it folds its log in; a stray log must not meet the new file.
        pass
    with open_warehouse(build.work) as connection:
        connection.execute(f"attach {literal(old)} as old (read_only)")
        lost = connection.execute(
            """
            select old_files.path, count(*) over () as files
            from old.control.files as old_files
            anti join control.files as new_files using (log, sha256)
            where old_files.state = 'loaded' and old_files.accepted > 0
            order by old_files.path
            limit 1
            """
        ).fetchone()
        if lost is not None:
            raise TandemError(
                f"{lost[1]} loaded files are no longer in the landing zone (first: {lost[0]}). "
                f"Put them back, or move {old} away to build without them"
            )
        for table in HISTORY_TABLES:
            connection.execute(
                f"""
                insert into {table} by name
                select * from old.{table}
                where {"run_id" if table == "control.validations" else "build_id"} <> ?
                """,
                [build.build_id],
            )
        connection.execute("detach old")
        landed = move_in(connection, build.work, build.settings)
    for path in (old, new):
        if path.with_name(f"{path.name}.wal").exists():
            raise TandemError(f"{path} still has a write-ahead log; build again")
    durable.replace(new, old)
    tidy(build.settings, landed)
    shutil.rmtree(rebuild_root(build.settings), ignore_errors=True)
    build.work = build.settings
    build.dbt.settings = build.settings
    shutil.rmtree(_rebuild_home(build.settings), ignore_errors=True)


def _gate_error(build: Build) -> GateError:
    shown = first_of(build.blocked, 5)
    return GateError(f"{len(build.blocked)} critical rules did not pass: {shown}")


def _progress(build: Build, stage: str) -> Callable[[int, int | None, str], None]:
    def report(done: int, total: int | None, unit: str) -> None:
        build.observer.progressed(stage, done, total, unit)

    return report


class _Counter:
    """Counts a layer's nodes as dbt finishes them."""

    def __init__(self, build: Build, layer: str) -> None:
        self._build, self._layer, self._done = build, layer, 0

    def __call__(self, _: str) -> None:
        self._done += 1
        self._build.observer.progressed(self._layer, self._done, None, "nodes")


def judge_tables(
    build: Build,
    stage: str,
    *,
    database: Path | None = None,
    tables: Sequence[str] | None = None,
) -> list[Outcome]:
    """Judge a stage's tables, or those named; keep the verdicts, here and in the warehouse."""
    from data_quality.verdicts import record

    outcomes = build.gates.run(
        build.work, stage, run_id=build.build_id, database=database, tables=tables
    )
    with open_warehouse(build.work) as connection:
        record(connection, outcomes)
    build.outcomes += outcomes
    build.blocked += [f"{item.table_name}: {item.expectation}" for item in outcomes if item.blocks]
    if build.blocked:
        build.error = _gate_error(build)
    return outcomes


def _gate_summary(outcomes: Sequence[Outcome]) -> str:
    passed = sum(item.success for item in outcomes)
    blocking = sum(item.blocks for item in outcomes)
    words = [f"{passed} of {len(outcomes)} rules passed"]
    words += [f"{blocking} critical failed"] if blocking else []
    warned = len(outcomes) - passed - blocking
    words += [f"{warned} warnings"] if warned else []
    return ", ".join(words)


def _layer_summary(outcomes: Sequence[NodeResult]) -> str:
    tests = [item for item in outcomes if item.resource_type == "test"]
    failed = [item.name for item in outcomes if item.failed]
    words = f"{len(outcomes) - len(tests)} models, {len(tests)} tests"
    return f"{words}; failed: {', '.join(failed)}" if failed else words


def _ingest_summary(report: IngestReport) -> str:
    totals = report.totals.values()
    read, accepted, rejected, duplicates = (
        sum(getattr(total, name) for total in totals)
        for name in ("lines_read", "accepted", "rejected", "duplicates")
    )
    words = (
        f"{len(report.files)} files, {read:,} lines: {accepted:,} accepted, "
        f"{rejected:,} rejected, {duplicates:,} duplicates"
    )
    return f"{words}; {len(report.unknown)} in the wrong place" if report.unknown else words
