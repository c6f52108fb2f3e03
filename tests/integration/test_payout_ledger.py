"""The payout ledger over a life of changes, and around kills: the models' own SQL, in seconds.

dbt compiles the ledger's models once; the properties then run that SQL on small made-up payouts,
with the very functions that a build calls.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestration.errors import TandemError
from orchestration.ingest.tables import CONTROL_TABLES, LEDGER_TABLES
from orchestration.payouts import bring_ledger, keep_ledger, post, verify
from orchestration.payouts.ledger import GENESIS, _first_broken
from orchestration.plan import DBT_PROJECT
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse, set_key
from tests.support import KEY, test_settings

MODELS = ("int_payout_ledger_entries", "payout_ledger")
CHAIN = DBT_PROJECT / "models" / "intermediate" / "revenue" / "int_payout_ledger_rows.py"
JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
IDS = range(5)


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_KEY", KEY)
        return DbtSession(test_settings(home)).compile(MODELS)


def chain(connection: duckdb.DuckDBPyConnection) -> None:
    """What dbt does with the Python model."""
    spec = importlib.util.spec_from_file_location("chain", CHAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dbt = SimpleNamespace(
        config=lambda **_: None,
        source=lambda schema, name: connection.table(f"{schema}.{name}"),
        ref=lambda name: connection.table(f"intermediate.{name}"),
    )
    rows = module.model(dbt, connection)
    writer = connection.cursor()
    writer.register("rows_in", rows)
    writer.execute("create or replace table intermediate.int_payout_ledger_rows as from rows_in")


@dataclass
class World:
    """Persons as sets of ids, what each id earned in minor units, and which ids were erased."""

    persons: list[frozenset[int]] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)
    earned: dict[tuple[date, str, int], int] = field(default_factory=dict)
    refunds: int = 0
    as_of: date = date(2026, 2, 10)

    def name(self, person: frozenset[int]) -> str:
        return "p" + "".join(str(number) for number in sorted(person))

    def payouts(self) -> dict[tuple[date, str, str], int]:
        """What `int_creator_payouts` would hold: ids' earnings by person."""
        found: dict[tuple[date, str, str], int] = {}
        for (month, model, number), amount in self.earned.items():
            person = next(person for person in self.persons if number in person)
            name = "(erased)" if person & self.erased else self.name(person)
            found[month, model, name] = found.get((month, model, name), 0) + amount
        return found


class Ledger:
    """A warehouse that holds only what the ledger's models read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> None:
        self.connection, self.queries = connection, queries
        for schema in ("control", "intermediate", "revenue"):
            connection.execute(f"create schema if not exists {schema}")
        for table in LEDGER_TABLES:
            connection.execute(f"create table if not exists {table} ({CONTROL_TABLES[table]})")

    def transform(self, world: World) -> None:
        """One build up to its gates."""
        tables: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
            "control.parameters": ("as_of_date date", [(world.as_of,)]),
            "intermediate.int_persons": (
                "person_id varchar, is_erased boolean",
                [(world.name(one), bool(one & world.erased)) for one in world.persons],
            ),
            "intermediate.int_identities": (
                "person_id varchar, id_kind varchar, source varchar, id varchar, is_erased boolean",
                [
                    (world.name(one), "account", "s", str(number), bool(one & world.erased))
                    for one in world.persons
                    for number in one
                ],
            ),
            "intermediate.int_creator_payouts": (
                "month date, model varchar, person_id varchar, payout_minor bigint,"
                " is_complete boolean",
                [
                    (*key, amount, key[0] + timedelta(days=32) <= world.as_of)
                    for key, amount in world.payouts().items()
                ],
            ),
            "intermediate.int_pool_orders": (
                "source varchar, order_id varchar, month date",
                [("s", str(month), month) for month in (JANUARY, FEBRUARY)],
            ),
            "intermediate.int_orders": (
                "source varchar, order_id varchar, refunded_reporting_minor bigint",
                [("s", str(month), world.refunds) for month in (JANUARY, FEBRUARY)],
            ),
        }
        for name, (columns, rows) in tables.items():
            self.connection.execute(f"create or replace table {name} ({columns})")
            marks = ", ".join("?" for _ in columns.split(","))
            if rows:
                self.connection.executemany(f"insert into {name} values ({marks})", rows)
        self._create("intermediate", "int_payout_ledger_entries")
        chain(self.connection)
        self._create("revenue", "payout_ledger")

    def _create(self, schema: str, name: str) -> None:
        self.connection.execute(f"create or replace table {schema}.{name} as {self.queries[name]}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def hashed(self) -> list[tuple[Any, ...]]:
        """What no build may ever change of the ledger of record."""
        return self.rows(
            """
            select seq, posted_on, month, model, entry_kind, amount_minor, payee_commitment,
                prev_hash, row_hash
            from control.payout_ledger order by seq
            """
        )


@pytest.fixture
def make_ledger(queries: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    opened: list[duckdb.DuckDBPyConnection] = []

    def make() -> Ledger:
        path = tmp_path / str(len(opened)) / "warehouse.duckdb"
        path.parent.mkdir()
        connection = duckdb.connect(str(path))
        set_key(connection, test_settings(tmp_path))
        opened.append(connection)
        return Ledger(connection, queries)

    yield make
    for connection in opened:
        connection.close()


def check_sums(ledger: Ledger, world: World) -> None:
    """The mart's sums are the payouts of complete months; nobody erased or gone is named."""
    found = {
        (month, model, person): int(amount)
        for month, model, person, amount in ledger.rows(
            """
            select month, model, person_id, sum(amount_minor) from revenue.payout_ledger
            group by all having sum(amount_minor) <> 0
            """
        )
    }
    wanted = {
        key: amount
        for key, amount in world.payouts().items()
        if amount and key[0] + timedelta(days=32) <= world.as_of
    }
    assert found == wanted
    living = {world.name(one) for one in world.persons if not one & world.erased}
    named = {row[0] for row in ledger.rows("select distinct person_id from revenue.payout_ledger")}
    assert named <= living | {"(erased)", "(former)"}


def check_chain(ledger: Ledger) -> None:
    """Every hash, recomputed from docs/payouts.md by the standard library."""
    previous = GENESIS
    for number, row in enumerate(
        ledger.rows(
            """
            select seq, posted_on, month, model, entry_kind, amount_minor, payee_commitment,
                prev_hash, row_hash
            from revenue.payout_ledger order by seq
            """
        ),
        start=1,
    ):
        *texts, prev_hash, row_hash = row
        assert texts[0] == number
        assert prev_hash == previous
        text = "|".join(str(value) for value in texts)
        previous = hashlib.sha256((prev_hash + text).encode()).hexdigest()
        assert row_hash == previous
    assert _first_broken(ledger.connection, "revenue.payout_ledger") is None


partitions = st.lists(st.integers(0, 3), min_size=len(IDS), max_size=len(IDS))
steps = st.fixed_dictionaries(
    {
        "people": partitions,
        "erased": st.sets(st.sampled_from(IDS), max_size=1),
        "changes": st.dictionaries(
            st.tuples(
                st.sampled_from([JANUARY, FEBRUARY]),
                st.sampled_from(["pro_rata", "user_centric"]),
                st.sampled_from(IDS),
            ),
            st.integers(-50, 200),
            max_size=4,
        ),
        "refund": st.integers(0, 1),
        "days": st.integers(0, 20),
        "is_posted": st.booleans(),
    }
)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(life=st.lists(steps, min_size=2, max_size=5))
def test_sums_are_payouts_and_rows_are_never_rewritten(
    life: list[dict[str, Any]], make_ledger: Callable[[], Ledger]
) -> None:
    ledger, world = make_ledger(), World()
    kept: list[tuple[Any, ...]] = []
    for step in life:
        world.persons = [
            frozenset(number for number in IDS if step["people"][number] == person)
            for person in sorted(set(step["people"]))
        ]
        world.erased |= step["erased"]
        world.earned |= step["changes"]
        world.refunds += step["refund"]
        world.as_of += timedelta(days=step["days"])
        ledger.transform(world)
        check_sums(ledger, world)
        check_chain(ledger)
        if not step["is_posted"]:
            # Blocked, or killed before it posted: the next build computes its rows anew.
            assert ledger.hashed() == kept
            continue
        assert post(ledger.connection, "b") == len(ledger.hashed()) - len(kept)
        # Killed before the swap: posting again, and building again, append nothing.
        assert post(ledger.connection, "b") == 0
        now = ledger.hashed()
        assert now[: len(kept)] == kept
        assert now == ledger.rows(
            """
            select seq, posted_on, month, model, entry_kind, amount_minor, payee_commitment,
                prev_hash, row_hash
            from revenue.payout_ledger order by seq
            """
        )
        kept = now
        ledger.transform(world)
        assert ledger.rows("select count(*) from intermediate.int_payout_ledger_rows") == [(0,)]
        check_sums(ledger, world)
        transfers = ledger.rows(
            """
            select sum(amount_minor) from control.payout_ledger
            where entry_kind = 'transfer' group by posted_on, month, model
            """
        )
        assert all(total == 0 for (total,) in transfers)
        named = {row[0] for row in ledger.rows("select payee from control.payout_ledger")}
        assert not named & {world.name(one) for one in world.persons if one & world.erased}


def test_arrivals_in_other_batches_give_other_rows_and_the_same_sums(
    make_ledger: Callable[[], Ledger],
) -> None:
    whole, parts = make_ledger(), make_ledger()
    people = [frozenset({number}) for number in IDS]
    early = {(JANUARY, "pro_rata", 0): 70, (JANUARY, "pro_rata", 1): 30}
    late = {(JANUARY, "pro_rata", 0): 55, (JANUARY, "pro_rata", 2): 25}
    for ledger, arrivals in ((whole, [early | late]), (parts, [early, early | late])):
        for arrival in arrivals:
            ledger.transform(World(people, earned=arrival))
            post(ledger.connection, "b")
    sums = "select payee, sum(amount_minor) from control.payout_ledger group by payee order by 1"
    assert whole.rows(sums) == parts.rows(sums)
    assert len(whole.hashed()) == 3
    assert [(row[4], row[5]) for row in parts.hashed()] == [
        ("payout", 70), ("payout", 30), ("adjustment", -15), ("adjustment", 25),
    ]  # fmt: skip


def posted(ledger: Ledger, world: World) -> None:
    ledger.transform(world)
    post(ledger.connection, "b")


def two_builds(ledger: Ledger) -> World:
    """A month posted, and a late refund that claws back."""
    world = World([frozenset({0}), frozenset({1})], as_of=date(2026, 2, 5))
    world.earned = {(JANUARY, "pro_rata", 0): 70, (JANUARY, "pro_rata", 1): 30}
    posted(ledger, world)
    world.earned = {(JANUARY, "pro_rata", 0): 35, (JANUARY, "pro_rata", 1): 15}
    world.refunds, world.as_of = 50, date(2026, 2, 9)
    posted(ledger, world)
    return world


def serve(ledger: Ledger, world: World, path: Path) -> None:
    """The served file, as far as the ledger needs it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = ledger.connection
    connection.execute(f"attach '{path}' as out")
    connection.execute("create schema out.revenue")
    connection.execute("create table out.revenue.payout_ledger as from revenue.payout_ledger")
    connection.execute(
        "create table out.revenue.creator_payouts as from intermediate.int_creator_payouts"
    )
    connection.execute(
        f"create table out.main._publish as select date '{world.as_of}' as as_of_date"
    )
    connection.execute("detach out")


def test_a_late_refund_is_clawed_back_and_rewrites_nothing(
    make_ledger: Callable[[], Ledger],
) -> None:
    ledger = make_ledger()
    two_builds(ledger)
    assert [(row[1].day, row[4], row[5]) for row in ledger.hashed()] == [
        (5, "payout", 70), (5, "payout", 30), (9, "claw_back", -35), (9, "claw_back", -15),
    ]  # fmt: skip


def test_entries_in_a_view_over_what_spark_made_are_posted_alike(
    make_ledger: Callable[[], Ledger],
) -> None:
    ledger = make_ledger()
    world = World([frozenset({0})], as_of=date(2026, 2, 5))
    world.earned = {(JANUARY, "pro_rata", 0): 70}
    ledger.transform(world)
    rows = "intermediate.int_payout_ledger_rows"
    ledger.connection.execute(f"alter table {rows} rename to made")
    ledger.connection.execute(f"create view {rows} as from intermediate.made")
    assert post(ledger.connection, "b") == 1


@pytest.fixture
def home(make_ledger: Callable[[], Ledger], tmp_path: Path) -> Settings:
    """A home with a posted and published ledger of four entries."""
    found = test_settings(tmp_path / "0")
    ledger = make_ledger()
    world = two_builds(ledger)
    serve(ledger, world, found.serving_path)
    ledger.connection.close()
    return found


def change(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "seq", "what"),
    [
        ("update control.payout_ledger set amount_minor = 71 where seq = 1", 1, "hash"),
        ("update control.payout_ledger set month = '2026-02-01' where seq = 3", 3, "hash"),
        ("update control.payout_ledger set row_hash = prev_hash where seq = 4", 4, "hash"),
        ("update control.payout_ledger set prev_hash = row_hash where seq = 2", 2, "order"),
        ("delete from control.payout_ledger where seq = 2", 2, "served"),
        ("delete from control.payout_ledger where seq = 4", 4, "served"),
        (
            "insert into control.payout_ledger by name select * from control.payout_ledger"
            " where seq = 3",
            3,
            "order",
        ),
        ("update control.payout_ledger set payee = 'p0' where seq = 2", 2, "payee"),
        ("update control.payout_ledger set seq = null where seq = 4", 0, "order"),
    ],
)
def test_verify_names_the_first_entry_that_breaks(
    home: Settings, statement: str, seq: int, what: str
) -> None:
    assert verify(home).ok
    change(home.warehouse_path, statement)
    broken = verify(home).broken
    assert broken is not None
    assert (broken.seq, broken.what) == (seq, what)
    assert verify(home, published=True).ok


@pytest.mark.parametrize(
    ("statement", "seq", "what"),
    [
        ("update revenue.payout_ledger set entry_kind = 'payout' where seq = 3", 3, "hash"),
        ("delete from revenue.payout_ledger where seq = 1", 2, "order"),
        ("update revenue.payout_ledger set person_id = 'p1' where seq = 3", 1, "sum"),
        ("update revenue.creator_payouts set payout_minor = 16 where payout_minor = 15", 4, "sum"),
        ("insert into revenue.creator_payouts values ('2026-01-01', 'pro_rata', 'x', 1, true)",
         0, "sum"),
    ],
)  # fmt: skip
def test_verify_reads_what_is_served(home: Settings, statement: str, seq: int, what: str) -> None:
    report = verify(home, published=True)
    assert report.ok
    assert report.rows == 4
    change(home.serving_path, statement)
    broken = verify(home, published=True).broken
    assert broken is not None
    assert (broken.seq, broken.what) == (seq, what)


def test_a_warehouse_made_anew_takes_its_ledger_from_what_was_served(
    home: Settings, make_ledger: Callable[[], Ledger]
) -> None:
    fresh = make_ledger()
    assert keep_ledger(fresh.connection, home.serving_path) == 4
    assert keep_ledger(fresh.connection, home.serving_path) == 0
    world = World([frozenset({0}), frozenset({1})], as_of=date(2026, 2, 20), refunds=50)
    world.earned = {(JANUARY, "pro_rata", 0): 35, (JANUARY, "pro_rata", 1): 20}
    posted(fresh, world)
    assert [(row[0], row[4], row[5]) for row in fresh.hashed()[4:]] == [(5, "adjustment", 5)]
    check_sums(fresh, world)
    check_chain(fresh)


def test_a_ledger_that_lost_what_was_served_stops_the_build(
    home: Settings, make_ledger: Callable[[], Ledger]
) -> None:
    other = make_ledger()
    posted(other, World([frozenset({0})], earned={(JANUARY, "pro_rata", 0): 1}))
    with pytest.raises(TandemError, match="does not hold"):
        keep_ledger(other.connection, home.serving_path)
    change(home.serving_path, "update revenue.payout_ledger set amount_minor = 1 where seq = 2")
    with pytest.raises(TandemError, match="entry 2 is broken"):
        keep_ledger(make_ledger().connection, home.serving_path)


def test_a_full_refresh_goes_on_from_the_old_ledger(
    home: Settings, make_ledger: Callable[[], Ledger]
) -> None:
    with open_warehouse(home) as connection:
        for table in LEDGER_TABLES:
            connection.execute(f"create table if not exists {table} ({CONTROL_TABLES[table]})")
    rebuilt = make_ledger()
    bring_ledger(rebuilt.connection, home.warehouse_path)
    world = World([frozenset({0}), frozenset({1})], as_of=date(2026, 2, 9), refunds=50)
    world.earned = {(JANUARY, "pro_rata", 0): 35, (JANUARY, "pro_rata", 1): 15}
    rebuilt.transform(world)
    assert post(rebuilt.connection, "b") == 0
    check_sums(rebuilt, world)
    assert len(rebuilt.hashed()) == 4


def test_entries_of_another_ledger_are_refused(make_ledger: Callable[[], Ledger]) -> None:
    ledger = make_ledger()
    world = two_builds(ledger)
    world.earned[JANUARY, "pro_rata", 0] = 99
    ledger.transform(world)
    ledger.connection.execute("delete from control.payout_ledger where seq = 4")
    with pytest.raises(TandemError, match="do not follow"):
        post(ledger.connection, "b")
    assert len(ledger.hashed()) == 3
