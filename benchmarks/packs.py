"""What audience packs cost, and what they are still good for: `python -m benchmarks.packs`.

Makes a population whose interest in one theme is known, then builds, in a process each:
- `rows`: seven columns at the default guarantee; bars at 1 M eligible persons: 10 s, gate 90 s;
- `counts`: some 100,000 cells; bars: 15 s, gate 90 s; 2 GB each;
and prints CPU and wall seconds of build and gate, and peak memory. `--persons 10000000 --pack rows
--no-gate` is the large case (45 s, 8 GB). Of the rows pack it prints the lift at 10 %: a recipient
bands prospects whom the pack never saw with the shipped `recode.sql`, joins on the columns and
takes the best tenth; bar: 0.9 × the lift by the raw data of everybody.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from orchestration.audience.attacks import run_attacks
from orchestration.audience.interface import AttackContext, AttackResult
from orchestration.audience.release import build_pack
from orchestration.ingest.tables import create_tables
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

NOW = datetime.fromisoformat("2026-07-01 08:00")
INTEREST = "gaming"
REGIONS = tuple(f"R{number:02d}" for number in range(31))
CHANNELS = tuple(f"ch{number:02d}" for number in range(16))
TOPICS = (INTEREST, "career", "reading", "fitness", "travel")
QUASI_IDENTIFIERS = ("region", "age_band", "tier", "activity", "tenure", "reading")
_AREAS = {region: f"area {number % 7}" for number, region in enumerate(REGIONS)}

ROWS_PACK = f"""\
pack: rows
product: rows
purpose: coldstart
recipients: [growth]
population: community
unit: person
window_days: 30
recode:
  region: {{map: {{{", ".join(f"{region}: {area}" for region, area in _AREAS.items())}}}}}
  age_band: {{}}
  tier: {{}}
  activity: {{column: active_days, cuts: [8]}}
  tenure: {{column: tenure_days, cuts: [180]}}
  reading: {{column: reads, cuts: [20]}}
  topic: {{column: top_topic, values: [{", ".join(TOPICS)}]}}
sensitive: [topic]
guarantee: {{epsilon: 1, delta: 1e-8, beta: 0.3, k: 50, l: 3, alpha: 0.5, t: 0.6}}
ttl_days: 90
"""
COUNTS_PACK = f"""\
pack: counts
product: counts
purpose: planning
recipients: [supply]
population: community
unit: person
window_days: 30
recode:
  channel: {{values: [{", ".join(CHANNELS)}]}}
  region: {{values: [{", ".join(REGIONS)}]}}
  age_band: {{}}
  tier: {{}}
  week: {{}}
clamps:
  channel_reads: [0, 50]
max_cells_per_person: 6
noise: laplace
keys: public
guarantee: {{epsilon: 0.2}}
ttl_days: 30
"""
PACKS = {"rows": ROWS_PACK, "counts": COUNTS_PACK}


def main() -> None:
    """Print what each pack costs and the rows pack's lift."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--pack", choices=sorted(PACKS), nargs="+", default=sorted(PACKS))
    parser.add_argument("--no-gate", action="store_true", help="time the build alone")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_world(Path(folder), arguments.persons, arguments.threads)
        for pack in arguments.pack:
            # A process each, so that its peak is its own.
            child = multiprocessing.get_context("spawn").Process(
                target=measure, args=(settings, pack, not arguments.no_gate)
            )
            child.start()
            child.join()
            if child.exitcode:
                raise SystemExit(child.exitcode)
        if "rows" in arguments.pack:
            kept, raw = lifts(settings, min(arguments.persons, 1_000_000))
            print(f"lift at 10 %: pack {kept:.3f}, raw {raw:.3f}, {100 * kept / raw:.1f} % of it")


def measure(settings: Settings, pack: str, with_gate: bool) -> None:
    """Build one pack and print its seconds and this process's peak memory."""
    gate = [0.0, 0.0]

    def attacks(context: AttackContext) -> list[AttackResult]:
        if not with_gate:
            return [AttackResult("not_run", 0.0, 1.0, passed=True)]
        before = _clocks()
        found = run_attacks(context)
        gate[:] = [after - start for after, start in zip(_clocks(), before, strict=True)]
        return found

    before = _clocks()
    release = build_pack(settings, pack, now=NOW, attacks=attacks)
    cpu, wall = (after - start for after, start in zip(_clocks(), before, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows = release.manifest["files"][f"{pack}.parquet"]["rows"]
    print(
        f"{pack:7} build {cpu - gate[0]:6.1f} s CPU {wall - gate[1]:6.1f} s wall   "
        f"gate {gate[0]:6.1f} s CPU {gate[1]:6.1f} s wall   peak {peak:.2f} GB   {rows:,} rows",
        flush=True,
    )


def make_world(home: Path, persons: int, threads: int = 2) -> Settings:
    """A home whose warehouse holds every table that the two packs read, for so many eligible."""
    folder = home / "packs"
    folder.mkdir(parents=True)
    for name, text in PACKS.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    settings = Settings.model_validate(
        {"home": home, "key": "ab" * 32, "threads": threads, "audience": {"packs": [str(folder)]}}
    )
    with open_warehouse(settings) as connection:
        _fill(connection, persons)
    return settings


def lifts(settings: Settings, prospects: int) -> tuple[float, float]:
    """The lift at 10 % of the released rows pack, and of the raw data, on the same prospects.

    The interest's share among the tenth with the best scores, over its share among all. A
    prospect's score is that share among the rows of the same columns (of the pack; or of every
    eligible person's own values, unsampled, with the exact days and reads), or the overall share
    where there is none.
    """
    folder = settings.home / "exports" / "rows" / "v001"
    with open_warehouse(settings, read_only=True) as connection:
        connection.execute(
            f"create temp table audience as select *, person_id as prospect_id "
            f"from ({_persons_sql(prospects, salt='prospect')})"
        )
        recode = (folder / "recode.sql").read_text(encoding="utf-8")
        connection.execute(f"create temp table banded as {recode}")
        connection.execute(
            f"create temp table pack as from read_parquet({literal(folder / 'rows.parquet')})"
        )
        kept = _lift(connection, "pack", "topic", "banded", QUASI_IDENTIFIERS)
        connection.execute(
            """
            create temp table everybody as
            select persons.*, tiers.tier, features.active_days, features.tenure_days,
                features.reads, features.top_topic
            from dim.persons as persons
            inner join users.tier_history as tiers using (person_id)
            inner join intermediate.int_audience_features as features using (person_id)
            where features.is_eligible and features.window_days = 30
            """
        )
        exact = ("region", "age_band", "tier", "active_days", "tenure_days // 90", "reads // 10")
        raw = _lift(connection, "everybody", "top_topic", "audience", exact)
    return kept, raw


def _lift(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    interest: str,
    prospects: str,
    columns: Sequence[str],
) -> float:
    items = ", ".join(f"{column} as c{number}" for number, column in enumerate(columns))
    keys = ", ".join(f"c{number}" for number in range(len(columns)))
    return float(
        connection.execute(
            f"""
            with scores as (
                select {items}, avg(cast({interest} = '{INTEREST}' as integer)) as score
                from {source} group by {keys}
            ),

            overall as (
                select avg(cast({interest} = '{INTEREST}' as integer)) as score from {source}
            ),

            banded as (select prospect_id, {items} from {prospects}),

            ranked as (
                select
                    prospect_id,
                    row_number() over (
                        order by coalesce(scores.score, overall.score) desc, hash(prospect_id)
                    ) as place
                from banded
                left join scores using ({keys})
                cross join overall
            )

            select
                avg(cast(top_topic = '{INTEREST}' as integer))
                    filter (where place <= (select count(*) from audience) / 10)
                / avg(cast(top_topic = '{INTEREST}' as integer))
            from ranked
            inner join audience using (prospect_id)
            """
        ).fetchall()[0][0]
    )


def _persons_sql(persons: int, *, salt: str) -> str:
    """Persons with what packs read of them; who is interested follows from all of it, by chance."""
    regions, channels = len(REGIONS), len(CHANNELS)
    topics = ", ".join(literal(topic) for topic in TOPICS[1:])
    return f"""
        with numbers as (
            select
                n, md5('{salt}' || n) as person_id,
                hash(n, '{salt}1') % 10000 / 10000 as a, hash(n, '{salt}2') % 10000 / 10000 as b,
                hash(n, '{salt}3') % 10000 / 10000 as c, hash(n, '{salt}4') % 10000 / 10000 as d,
                hash(n, '{salt}5') % 10000 / 10000 as e, hash(n, '{salt}6') % 10000 / 10000 as f
            from range({persons}) as range (n)
        ),

        drawn as (
            select
                *,
                cast(floor({regions} * a * a) as integer) as region_number,
                cast(floor(4 * b * b) as integer) as age_number,
                cast(floor(30 * c * c) as bigint) as active_days,
                cast(floor(720 * d * d) as bigint) as tenure_days,
                cast(floor(60 * e * (0.5 + c / 2)) as bigint) as reads
            from numbers
        ),

        leaning as (
            select
                *,
                0.04 * (1 + region_number % 7 * 0.5) * (2.2 - 0.5 * age_number)
                * (0.6 + 1.2 * c) * (1.3 - 0.5 * d) as interested
            from drawn
        )

        select
            person_id,
            'R' || lpad(cast(region_number as varchar), 2, '0') as region,
            (['18_24', '25_34', '35_44', '45_54'])[1 + age_number] as age_band,
            (['dormant', 'lurker', 'active', 'core'])[
                1 + cast(least(active_days // 6, 3) as integer)
            ] as tier,
            active_days, tenure_days, reads,
            case
                when f < interested then '{INTEREST}'
                else ([{topics}])[
                    1 + cast(floor(4 * (f - interested) / (1 - interested)) as integer)
                ]
            end as top_topic,
            'ch' || lpad(cast(floor({channels} * b * e) as varchar), 2, '0') as top_channel,
            n
        from leaning
    """


def _fill(connection: duckdb.DuckDBPyConnection, persons: int) -> None:
    create_tables(connection)
    for schema in ("intermediate", "dim", "users"):
        connection.execute(f"create schema {schema}")
    connection.execute("insert into control.parameters (as_of_date) values (date '2026-06-30')")
    connection.execute(
        "insert into control.builds values ('b1', now(), now(), 1, date '2026-06-30', 's', 'c', "
        "'published')"
    )
    connection.execute(f"create temp table people as {_persons_sql(persons, salt='person')}")
    connection.execute(
        """
        create table intermediate.int_audience_features as
        select
            person_id, cast(window_days as bigint) as window_days, true as is_eligible,
            tenure_days, active_days, reads, top_topic, top_channel
        from people, (values (30), (90)) as windows (window_days)
        """
    )
    connection.execute(
        "create table dim.persons as "
        "select person_id, region, age_band, 'organic' as acquisition_channel from people"
    )
    connection.execute(
        "create table users.tier_history as "
        "select person_id, tier, cast(null as date) as valid_to from people"
    )
    # Six rows a person on average: more than the counts pack takes of every third one.
    connection.execute(
        f"""
        create table intermediate.int_audience_person_weeks as
        select
            person_id, week_start,
            'ch' || lpad(cast(hash(n, visit) % {len(CHANNELS)} as varchar), 2, '0') as channel,
            cast(1 + hash(n, visit, 1) % 7 as bigint) as channel_days,
            cast(hash(n, visit, 2) % 60 as bigint) as channel_reads,
            cast(0 as bigint) as channel_reactions
        from people,
            (values (date '2026-06-01'), (date '2026-06-08'), (date '2026-06-15'),
                (date '2026-06-22')) as weeks (week_start),
            range(3) as visits (visit)
        where hash(n, week_start, visit) % 2 = 0
        """
    )
    connection.execute("drop table people")


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


if __name__ == "__main__":
    main()
