"""Running faults: put one in, go through the stages until one sees it, take it out again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from benchmarks.faults.fault import (
    Export,
    Fault,
    Finding,
    InjectionError,
    Landed,
    Model,
    Result,
    Table,
    Written,
)
from benchmarks.faults.judge import agrees, as_findings, failures
from benchmarks.faults.landing import Deliveries, move_in
from benchmarks.faults.world import STAGES, Node, World, make_world, quoted, rows_of
from data_quality.catalogue import Stage
from data_quality.export_rules import WAREHOUSE
from orchestration.contracts import contracts
from orchestration.publish import mart_tables, publish
from orchestration.transform import read_manifest
from orchestration.warehouse import literal

Tell = Callable[[Result], None]
SCRATCH = "spoilt_"


class Bench:
    """A clean world and its export candidate, against which faults are run one by one."""

    def __init__(self, folder: Path, *, deep: bool = True) -> None:
        # Without `deep` nothing is built downstream of the stage that should see a fault.
        self.deep = deep
        self.world: World = make_world(folder / "world")
        self.folder = folder
        self.deliveries = Deliveries(folder / "deliveries", self.world.landing, _key(self.world))
        shutil.rmtree(folder / "deliveries", ignore_errors=True)

    def run(self, faults: Sequence[Fault], rates: Sequence[str], tell: Tell) -> list[Result]:
        """Every fault at every rate, each alone; `tell` hears of each result as it comes."""
        inside = [fault for fault in faults if not isinstance(fault.injection, Export)]
        outside = [fault for fault in faults if isinstance(fault.injection, Export)]
        results: list[Result] = []
        # DuckDB opens a file once a process: the warehouse is free again for the export's gate.
        with self.world.connection() as connection:
            for fault in inside:
                for rate in rates:
                    results.append(self._attempt(fault, rate, connection))
                    tell(results[-1])
        if outside:
            with self._candidate() as candidate:
                for fault in outside:
                    for rate in rates:
                        results.append(self._attempt(fault, rate, candidate))
                        tell(results[-1])
        return results

    def agreement(self, faults: Sequence[Fault]) -> list[str]:
        """Faults whose verdicts Great Expectations does not share, at the stage that saw them."""
        differing = []
        with self.world.connection() as connection:
            for fault in faults:
                if not isinstance(fault.injection, (Table, Model)):
                    continue
                connection.begin()
                try:
                    stage, changed, _ = self._inject(fault, fault.large, connection)
                    path = self.world.settings.warehouse_path
                    if not agrees(connection, path, stage, changed):
                        differing.append(fault.id)
                finally:
                    connection.rollback()
        return differing

    def _attempt(self, fault: Fault, rate: str, connection: duckdb.DuckDBPyConnection) -> Result:
        share = fault.rate(rate)
        started = time.monotonic()
        findings: list[Finding] = []
        error = ""
        try:
            findings = self._through(fault, share, connection)
        # Whatever breaks here is the benchmark's own failure, and never a detection.
        except Exception as problem:  # noqa: BLE001
            error = (
                f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
            )
        return Result(fault, rate, share, findings, time.monotonic() - started, error)

    def _through(
        self, fault: Fault, share: float, connection: duckdb.DuckDBPyConnection
    ) -> list[Finding]:
        """What the first stage that sees the fault says of it."""
        arrived = None
        injection = fault.injection
        if isinstance(injection, (Landed, Written)):
            seed = f"{fault.id}/{share}"
            arrived = self.deliveries.arrive(injection, injection.log, share, seed)
            if arrived.content == self.deliveries.clean(injection.log).content:
                raise InjectionError("the delivery is as it was")
            connection.execute(f"attach {literal(arrived.path)} as arrived (read_only)")
        connection.begin()
        try:
            if arrived is not None and isinstance(injection, (Landed, Written)):
                findings = self.deliveries.findings(arrived, injection.log)
                stage, changed = self._move_in(injection.log, connection)
            else:
                stage, changed, findings = self._inject(fault, share, connection)
            return self._judge(connection, fault, stage, changed, findings)
        finally:
            connection.rollback()
            if arrived is not None:
                connection.execute("detach arrived")

    def _judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        fault: Fault,
        first: Stage,
        changed: set[str],
        findings: list[Finding],
    ) -> list[Finding]:
        if first == "export":
            return findings + as_findings("export", failures(connection, "export"), ())
        last = len(STAGES) if self.deep else STAGES.index(fault.stage) + 1
        for stage in STAGES[STAGES.index(first) : last]:
            if stage != first:
                broken = self.world.rebuild(connection, stage, changed)
                findings += as_findings(stage, broken, ())
            found = self.world.judge(connection, stage, changed)
            findings += as_findings(stage, found, self.world.known[stage])
            if not findings and stage == first != "raw":
                # A layer is judged when all of it is built: the rest of it stands on the fault.
                findings += as_findings(stage, self.world.rebuild(connection, stage, changed), ())
                found = self.world.judge(connection, stage, changed)
                findings += as_findings(stage, found, self.world.known[stage])
            if findings:
                return findings
        return []

    def _move_in(self, log: str, connection: duckdb.DuckDBPyConnection) -> tuple[Stage, set[str]]:
        move_in(connection, log)
        ledgers = ("files", "paths", "schema_drift", "replaced")
        changed = {f"raw.{contracts()[log].table}", "quarantine.lines"}
        return "raw", changed | {f"control.{name}" for name in ledgers}

    def _inject(
        self, fault: Fault, share: float, connection: duckdb.DuckDBPyConnection
    ) -> tuple[Stage, set[str], list[Finding]]:
        """Put a fault of a table, a model or the export in; which stage judges it first."""
        injection = fault.injection
        if isinstance(injection, Model):
            return self._mutate(injection, share, connection)
        if isinstance(injection, (Landed, Written)):
            raise InjectionError("a delivery is not put in by SQL")
        hit = f"""rowid in (
            select rowid from {injection.table} where {injection.among}
            order by hash(rowid, 'fault'), rowid
            limit (
                select greatest(1, cast(ceil({share} * count(*)) as bigint))
                from {injection.table} where {injection.among}
            )
        )"""
        before = _state(connection, injection.table)
        text = injection.sql.replace("{t}", injection.table).replace("{hit}", hit)
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement)
        if before == _state(connection, injection.table):
            raise InjectionError("the table is as it was")
        if isinstance(injection, Export):
            return "export", {injection.table}, []
        schema = injection.table.split(".")[0]
        stages: dict[str, Stage] = {"raw": "raw", "control": "raw", "quarantine": "raw"}
        stages |= {"staging": "staging", "intermediate": "intermediate"}
        return stages.get(schema, "marts"), {injection.table}, []

    def _mutate(
        self, mutation: Model, share: float, connection: duckdb.DuckDBPyConnection
    ) -> tuple[Stage, set[str], list[Finding]]:
        node = self.world.nodes[mutation.model]
        if mutation.old:
            if mutation.old not in node.code:
                raise InjectionError(f"{node.name} does not hold {mutation.old!r}")
            code = node.code.replace(mutation.old, mutation.new)
        else:
            code = mutation.new.replace("{query}", f"({node.code})")
        stage: Stage = "marts"
        for layer in STAGES:
            stage = layer if layer == node.layer else stage
        connection.execute(f"create temp table clean_ as from {quoted(node.table)}")
        connection.execute(f"create temp table mutant_ as {code}")
        if share < 0.1 and not mutation.whole:
            self._mix(connection, node, mutation.keys or node.grain, share)
        kind = "view" if node.is_view else "table"
        connection.execute(f"drop {kind} {quoted(node.table)}")
        connection.execute(f"create table {quoted(node.table)} as from mutant_")
        same = connection.execute(
            """
            select count(*) from (
                (from clean_ except all from mutant_)
                union all (from mutant_ except all from clean_)
            )
            """
            if _columns(connection, "clean_") == _columns(connection, "mutant_")
            else "select 1"
        ).fetchone()
        connection.execute("drop table temp.clean_")
        connection.execute("drop table temp.mutant_")
        if same == (0,):
            raise InjectionError("the mutant gives the same rows")
        broken = self.world.breaks_contract(connection, node)
        findings = [Finding("marts", f"dbt: contract of {node.name}", "critical")] if broken else []
        return stage, {node.table}, findings

    def _mix(
        self,
        connection: duckdb.DuckDBPyConnection,
        node: Node,
        keys: Sequence[str],
        share: float,
    ) -> None:
        """Keep the mutant's rows for a share of the keys among those whose rows differ."""
        if not keys:
            raise InjectionError(f"{node.name}: the keys are not known")
        names = ", ".join(keys)
        connection.execute(
            f"""
            create temp table spoilt_ as
            with differing as (
                select distinct {names} from (
                    (from clean_ except all from mutant_)
                    union all (from mutant_ except all from clean_)
                )
            )
            select * from differing
            order by hash({names}), {names}
            limit (select greatest(1, cast(ceil({share} * count(*)) as bigint)) from clean_)
            """
        )
        same = " and ".join(f"side.{key} is not distinct from spoilt_.{key}" for key in keys)
        chosen = f"exists (select 1 from spoilt_ where {same})"
        connection.execute(
            f"""
            create temp table mixed_ as
            select * from mutant_ as side where {chosen}
            union all by name
            select * from clean_ as side where not {chosen}
            """
        )
        connection.execute("drop table temp.mutant_")
        connection.execute("create temp table mutant_ as from mixed_")
        connection.execute("drop table temp.mixed_")
        connection.execute("drop table temp.spoilt_")

    def _candidate(self) -> duckdb.DuckDBPyConnection:
        """The file that would be published, with the warehouse beside it."""
        settings = self.world.settings
        path = self.folder / "candidate.duckdb"
        path.unlink(missing_ok=True)
        report = publish(
            settings,
            "faults",
            tables=mart_tables(read_manifest(settings)),
            judge=lambda _: None,
        )
        shutil.copyfile(report.path, path)
        path.chmod(0o600)
        connection = duckdb.connect(str(path), config={"threads": "2"})
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach {literal(settings.warehouse_path)} as {WAREHOUSE} (read_only)")
        return connection


def _key(world: World) -> str:
    return world.settings.secret_key().decode()


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in connection.execute(f"describe {table}").fetchall()]


def _state(connection: duckdb.DuckDBPyConnection, table: str) -> object:
    """The table's columns and rows; None where there is none."""
    try:
        return _columns(connection, quoted(table)), rows_of(connection, table)
    except duckdb.CatalogException:
        return None
