"""Candidate packs for the attack suite, by the builder's own code, honest or broken on purpose."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.audience import counts, rows
from orchestration.audience.attacks import run_attacks
from orchestration.audience.files import released_table, write_data
from orchestration.audience.interface import (
    AttackContext,
    AttackResult,
    Column,
    Guarantee,
    Measure,
    PackSpec,
)

PERSONS = 20_000
REGIONS = tuple(f"r{number:02}" for number in range(12))
LEVELS = tuple("abcd")
BANDS = ("<7", "7~13", "14~20", ">=21")
TOPICS = tuple(f"topic_{number}" for number in range(6))
WEEKS = tuple(f"2026-01-{day:02}" for day in (5, 12, 19, 26))
SALT = b"the key of the warehouse, 32 by."
VOCABULARIES = {"region": REGIONS, "level": LEVELS, "band": BANDS, "topic": TOPICS}

PEOPLE = f"""
create table people as
with numbered as (
    select
        i,
        md5_number_lower(i || ':region') % 1000 / 1000.0 as u_region,
        md5_number_lower(i || ':level') % 1000 / 1000.0 as u_level,
        md5_number_lower(i || ':days') % 1000 / 1000.0 as u_days,
        md5_number_lower(i || ':topic') % 1000 / 1000.0 as u_topic
    from range({PERSONS}) as persons (i)
)

select
    substr(md5('person' || i), 1, 32) as person_id,
    '13' || (100000000 + md5_number_lower(i || ':phone') % 899999999) as phone,
    printf('r%02d', cast(floor(12 * u_region * u_region * u_region) as integer)) as region,
    substr('abcd', 1 + cast(floor(4 * u_level * u_level) as integer), 1) as level,
    cast(floor(28 * u_days * u_days) as integer) as days,
    'topic_' || (
        cast(floor(6 * u_topic * u_topic + 2 * u_region) as integer) % 6
    ) as topic,
    true as is_eligible
from numbered
"""

BAND = (
    "case when days < 7 then '<7' when days < 14 then '7~13' when days < 21 then '14~20' "
    "else '>=21' end"
)


def rows_spec(pack: str = "gamers", columns: tuple[str, ...] = tuple(VOCABULARIES)) -> PackSpec:
    return PackSpec(
        pack=pack,
        product="rows",
        purpose="cold_start",
        recipients=("growth",),
        population="community",
        window_days=30,
        ttl_days=90,
        segment=(),
        recode=(),
        columns=tuple(
            Column(
                name,
                "VARCHAR",
                "sensitive" if name == "topic" else "quasi_identifier",
                VOCABULARIES[name],
                ordered=name == "band",
            )
            for name in columns
        ),
        guarantee=Guarantee(epsilon=1.0, delta=1e-8, beta=0.3, k=15, l=2, alpha=0.8, t=0.6),
        sha256="ab" * 32,
        path=Path("gamers.yml"),
    )


def counts_spec(keys: str = "public", columns: tuple[str, ...] = ("region", "week")) -> PackSpec:
    vocabularies = VOCABULARIES | {"week": WEEKS}
    return PackSpec(
        pack="demand",
        product="counts",
        purpose="supply",
        recipients=("growth",),
        population="community",
        window_days=30,
        ttl_days=90,
        segment=(),
        recode=(),
        columns=(
            *(
                Column(
                    name,
                    "VARCHAR",
                    {"week": "feature", "topic": "sensitive"}.get(name, "quasi_identifier"),
                    vocabularies[name],
                )
                for name in columns
            ),
            Column("persons", "BIGINT", "measure"),
        ),
        guarantee=Guarantee(epsilon=1.0, delta=1e-8 if keys == "thresholded" else 0.0),
        sha256="cd" * 32,
        path=Path("demand.yml"),
        max_cells_per_person=1,
        keys=keys,
    )


@dataclass
class Flaws:
    """What is wrong with a candidate. Nothing by default.

    `built_as` changes the definition that the builder follows, not the one that is judged;
    `population` is the SQL of the population; `pseudonym` an SQL text that is published too.
    """

    built_as: Callable[[PackSpec], PackSpec] = lambda spec: spec
    population: str = ""
    keeps_coins: bytes | None = None
    filters: bool = True
    eligibility: str = "is_eligible"
    pseudonym: str = ""
    key_in_manifest: bool = False
    shuffles: bool = False
    ledger: tuple[str, ...] = ("reserved", "charged", "candidate")
    another_draw: bool = False
    noise: float = 1.0
    bounded_as: Callable[[PackSpec], PackSpec] | None = None
    bounded: str = ""
    previous: list[Path] = field(default_factory=list)
    canaries: int = 200
    k_of: tuple[str, ...] = ()
    threshold: int | None = None


@dataclass
class Candidate:
    """A candidate in a folder with its context."""

    folder: Path
    spec: PackSpec
    flaws: Flaws
    connection: duckdb.DuckDBPyConnection
    coins: bytes

    def redo(
        self,
        table: str,
        *,
        without: Collection[str] = (),
        coins: bytes | None = None,
        planted: bool = False,
        filtered: bool = False,
    ) -> None:
        flaws, built = self.flaws, self.flaws.built_as(self.spec)
        source = "people where " + (flaws.eligibility if not planted else "true")
        ids = ", ".join(f"'{each}'" for each in without) or "''"
        source += f" and person_id not in ({ids})"
        self.connection.execute(
            f"create or replace temp table persons as {self.population_sql(source)}"
        )
        if self.spec.product == "counts":
            if flaws.bounded:
                self.connection.execute(
                    f"""
                    create or replace table {table} as
                    select {", ".join(self.spec.key_columns)}, count(*) as persons
                    from ({flaws.bounded.format(persons="persons")})
                    group by all
                    """
                )
            else:
                counts.build_cells(self.connection, built, table, persons="persons")
            return
        key = flaws.keeps_coins or coins or self.coins
        if flaws.k_of:
            self.class_cells(table, key)
            return
        rows.build_cells(self.connection, built, table, key, persons="persons")
        if filtered and flaws.filters:
            rows.filter_classes(self.connection, built, table, table)

    def class_cells(self, table: str, key: bytes) -> None:
        """k on the class alone, as k-anonymity is usually read."""
        whole = ", ".join(self.spec.key_columns)
        loose = replace(self.spec, guarantee=replace(self.spec.guarantee, k=1))
        rows.build_cells(self.connection, loose, "loose", key, persons="persons")
        self.connection.execute(
            f"create or replace table {table} as select {whole}, cell_rows from loose "
            f"qualify sum(cell_rows) over (partition by {', '.join(self.flaws.k_of)}) >= 15"
        )

    def population_sql(self, source: str) -> str:
        if self.flaws.population:
            return self.flaws.population.format(source=source)
        if self.spec.product == "counts":
            week = f"""
                with source as (select * from {source})
                select person_id, {", ".join(self.spec.key_columns)}, days from (
                    select source.*, {BAND} as band, week, n
                    from source cross join (
                        select unnest({list(WEEKS)}) as week, unnest([0, 1, 2, 3]) as n
                    )
                    where n * 5 <= days
                )
            """
            names = ", ".join([*self.spec.key_columns, *(m.name for m in self.spec.measures)])
            return f"select person_id, {names} from ({week}) group by all"
        columns = ", ".join(
            f"{BAND} as band" if name == "band" else name for name in self.spec.key_columns
        )
        return f"select person_id, {columns} from {source}"

    def bound(self) -> None:
        if self.flaws.bounded:
            bounded = self.flaws.bounded.format(persons="population")
            self.connection.execute(f"create table bounded as {bounded}")
            return
        said = self.flaws.bounded_as or self.flaws.built_as
        counts.create_bounded(self.connection, said(self.spec))

    def rewrite(self, folder: Path) -> Mapping[str, str]:
        table = released_table(self.connection, self.file_spec, "drawn")
        if self.flaws.shuffles:
            self.connection.register("ordered", table)
            table = self.connection.execute(
                "select * from ordered order by uuid()"
            ).to_arrow_table()
            self.connection.unregister("ordered")
        return write_data(folder, self.file_spec, table)

    @property
    def file_spec(self) -> PackSpec:
        if not self.flaws.pseudonym:
            return self.spec
        return replace(
            self.spec,
            columns=(*self.spec.columns, Column("pseudonym", "VARCHAR", "quasi_identifier")),
        )

    @property
    def context(self) -> AttackContext:
        return AttackContext(
            connection=self.connection,
            spec=self.spec,
            version=1,
            folder=self.folder,
            previous=self.flaws.previous,
            redo=self.redo,
            rewrite=self.rewrite,
            secrets=(self.coins, SALT),
        )

    def attack(self) -> dict[str, AttackResult]:
        return {found.id: found for found in run_attacks(self.context)}

    def red(self) -> set[str]:
        return {name for name, found in self.attack().items() if not found.passed}


def make_candidate(folder: Path, spec: PackSpec, flaws: Flaws | None = None) -> Candidate:
    """Build a candidate as the builder does: population, draw, files, ledger."""
    flaws = flaws or Flaws()
    folder.mkdir(parents=True)
    connection = duckdb.connect(":memory:", config={"threads": "1"})
    candidate = Candidate(folder, spec, flaws, connection, coins_of(spec, folder))
    connection.register("generated", people())
    connection.execute("create table people as select * from generated")
    connection.unregister("generated")
    plant(connection, flaws.canaries)
    connection.execute(
        "create table population as "
        + candidate.population_sql(f"people where {flaws.eligibility}")
    )
    connection.execute(
        """
        create table known_ids as
        select 'person' as kind, person_id as id from people
        union all
        select 'phone', phone from people
        """
    )
    candidate.redo("cells", filtered=True)
    if spec.product == "counts":
        candidate.bound()
        draw_counts(candidate)
    else:
        draw_rows(candidate)
    candidate.rewrite(folder)
    write_manifest(candidate)
    connection.execute(
        f"create table released as select * from read_parquet('{folder}/{spec.product}.parquet')"
    )
    write_ledger(candidate)
    return candidate


@cache
def people() -> pa.Table:
    """The same persons in every test."""
    connection = duckdb.connect(":memory:")
    connection.execute(PEOPLE)
    return connection.execute("select * from people").to_arrow_table()


def coins_of(spec: PackSpec, folder: Path) -> bytes:
    """Coins that are the same in every run of the tests, and others for another pack."""
    return hashlib.sha256(f"{spec.pack}/{folder.name}".encode()).digest()


def plant(connection: duckdb.DuckDBPyConnection, wanted: int) -> None:
    connection.execute(
        f"""
        create table canaries as
        select
            'canary-' || md5('canary' || i) as person_id,
            ['minor', 'no_consent', 'erased', 'id_in_text', 'one_person_city'][1 + i % 5] as kind,
            'planted-' || md5('text' || i) as planted_text,
            i % 5 >= 3 as is_eligible
        from range({wanted}) as planted (i)
        """
    )
    connection.execute(
        """
        insert into people
        select person_id, planted_text, 'r11', 'd', 27, 'topic_0', false
        from canaries
        """
    )


def draw_rows(candidate: Candidate) -> None:
    pseudonym = candidate.flaws.pseudonym
    if not pseudonym:
        candidate.connection.execute("create table drawn as select * from cells")
        return
    keys = ", ".join(candidate.spec.key_columns)
    candidate.connection.execute(
        f"""
        create table drawn as
        with placed as (
            select *, row_number() over (partition by {keys} order by person_id) as place
            from population
        )

        select {keys}, {pseudonym} as pseudonym, 1 as cell_rows
        from placed
        inner join (select person_id, phone from people) using (person_id)
        inner join (select {keys}, cell_rows from cells) using ({keys})
        where place <= cell_rows
        """
    )


def draw_counts(candidate: Candidate) -> None:
    connection, spec = candidate.connection, candidate.spec
    plan = counts.plan_noise(spec)
    factor = candidate.flaws.noise
    if factor:
        plan = replace(plan, scales={name: scale * factor for name, scale in plan.scales.items()})
        counts.draw(connection, spec, "cells", "drawn", plan)
        return
    threshold = candidate.flaws.threshold or plan.threshold
    having = f"where persons >= {threshold}" if spec.keys == "thresholded" else ""
    connection.execute(f"create table drawn as select * from cells {having}")


def write_manifest(candidate: Candidate) -> None:
    spec = candidate.file_spec
    manifest = {
        "kind": spec.product,
        "columns": [{"name": c.name, "role": c.role} for c in spec.columns],
        "guarantee": {"epsilon": spec.guarantee.epsilon, "beta": spec.guarantee.beta},
    }
    if candidate.flaws.key_in_manifest:
        manifest["coins"] = candidate.coins.hex()
    (candidate.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def write_ledger(candidate: Candidate) -> None:
    spec, connection = candidate.spec, candidate.connection
    connection.execute(
        "create table ledger (seq bigint, entry bigint, status varchar, pack varchar, "
        "version bigint, spec_sha256 varchar, snapshot_id varchar, epsilon double, delta double)"
    )
    steps = [(1, 1, status) for status in candidate.flaws.ledger]
    if candidate.flaws.another_draw:
        steps += [(2, 2, "released")]
    for seq, (entry, version, status) in enumerate(steps, start=1):
        connection.execute(
            "insert into ledger values (?, ?, ?, ?, ?, ?, 'snapshot', ?, ?)",
            [
                *(seq, entry, status, spec.pack, version, spec.sha256),
                *(spec.guarantee.epsilon, spec.guarantee.delta),
            ],
        )


def measured(spec: PackSpec) -> PackSpec:
    """The definition with one more measure: days, clamped to 0 to 20."""
    return replace(
        spec,
        measures=(Measure("days", "days", 0, 20),),
        columns=(*spec.columns, Column("days", "BIGINT", "measure")),
    )
