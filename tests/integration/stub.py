"""A dbt project of five models, so that a build's mechanics are tested without building marts."""

from __future__ import annotations

import atexit
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from data_quality.runner import Outcome
from orchestration import ingest as ingest_package
from orchestration import plan, recorder
from orchestration.build import Build
from orchestration.gates import GateWorker
from orchestration.ingest import IngestReport
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

REAL = plan.DBT_PROJECT


def event(number: int, day: str, account: str = "a", source: str = "s") -> dict[str, Any]:
    """A valid `community/events` record at noon of a local date."""
    return {
        "source": source,
        "event_id": f"e{number}",
        "account_id": account,
        "event_type": "read",
        "occurred_at": f"{day}T04:00:00Z",
    }


@dataclass
class World:
    """One home, the records that wait for its next ingest, and the rules that fail."""

    settings: Settings
    project: Path
    waiting: list[dict[str, Any]] = field(default_factory=list)
    landed: list[dict[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    before_judging: Callable[[str], None] = lambda stage: None

    def own_project(self, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of the project, used from now on, which a test may change."""
        self.project = self.settings.home.parent / "project"
        shutil.copytree(stub_project(), self.project)
        monkeypatch.setattr(plan, "DBT_PROJECT", self.project)
        return self.project

    def land(self, events: Iterable[dict[str, Any]]) -> None:
        """Have records wait."""
        self.waiting += events

    def served(self) -> list[tuple[Any, ...]]:
        """The rows of the published `users.daily_active`, sorted."""
        return read(self.settings.serving_path, "select * from users.daily_active order by all")


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query on a file, opened anew."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as file (read_only)")
        connection.execute("use file")
        return connection.execute(query).fetchall()


@cache
def stub_project() -> Path:
    """The stub with what it shares with the real project; one folder, so that it is parsed once."""
    folder = Path(mkdtemp(prefix="tandem-stub-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = folder / "project"
    shutil.copytree(Path(__file__).parent / "stub_project", project)
    (project / "macros").mkdir(exist_ok=True)
    for part in ("dispatch.sql", "incremental.sql", "generate_schema_name.sql"):
        shutil.copy(REAL / "macros" / part, project / "macros" / part)
    shutil.copy(REAL / "profiles.yml", project)
    shutil.copy(REAL / "models" / "staging" / "_sources.yml", project / "models" / "staging")
    return project


def make_world(home: Path, monkeypatch: pytest.MonkeyPatch, **values: Any) -> World:
    """The stub project and a stand-in for ingestion, gates and their verdicts."""
    from data_quality import verdicts

    project = stub_project()
    monkeypatch.setattr(plan, "DBT_PROJECT", project)
    world = World(test_settings(home / "state", **values), project)

    def ingest(settings: Settings, **_: Any) -> IngestReport:
        rebuilt = not settings.home.samefile(world.settings.home)
        events = world.landed + world.waiting if rebuilt else world.waiting
        with open_warehouse(settings) as connection:
            found = connection.execute("select max(batch_id) from control.batches").fetchone()
            if events:
                number = (found[0] or 0) + 1 if found else 1
                fill_raw(connection, {"community/events": events}, number)
        world.landed += world.waiting
        world.waiting.clear()
        return IngestReport()

    def judge(_: GateWorker, settings: Settings, stage: str, **named: Any) -> Sequence[Outcome]:
        world.before_judging(stage)
        return [outcome(named["run_id"], stage, success=stage not in world.failing)]

    def publishable(connection: Any, run_id: str, stage: str = "", **_: Any) -> list[Outcome]:
        return verdicts.require(verdicts.load(connection, run_id))

    monkeypatch.setattr(ingest_package, "ingest", ingest, raising=False)
    monkeypatch.setattr(
        ingest_package, "pending", lambda settings: list(world.waiting), raising=False
    )
    monkeypatch.setattr(GateWorker, "run", judge)
    monkeypatch.setattr(GateWorker, "warm_up", lambda self: None)
    monkeypatch.setattr(verdicts, "assert_publishable", publishable)
    monkeypatch.setattr(verdicts, "gate", publishable)
    return world


def outcome(run_id: str, stage: str, *, success: bool) -> Outcome:
    """A critical verdict on the stage's one table."""
    tables = {
        "raw": "raw.community__events",
        "staging": "staging.stg_community__events",
        "intermediate": "intermediate.int_days",
    }
    return Outcome(
        run_id=run_id,
        stage=stage,
        suite=f"{stage}.stub",
        expectation="canary",
        column_name=None,
        severity="critical",
        success=success,
        observed="0",
        table_name=tables.get(stage, "users.daily_active"),
        fingerprint="f",
        checked_at=datetime.now(UTC).replace(tzinfo=None),
    )


def stages(build: Build) -> dict[str, bool]:
    """Stage to whether it passed, in order."""
    return {stage.stage: stage.passed for stage in build.stages}


def follow_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Dagster follow builds in a thread, which sees the stub, not in its own process."""

    def start(pipe: Connection, *arguments: Any) -> Callable[[], None]:
        thread = threading.Thread(target=recorder._follow, args=(pipe, *arguments))
        thread.start()

        def end() -> None:
            thread.join()
            pipe.close()

        return end

    monkeypatch.setattr(recorder, "_start", start)
