"""The parts of the benchmark: what is compared with what, at which sizes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measured import (
    BenchmarkError,
    Measurement,
    Record,
    Results,
    Subject,
    disk_bytes,
    interleave,
    measure,
)
from benchmarks.platforms import (
    DAYS,
    END_DATE,
    FLOWS,
    Platform,
    events_of,
    existing,
    last_days,
    link,
    persons_for,
    simulation_command,
    split,
)

# Where its throughput is known, a slow loader need not be waited for.
DLT_ROWS_AT_MOST = 5_000_000
DBT_AT_MOST = 1_000_000
RIVALS_AT_MOST = 5_000_000
COLD_ROUNDS = 5
HISTORY_DAYS = 180
SHORT_DAYS = 90
DBT = "dbt, a process a model"
RULES = "queries of the rules"
YEAR_PERSONS = 300
_TELEMETRY_OFF = {"DAGSTER_DISABLE_TELEMETRY": "1", "RUNTIME__DLTHUB_TELEMETRY": "false"}


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    results: Results
    sizes: Sequence[str]
    rounds: int
    history: str
    days: int
    spark_python: Path | None
    only: Sequence[str]


def python(work: str, **given: object) -> list[str]:
    """The command of one piece of work in a process of its own."""
    options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "benchmarks.workers", work, *options]


def tandem(*words: str) -> list[str]:
    """The command that a user types."""
    return [str(Path(sys.executable).with_name("tandem")), *words]


def record(
    part: str,
    subject: str,
    size: str,
    number: int,
    events: int,
    found: Measurement,
    disk: int = 0,
    values: Mapping[str, Any] | None = None,
) -> Record:
    """A measurement under its key."""
    return Record(
        part=part,
        subject=subject,
        size=size,
        round=number,
        events=events,
        wall=found.wall,
        cpu=found.cpu,
        peak_bytes=found.peak_bytes,
        disk_bytes=disk,
        foreign_share=found.foreign_share,
        values=values or {},
    )


def run_data(options: Options) -> None:
    """Simulate the landing zones, each once."""
    for size in options.sizes:
        platform_of(options.results, size)


def platform_of(
    results: Results, size: str, days: int = DAYS, persons: int | None = None
) -> Platform:
    """The landing zone of a size, simulated and measured when it is not there yet."""
    landing = results.folder / "data" / f"{size}-{days}d"
    found = existing(landing)
    if found is None:
        shutil.rmtree(landing, ignore_errors=True)
        persons = persons or persons_for(events_of(size), days)
        done = measure([sys.executable, *simulation_command(landing, persons, days)])
        found = existing(landing)
        if found is None:
            raise BenchmarkError(f"nothing was simulated in {landing}")
        results.add(
            record(
                "data",
                "simulator",
                f"{size} {days}d",
                1,
                found.lines,
                done,
                found.bytes,
                {"persons": persons, "days": days},
            )
        )
    return found


def run_build(options: Options) -> None:
    """Tandem's full build against the bare limit and, where both are asked for, the rivals."""
    for size in options.sizes:
        platform = platform_of(options.results, size)
        subjects = [
            Subject("build", "tandem build", _tandem_build(options.results, size, platform)),
            Subject("build", "bare limit", _bare_build(options.results, size, platform)),
            Subject("build", RULES, _rules(options.results, size, platform)),
        ]
        if "rivals" in options.only:
            subjects += _rivals(options, size, platform)
        interleave(options.results, size, options.rounds, subjects)


def run_rivals(options: Options) -> None:
    """Five marts by other means, each held against Tandem's rows; and the full build beside."""
    for size in options.sizes:
        platform = platform_of(options.results, size)
        rivals = _rivals(options, size, platform)
        if rivals:
            run = _tandem_build(options.results, size, platform)
            subjects = [Subject("build", "tandem build", run), *rivals]
            interleave(options.results, size, options.rounds, subjects)
        if size == options.sizes[0] and platform.lines <= DBT_AT_MOST * 1.2:
            # Once: what it costs is the start of some forty processes, whatever the size.
            run = _dbt(options.results, size, platform)
            interleave(options.results, size, 1, [Subject("rivals", DBT, run)])


def built_home(results: Results, size: str) -> Path:
    """The home that the last full build of this size left."""
    return results.scratch("homes") / size


def _tandem_build(results: Results, size: str, platform: Platform) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        home = built_home(results, size)
        shutil.rmtree(home, ignore_errors=True)
        done = build(home, platform.landing)
        return record(
            "build",
            "tandem build",
            size,
            number,
            platform.lines,
            done,
            disk_bytes(home),
            facts_of(home),
        )

    return run


def build(home: Path, landing: Path) -> Measurement:
    """One `tandem build` as a user runs it. Raises BenchmarkError when it does not pass."""
    _know_project()
    return _build(home, landing)


@cache
def _know_project() -> None:
    """Have dbt's parse and compile at hand, as they are in every build but a user's first.

    They are kept for each user until the project changes; the bare limit gets its SQL compiled.
    """
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / "landing"
        _land_event(landing, "1")
        _build(Path(folder) / "home", landing)


def _build(home: Path, landing: Path) -> Measurement:
    given = {"TANDEM_HOME": str(home), "TANDEM_LANDING": str(landing), **_TELEMETRY_OFF}
    return measure(tandem("build", "--json"), given)


def facts_of(home: Path) -> dict[str, Any]:
    """Seconds by stage of the last build, bytes by folder, and rows of what grows with builds."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        stages = connection.execute(
            """
            select stage, seconds
            from control.stages
            where build_id = (select max_by(build_id, started_at) from control.builds)
            order by number
            """
        ).fetchall()
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'control'"
        ).fetchall()
        rows = {
            name: _one(connection, f"select count(*) from control.{name}") for (name,) in tables
        }
    return {
        "stages": dict(stages),
        "warehouse_bytes": disk_bytes(home / "warehouse.duckdb"),
        "serving_bytes": disk_bytes(home / "serving"),
        "dagster_bytes": disk_bytes(home / "dagster"),
        "control_rows": {name: count for name, count in rows.items() if count},
    }


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _rules(results: Results, size: str, platform: Platform) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        done = measure(python("rules", home=built_home(results, size)))
        values = json.loads(done.output.splitlines()[-1])
        return record("build", RULES, size, number, platform.lines, done, 0, values)

    return run


def _bare_build(results: Results, size: str, platform: Platform) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        prepared = results.scratch("prepared")
        if number == 1 or not (prepared / "models.json").exists():
            # Compiled anew for each size: the models may have changed since the last run.
            shutil.rmtree(prepared)
            measure(python("prepare", home=prepared))
        home = fresh(results, "bare")
        done = measure(python("bare-build", home=home, landing=platform.landing, prepared=prepared))
        return record(
            "build",
            "bare limit",
            size,
            number,
            platform.lines,
            done,
            disk_bytes(home),
            json.loads(done.output),
        )

    return run


def fresh(results: Results, name: str) -> Path:
    """An empty folder."""
    path = results.scratch(name)
    shutil.rmtree(path)
    path.mkdir()
    return path


def run_load(options: Options) -> None:
    """The load alone: Tandem, a bare typed read, dlt in two ways."""
    for size in options.sizes:
        platform = platform_of(options.results, size)
        works = {"tandem ingest": "load", "bare read": "bare-load", "dlt, Arrow": "dlt-arrow"}
        if platform.lines <= DLT_ROWS_AT_MOST * 1.2:
            works["dlt, dictionaries"] = "dlt-rows"
        if importlib.util.find_spec("dlt") is None:
            works = {name: work for name, work in works.items() if "dlt" not in name}
        subjects = [
            Subject("load", name, _load(options.results, name, work, size, platform))
            for name, work in works.items()
        ]
        interleave(options.results, size, options.rounds, subjects)


def _load(
    results: Results, name: str, work: str, size: str, platform: Platform
) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        home = fresh(results, "load")
        done = measure(python(work, home=home, landing=platform.landing), _TELEMETRY_OFF)
        values = {"lines_a_second": platform.lines / done.wall}
        size_on_disk = sum(disk_bytes(path) for path in home.glob("*.duckdb"))
        return record("load", name, size, number, platform.lines, done, size_on_disk, values)

    return run


def _rivals(options: Options, size: str, platform: Platform) -> list[Subject]:
    results = options.results
    if platform.lines > RIVALS_AT_MOST * 1.2:
        return []
    run = _tandem_five(results, size, platform)
    subjects = [Subject("rivals", "tandem, five marts", run)]
    for name, (work, given) in _installed_rivals(options.spark_python).items():
        run = _rival(results, name, work, size, platform, given)
        subjects.append(Subject("rivals", name, run))
    return subjects


def _installed_rivals(spark_python: Path | None) -> dict[str, tuple[str, dict[str, Path]]]:
    found: dict[str, tuple[str, dict[str, Path]]] = {"dagster and pandas": ("pandas", {})}
    if importlib.util.find_spec("polars") is not None:
        found["polars"] = ("polars", {})
    if spark_python is None and importlib.util.find_spec("pyspark") is not None:
        spark_python = Path(sys.executable)
    if spark_python is not None:
        found["spark local"] = ("spark", {"python": spark_python})
    return found


def _tandem_five(results: Results, size: str, platform: Platform) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        home = fresh(results, "five")
        done = measure(python("tandem-five", home=home, landing=platform.landing), _TELEMETRY_OFF)
        return record(
            "rivals",
            "tandem, five marts",
            size,
            number,
            platform.lines,
            done,
            disk_bytes(home),
            json.loads(done.output.splitlines()[-1]),
        )

    return run


def _rival(
    results: Results,
    name: str,
    work: str,
    size: str,
    platform: Platform,
    given: Mapping[str, Path],
) -> Callable[[int], Record]:
    from benchmarks.rivals import require_equal

    def run(number: int) -> Record:
        output = fresh(results, work)
        done = measure(
            python(work, landing=platform.landing, output=output, **given), _TELEMETRY_OFF
        )
        served = built_home(results, size) / "serving" / "marts.duckdb"
        if not served.exists():
            build(built_home(results, size), platform.landing)
        rows = require_equal(served, output)
        return record(
            "rivals",
            name,
            size,
            number,
            platform.lines,
            done,
            disk_bytes(output),
            {"equal_rows": rows},
        )

    return run


def _dbt(results: Results, size: str, platform: Platform) -> Callable[[int], Record]:
    """`dbt run` for each model of the five marts and what they read, a process each.

    On a copy of the built warehouse, so that raw is loaded and every model there; the load is
    not part of it.
    """
    from benchmarks.rivals.tandem_five import MODELS

    def run(number: int) -> Record:
        home = fresh(results, "dbt")
        shutil.copyfile(built_home(results, size) / "warehouse.duckdb", home / "warehouse.duckdb")
        key = (built_home(results, size) / "key").read_text("ascii")
        project = Path(__file__).resolve().parents[1] / "dbt_project"
        given = {
            "TANDEM_HOME": str(home),
            "TANDEM_WAREHOUSE": str(home / "warehouse.duckdb"),
            "TANDEM_KEY": key,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        where = ["--project-dir", str(project), "--profiles-dir", str(project)]
        where += ["--target-path", str(home / "target"), "--log-path", str(home / "logs")]
        dbt = str(Path(sys.executable).with_name("dbt"))
        listed = measure(
            [
                dbt,
                "--quiet",
                "ls",
                *where,
                "--resource-type",
                "model",
                "--output",
                "name",
                "--select",
                *(f"+{selector}" for selector in MODELS.values()),
            ],
            given,
        )
        names = listed.output.split()
        runs = [
            measure([dbt, "--quiet", "run", *where, "--full-refresh", "--select", name], given)
            for name in names
        ]
        total = Measurement(
            wall=sum(one.wall for one in runs),
            cpu=sum(one.cpu for one in runs),
            peak_bytes=max(one.peak_bytes for one in runs),
            foreign_share=sum(one.foreign_share * one.wall for one in runs)
            / sum(one.wall for one in runs),
            output="",
        )
        return record(
            "rivals",
            DBT,
            size,
            number,
            platform.lines,
            total,
            disk_bytes(home / "warehouse.duckdb"),
            {"models": len(names)},
        )

    return run


def run_incremental(options: Options) -> None:
    """One more day on 180 and on 90 days of history, a build of nothing new, and a tiny one."""
    results, size = options.results, options.history
    platform = platform_of(results, size, HISTORY_DAYS + 1)
    pieces = results.folder / "data" / f"{size}-pieces"
    split(platform.landing, pieces, [END_DATE - timedelta(days=SHORT_DAYS), END_DATE])
    old, recent, last = (pieces / f"{number:04}" for number in range(3))
    structure = tuple(log for log in _logs() if log not in FLOWS)
    subjects = [
        Subject(
            "incremental",
            name,
            _incremental(results, name, size, platform, old, recent, last, structure),
        )
        for name in ("180 days", "90 days")
    ]
    subjects.append(Subject("incremental", "tiny full build", _tiny(results, size)))
    interleave(results, size, options.rounds, subjects)


def _logs() -> list[str]:
    from orchestration.contracts import contracts

    return list(contracts())


def _incremental(
    results: Results,
    name: str,
    size: str,
    platform: Platform,
    old: Path,
    recent: Path,
    last: Path,
    structure: Sequence[str],
) -> Callable[[int], Record]:
    """The full build of the history, then one more day, then nothing; the day is the record."""

    def run(number: int) -> Record:
        folder = fresh(results, f"incremental {name}")
        landing, home = folder / "landing", folder / "home"
        link([old], landing, None if name == "180 days" else structure)
        link([recent], landing)
        full = build(home, landing)
        full_facts = facts_of(home)
        link([last], landing)
        day = build(home, landing)
        day_facts = facts_of(home)
        nothing = build(home, landing)
        values = {
            "full_wall": full.wall,
            "full_cpu": full.cpu,
            "full_peak_bytes": full.peak_bytes,
            "full_stages": full_facts["stages"],
            "stages": day_facts["stages"],
            "nothing_wall": nothing.wall,
            "nothing_cpu": nothing.cpu,
            "day_lines": _last_batch(home),
        }
        return record(
            "incremental", name, size, number, platform.lines, day, disk_bytes(home), values
        )

    return run


def _last_batch(home: Path) -> int:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return _one(connection, "select max_by(lines_read, batch_id) from control.batches")


def _tiny(results: Results, size: str) -> Callable[[int], Record]:
    def run(number: int) -> Record:
        folder = fresh(results, "tiny")
        landing, home = folder / "landing", folder / "home"
        _land_event(landing, "1")
        first = build(home, landing)
        _land_event(landing, "2")
        second = build(home, landing)
        nothing = build(home, landing)
        values = {
            "second_wall": second.wall,
            "second_cpu": second.cpu,
            "nothing_wall": nothing.wall,
            "nothing_cpu": nothing.cpu,
            "stages": facts_of(home)["stages"],
        }
        return record(
            "incremental", "tiny full build", size, number, 1, first, disk_bytes(home), values
        )

    return run


def _land_event(landing: Path, event_id: str) -> None:
    log = landing / "community" / "events"
    log.mkdir(parents=True, exist_ok=True)
    event = {
        "source": "plaza",
        "event_id": event_id,
        "account_id": "1",
        "event_type": "read",
        "occurred_at": "2026-06-30T08:00:00Z",
    }
    (log / f"{event_id}.jsonl").write_text(json.dumps(event) + "\n", "utf-8")


def run_year(options: Options) -> None:
    """A build a day, each with that day's files; one record a day, so that it can be resumed."""
    results = options.results
    size = f"{options.days} days"
    platform = platform_of(results, "year", options.days, YEAR_PERSONS)
    pieces = results.folder / "data" / f"year-{options.days}d-pieces"
    split(platform.landing, pieces, last_days(options.days))
    folder = results.scratch(f"year {options.days}")
    landing, home = folder / "landing", folder / "home"

    def run(number: int) -> Record:
        piece = pieces / f"{number - 1:04}"
        # A build that was stopped is done again: its files are in the ledger or taken now.
        link([piece], landing)
        done = build(home, landing)
        facts = facts_of(home) | {"home_bytes": disk_bytes(home)}
        lines = _last_batch(home)
        return record("year", "day", size, number, lines, done, disk_bytes(home), facts)

    interleave(results, size, options.days, [Subject("year", "day", run)])


def run_cold(options: Options) -> None:
    """How long the commands take that people wait for, on a warehouse that is built."""
    results = options.results
    home = results.scratch("homes") / "cold"
    landing = platform_of(results, "20k").landing
    if not (home / "serving" / "marts.duckdb").exists():
        shutil.rmtree(home, ignore_errors=True)
        build(home, landing)
    given = {"TANDEM_HOME": str(home), "TANDEM_LANDING": str(landing), **_TELEMETRY_OFF}
    commands = {
        "tandem --help": tandem("--help"),
        "tandem status": tandem("status"),
        "code location": [sys.executable, "-c", "import orchestration.definitions"],
    }
    for command in commands.values():
        # The first start after an installation writes byte code; that is not measured.
        measure(command, given)

    def subject(name: str, command: list[str]) -> Subject:
        def run(number: int) -> Record:
            return record("cold", name, "", number, 0, measure(command, given))

        return Subject("cold", name, run)

    interleave(
        results,
        "",
        max(COLD_ROUNDS, options.rounds),
        [subject(name, command) for name, command in commands.items()],
    )


PARTS: dict[str, Callable[[Options], None]] = {
    "data": run_data,
    "cold": run_cold,
    "load": run_load,
    "build": run_build,
    "rivals": run_rivals,
    "incremental": run_incremental,
    "year": run_year,
}
"""Part → what measures it, the short ones first."""
