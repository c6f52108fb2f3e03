"""The real project, from simulated landing files to published marts, through the command line."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies

from orchestration.build import nothing_new, run_build
from orchestration.live import run_live
from orchestration.settings import load_settings
from simulator import SimulatorConfig, simulate
from tests.support import KEY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "landing"
    simulate(SimulatorConfig(persons=100, days=14, seed=3), folder)
    return folder


def tandem(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "TANDEM_HOME": str(home),
        "TANDEM_KEY": KEY,
        "TANDEM_LOCK_WAIT_SECONDS": "0.5",
    }
    # `make test-duckdb2` puts another DuckDB in front.
    environment |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT,
        env=environment | extra,
        capture_output=True,
        text=True,
        check=False,
    )


def test_landing_files_become_published_marts(tmp_path: Path, landing: Path) -> None:
    home = tmp_path / "home"
    built = tandem(home, "build", "--json", TANDEM_LANDING=str(landing))
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stderr == ""
    report = json.loads(built.stdout)
    assert report["state"] == "published"
    assert [stage["passed"] for stage in report["stages"]] == [True] * len(report["stages"])
    with duckdb.connect(report["serving"], read_only=True) as connection:
        active = connection.execute(
            "select max(dau) from users.daily_active where core = 'all' and source = '*'"
        ).fetchone()
        (rows,) = connection.execute("select count(*) from users.daily_active").fetchone() or (0,)
        private = connection.execute(
            """
            select count(*) from duckdb_columns()
            where schema_name in ('raw', 'staging', 'control', 'quarantine')
                or column_name in ('display_name', 'phone', 'email', 'union_id', 'device_id')
            """
        ).fetchone()
    assert active is not None
    assert active[0] > 0
    assert private == (0,)
    assert Path(report["report"]).exists()
    assert (home / "warehouse.duckdb").stat().st_mode & 0o777 == 0o600

    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        (run_id,) = instance.get_run_ids()
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.is_success
        event = instance.get_latest_materialization_event(dg.AssetKey(["users", "daily_active"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == rows

    again = tandem(home, "build", TANDEM_LANDING=str(landing))
    assert again.returncode == 0
    assert again.stdout.startswith("nothing new; version 1 is published")

    newer = landing / "community" / "events" / "newer.jsonl"
    newer.write_text(
        '{"source": "zhihu", "event_id": "newer", "account_id": "unknown", "event_type": "read",'
        ' "occurred_at": "2026-07-02T00:00:00Z"}\n',
        encoding="utf-8",
    )
    live = tandem(home, "build", "--live", "--json", TANDEM_LANDING=str(landing))
    newer.unlink()
    assert live.returncode == 0, live.stdout + live.stderr
    refreshed = json.loads(live.stdout)
    assert (refreshed["state"], refreshed["version"], refreshed["kind"]) == ("published", 2, "live")
    assert refreshed["live_as_of"] == "2026-07-02 00:05:00"
    with duckdb.connect(report["serving"], read_only=True) as connection:
        last = connection.execute(
            "select events, persons, provisional from engagement.live_board"
            " where core = 'community' order by five_minute_start desc limit 1"
        ).fetchone()
    assert last == (1, 1, True)

    status = json.loads(tandem(home, "status", "--json", TANDEM_LANDING=str(landing)).stdout)
    assert status["build"]["state"] == "published"
    assert status["live"]["state"] == "published"
    assert status["served"]["version"] == 2
    assert status["gates"]["critical"] == 0
    assert status["pending_files"] == 0
    assert {log["log"] for log in status["logs"]} >= {"community/events", "group/messages"}


class Place:
    """One home that worlds take turns in, so that dbt parses the project for it once."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.kept = folder / "kept"
        self.kept.mkdir()

    def clear(self) -> None:
        """Empty the home of all but what dbt knows of the project."""
        for path in self.home.glob("*"):
            if path.name == "dbt":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def build(self, as_of: str | None = None, *, full_refresh: bool = False) -> None:
        """What `tandem build` does, without Dagster, which costs as much as the rest."""
        settings = load_settings(home=self.home, as_of_date=as_of)
        assert run_build(settings, full_refresh=full_refresh).state == "published"

    def live(self, as_of: str) -> None:
        """What `tandem build --live` does; readers see another live board and nothing else."""
        before = self.keep("before")
        done = run_live(load_settings(home=self.home, as_of_date=as_of))
        assert done is not None
        assert done.state == "published"
        assert differences(before, self.keep("live")).keys() <= {"engagement.live_board"}

    def keep(self, name: str) -> Path:
        """A copy of the published file under a name."""
        return Path(shutil.copy(self.home / "serving" / "marts.duckdb", self.kept / name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Builds in this process, without the gates: they are not what is compared."""
    from data_quality import verdicts
    from orchestration.gates import GateWorker

    place = Place(tmp_path_factory.mktemp("place"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GateWorker, "run", lambda *_, **__: [])
        patch.setattr(GateWorker, "warm_up", lambda _: None)
        patch.setattr(verdicts, "assert_publishable", lambda connection, run_id, **_: [])
        patch.setattr(verdicts, "gate", lambda connection, run_id, stage, **_: [])
        yield place


# Its rows say what each build saw; what they sum to does not depend on it.
READ_AS = {
    "revenue.payout_ledger": """
        select month, model, person_id, sum(amount_minor) from {table} group by all
        having sum(amount_minor) <> 0
    """
}


def differences(one: Path, other: Path) -> dict[str, int]:
    """Published tables, quality left out, to rows that are in one file only."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{one}' as one_file (read_only)")
        connection.execute(f"attach '{other}' as other_file (read_only)")
        tables = connection.execute(
            """
            select distinct schema_name || '.' || table_name from duckdb_tables()
            where schema_name not in ('main', 'quality') order by all
            """
        ).fetchall()
        assert tables
        found = {}
        for (table,) in tables:
            read = READ_AS.get(table, "from {table}")
            one_rows, other_rows = (
                read.format(table=f"{file}.{table}") for file in ("one_file", "other_file")
            )
            rows = connection.execute(
                f"""
                ({one_rows} except all {other_rows}) union all ({other_rows} except all {one_rows})
                """
            ).fetchall()
            if rows:
                found[table] = len(rows)
    return found


def spread(source: Path, chance: random.Random) -> list[list[tuple[Path, bytes]]]:
    """Two arrivals that together hold every line of the landing zone, some of them twice."""
    arrivals: list[list[tuple[Path, bytes]]] = [[], []]
    for path in sorted(source.rglob("*")):
        if path.is_dir() or path.name.startswith(("_", ".")) or ".control." in path.name:
            continue
        name = path.relative_to(source)
        content = path.read_bytes()
        if path.suffix == ".jsonl":
            lines = content.splitlines(keepends=True)
            chance.shuffle(lines)
            cut = chance.randrange(len(lines) + 1)
            parts = [lines[:cut], lines[cut:] + lines[: chance.randrange(3)]]
            chance.shuffle(parts)
            for number, part in enumerate(parts):
                arrivals[number].append((name.with_stem(f"{name.stem}-{number}"), b"".join(part)))
        else:
            first = chance.randrange(2)
            arrivals[first].append((name, content))
            if chance.random() < 0.2:
                renamed = name.with_name(f"again-{name.name}")
                arrivals[1 - first].append((renamed, content))
    for arrival in arrivals:
        chance.shuffle(arrival)
    return arrivals


# One example: it takes four builds. The incremental models have properties of their own.
@settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    # A build takes a quarter of a minute: a failure is reported as it is, not made smaller.
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=strategies.integers(0, 2**32 - 1))
def test_splits_orders_repeats_and_full_refresh_give_the_same_marts(
    seed: int, landing: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_KEY", KEY)
    reference = place.kept / "reference"
    if not reference.exists():
        shutil.copytree(landing, place.home / "landing")
        place.build()
        place.keep("reference")
    place.clear()
    for number, arrival in enumerate(spread(landing, random.Random(seed))):
        for name, content in arrival:
            target = place.home / "landing" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if number:
            place.live("2026-06-30")
        place.build("2026-06-30")
    assert differences(reference, place.keep("incremental")) == {}
    assert nothing_new(load_settings(home=place.home, as_of_date="2026-06-30")) is not None
    place.build("2026-06-30", full_refresh=True)
    assert differences(reference, place.keep("rebuilt")) == {}


def test_wrong_use_and_locks_have_their_exit_codes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tandem(home, "build", "--as-of", "yesterday").returncode == 2
    assert tandem(home, "build", "--live", "--full-refresh").returncode == 2
    unpublished = tandem(home, "build", "--live")
    assert (unpublished.returncode, unpublished.stdout) == (1, "")
    assert unpublished.stderr == "tandem: nothing was published yet: run `tandem build` first\n"
    bad = tandem(home, "build", TANDEM_THRESHHOLD="3")
    assert bad.returncode == 2
    assert bad.stderr == "tandem: TANDEM_THRESHHOLD: no such setting\n"
    status = tandem(home, "status")
    assert status.returncode == 0
    assert "holds no warehouse yet" in status.stdout
