"""A warehouse with generated features, for packs: as large as one likes, without a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from orchestration.audience.interface import AttackContext, AttackResult
from orchestration.ingest.tables import create_tables
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import test_settings

REGIONS = ("CN-BJ", "CN-SH", "CN-GD", "CN-ZJ", "CN-SC", "HK")
TOPICS = ("career", "reading", "fitness", "coding", "travel", "film")

ROWS_PACK = """\
pack: seeds
product: rows
purpose: coldstart
recipients: [growth]
population: community
unit: person
window_days: 30
recode:
  region: {map: {CN-BJ: north, CN-SH: east, CN-ZJ: east, CN-GD: south, CN-SC: west}}
  age_band: {}
  activity: {column: active_days, cuts: [4, 12]}
  topic: {column: top_topic, values: [career, reading, fitness, coding, travel, film]}
sensitive: [topic]
guarantee: {epsilon: 1, delta: 1e-8, beta: 0.3, k: 50, l: 3, alpha: 0.5, t: 0.6}
ttl_days: 90
"""
COUNTS_PACK = """\
pack: demand
product: counts
purpose: planning
recipients: [supply]
population: community
unit: person
window_days: 30
recode:
  channel: {values: [a, b, c]}
  region: {map: {CN-BJ: north, CN-SH: east, CN-ZJ: east, CN-GD: south, CN-SC: west}}
  week: {}
clamps:
  channel_days: [0, 7]
max_cells_per_person: 4
noise: laplace
keys: public
guarantee: {epsilon: 0.2}
ttl_days: 30
"""


def make_world(home: Path, persons: int, packs: dict[str, str], **values: Any) -> Settings:
    """Settings over a warehouse of generated persons; `packs` are its definitions by name."""
    folder = home / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in packs.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    policy = {"packs": [str(folder)]} | values.pop("audience", {})
    settings = test_settings(home, audience=policy, **values)
    with open_warehouse(settings) as connection:
        fill(connection, persons)
    return settings


def fill(connection: duckdb.DuckDBPyConnection, persons: int) -> None:
    """Every table that packs read, from hashes of the person's number: the same each time."""
    connection.begin()
    create_tables(connection)
    for schema in ("intermediate", "dim", "users", "content"):
        connection.execute(f"create schema if not exists {schema}")
    connection.execute("insert into control.parameters (as_of_date) values (date '2026-06-30')")
    connection.execute(
        "insert into control.builds values ('b1', now(), now(), 1, date '2026-06-30', 's', 'c', "
        "'published')"
    )
    topics = ", ".join(f"'{topic}'" for topic in TOPICS)
    regions = ", ".join(f"'{region}'" for region in REGIONS)
    connection.execute(
        f"""
        create temp table people as
        select
            md5(cast(n as varchar)) as person_id,
            cast(hash(n) % 1000 as bigint) as a, cast(hash(n, 1) % 1000 as bigint) as b,
            cast(hash(n, 2) % 1000 as bigint) as c, cast(hash(n, 3) % 1000 as bigint) as d, n
        from range({persons}) as t (n)
        """
    )
    connection.execute(
        f"""
        create table intermediate.int_audience_features as
        select
            person_id, cast(window_days as bigint) as window_days, a >= 50 as is_eligible,
            cast(b + 1 as bigint) as tenure_days,
            cast((c * c) // 34000 as bigint) as active_days,
            cast(c // 100 as bigint) as community_days, cast(d // 100 as bigint) as group_days,
            cast(b // 100 as bigint) as contributions, cast(c // 50 as bigint) as reactions,
            cast(d // 10 as bigint) as reads, cast(a // 250 as bigint) as groups,
            cast(b // 300 as bigint) as orders, cast(b * 100 as bigint) as spend_minor,
            ([{topics}])[
                case when d < 250 then 1 + (a // 170) % 6 else 1 + cast(sqrt(d) * 6 / 32 as int) end
            ] as top_topic,
            'plaza/ch' || (c % 3) as top_channel
        from people, (values (30), (90)) as w (window_days)
        """
    )
    connection.execute(
        f"""
        create table dim.persons as
        select
            person_id, ([{regions}])[1 + cast(sqrt(b) * 6 / 32 as int)] as region,
            (['18_24', '25_34', '35_44', '45_54'])[1 + a // 250] as age_band,
            'organic' as acquisition_channel
        from people
        """
    )
    connection.execute(
        """
        create table users.tier_history as
        select person_id, (['dormant', 'lurker', 'active', 'core'])[1 + c // 250] as tier,
            date '2026-06-01' as valid_from, cast(null as date) as valid_to
        from people
        """
    )
    connection.execute("create table users.rfm (person_id varchar, segment varchar)")
    connection.execute("create table content.creators_28d (person_id varchar, tier varchar)")
    connection.execute(
        """
        create table intermediate.int_audience_person_weeks as
        select person_id, week_start, channel, cast(1 + (c + d) % 9 as bigint) as channel_days,
            cast(d % 60 as bigint) as channel_reads, cast(a % 5 as bigint) as channel_reactions
        from people,
            (values (date '2026-06-08'), (date '2026-06-15'), (date '2026-06-22'))
            as w (week_start),
            (values ('a'), ('b'), ('c'), ('x')) as ch (channel)
        where (n + day(week_start) + ascii(channel)) % 3 = 0
        """
    )
    connection.execute("drop table people")
    connection.commit()


def passing(context: AttackContext) -> list[AttackResult]:
    """A gate of one attack that passes, for tests of everything but the gate."""
    rows = context.connection.execute("select count(*) from released").fetchall()[0][0]
    return [AttackResult("stub", 0.0, 1.0, passed=rows > 0)]


def blocking(_: AttackContext) -> list[AttackResult]:
    """A gate that one attack breaks."""
    return [AttackResult("stub", 1.0, 0.5, passed=False)]
