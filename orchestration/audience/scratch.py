"""The scratch database of one pack: persons taken from the warehouse, and who was planted.

In memory and gone after the build; the warehouse is attached read only and only read from.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import duckdb

from orchestration.audience.features import FEATURES, JOINED, PERSONS, WEEKS, Feature
from orchestration.audience.interface import PackSpec, Recode
from orchestration.audience.recode import column_list, quoted, recoded, segment_sql
from orchestration.contracts import contracts
from orchestration.errors import TandemError, first_line
from orchestration.settings import Settings
from orchestration.warehouse import duckdb_config, literal

CANARY_NUMBER = 987_654_321
_OUTSIDE = ("minor", "no_consent", "erased")
_INSIDE = ("id_in_text", "one_person_city")
_EACH_OUTSIDE, _EACH_INSIDE = 54, 19
_NUMBER = "cast(persons.rowid as varchar) as person_id"


@contextmanager
def open_scratch(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database in UTC, bounded as the warehouse's writers are, with its order kept."""
    config = duckdb_config(settings) | {"preserve_insertion_order": "true"}
    (settings.home / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = duckdb.connect(":memory:", config=dict(config))
    try:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Iterator[None]:
    """Have the warehouse readable as `warehouse`; nobody can write it meanwhile.

    Raises TandemError where there is no warehouse, or no build has made the features yet.
    """
    path = settings.warehouse_path
    if not path.exists():
        raise TandemError(f"{path} does not exist yet: run `tandem build` first")
    connection.execute(f"attach {literal(path)} as warehouse (read_only)")
    try:
        yield
    except duckdb.CatalogException as error:
        raise TandemError(
            "the warehouse lacks what packs are made of: run `tandem build` first "
            f"({first_line(error)})"
        ) from error
    finally:
        connection.execute("detach warehouse")


def as_of_date(connection: duckdb.DuckDBPyConnection) -> date | None:
    """The date that the warehouse was built as of."""
    row = connection.execute("select as_of_date from warehouse.control.parameters").fetchall()
    return row[0][0] if row else None


def count_eligible(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> int:
    """Eligible persons of the whole population. Never to be shown, rounded or not."""
    rows = connection.execute(
        f"select count(*) from warehouse.{PERSONS} where window_days = ? and is_eligible",
        [spec.window_days],
    ).fetchall()
    return int(rows[0][0])


def load_persons(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> None:
    """Write `features` (one row a person, eligible or not) and `canaries`.

    Only the features that the pack uses are taken. Canaries that may not be in any pack stand
    among the persons; the others in `canary_features` alone, for a rebuild to plant.
    A person goes by the number of the row, which sorts four times as fast as the id; what may
    follow from the own id alone hashes the `ticket`.
    """
    used = _used(spec, weekly=False)
    joins = []
    items = [_NUMBER, "hash(persons.person_id) as ticket", "persons.is_eligible"]
    for number, table in enumerate(sorted({f.table for f in used} - {PERSONS})):
        query = JOINED[table].replace(f"from {table}", f"from warehouse.{table}")
        joins.append(f"left join ({query}) as t{number} on persons.person_id = t{number}.person_id")
        items += [f"t{number}.{quoted(f.name)}" for f in used if f.table == table]
    items += [f"persons.{quoted(f.name)}" for f in used if f.table == PERSONS]
    connection.execute(
        f"""
        create table features as
        select {", ".join(items)}
        from warehouse.{PERSONS} as persons {" ".join(joins)}
        where persons.window_days = {spec.window_days}
        """
    )
    _plant(connection, used)
    names = column_list(["person_id", "ticket", "is_eligible", *(f.name for f in used)])
    connection.execute(
        f"insert into features by name select {names} from canary_features where not is_eligible"
    )


def load_weeks(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> None:
    """Write `facts`: the weeks of the pack's vocabulary, one row a person, week and channel."""
    used = _used(spec, weekly=True)
    weeks = [
        week
        for column, recode in zip(spec.columns, spec.recode, strict=False)
        if FEATURES[recode.source].kind == "week"
        for week in column.vocabulary
    ]
    if not weeks:
        weeks = ["1970-01-05"]
    days = ", ".join(f"date {literal(week)}" for week in weeks)
    items = [_NUMBER]
    items += ["week_start as week" if f.name == "week" else f"cells.{quoted(f.name)}" for f in used]
    connection.execute(
        f"""
        create table facts as
        select {", ".join(items)}
        from warehouse.{WEEKS} as cells
        inner join warehouse.{PERSONS} as persons on cells.person_id = persons.person_id
        where cells.week_start in ({days})
            and persons.window_days = {spec.window_days} and persons.is_eligible
        """
    )
    planted = [
        f"date {literal(weeks[0])} as week" if f.name == "week" else _planted_item(f) for f in used
    ]
    connection.execute(
        f"insert into facts by name select {', '.join(['person_id', *planted])} from canaries"
    )


def create_population(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> None:
    """Write `population` and `canary_population` from what was loaded, as `AttackContext` says."""
    for table, features in (("population", "features"), ("canary_population", "canary_features")):
        connection.execute(f"create table {table} as {_population_sql(spec, features)}")


def is_weekly(spec: PackSpec) -> bool:
    """Whether a person may have several cells, by week or channel."""
    return any(_is_weekly(recode) for recode in spec.recode)


def _population_sql(spec: PackSpec, features: str) -> str:
    eligible = (
        f"(select * from {features} as persons "
        f"where persons.is_eligible and {segment_sql(spec.segment, 'persons')}) as source"
    )
    measures = [f"source.{quoted(m.source)} as {quoted(m.name)}" for m in spec.measures]
    if not is_weekly(spec):
        items, joins = recoded(spec.recode, "source")
        return (
            f"select source.person_id, source.ticket, {', '.join([*items, *measures])} "
            f"from {eligible} {' '.join(joins)}"
        )
    # Persons are recoded once, not once a week, and joined to their cells by the id alone.
    items, joins = recoded([r for r in spec.recode if not _is_weekly(r)], "source")
    items = ["source.person_id", "source.ticket", *items]
    persons = f"select {', '.join(items)} from {eligible} {' '.join(joins)}"
    items, joins = recoded([r for r in spec.recode if _is_weekly(r)], "source")
    sums = [
        f"cast(sum(source.{quoted(m.source)}) as bigint) as {quoted(m.name)}" for m in spec.measures
    ]
    keys = ", ".join(str(number) for number in range(1, len(items) + 2))
    cells = (
        f"select {', '.join(['source.person_id', *items, *sums])} "
        f"from facts as source {' '.join(joins)} "
        f"where source.person_id in (select person_id from persons) group by {keys}"
    )
    names = [
        f"{'cells' if _is_weekly(recode) else 'persons'}.{quoted(recode.name)}"
        for recode in spec.recode
    ]
    names += [f"cells.{quoted(measure.name)}" for measure in spec.measures]
    return (
        f"with persons as ({persons}), cells as ({cells}) "
        f"select persons.person_id, persons.ticket, {', '.join(names)} "
        "from cells inner join persons on cells.person_id = persons.person_id"
    )


def _is_weekly(recode: Recode) -> bool:
    return FEATURES[recode.source].is_weekly


def create_known_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the view `known_ids`: every id and direct identifier of the entity logs, as text."""
    parts = [f"select 'person' as kind, person_id as id from warehouse.{PERSONS}"]
    for contract in contracts().values():
        if contract.kind != "entity":
            continue
        wanted = {contract.key: contract.key} | {
            f.name: f.name for f in contract.fields if f.pii and f.type in ("id", "text")
        }
        parts += [
            f"select {literal(name)} as kind, {quoted(name)} as id "
            f"from warehouse.raw.{contract.table} where {quoted(name)} is not null"
            for name in wanted
        ]
    connection.execute(f"create view known_ids as {' union '.join(parts)}")


def _used(spec: PackSpec, *, weekly: bool) -> list[Feature]:
    names = [recode.source for recode in spec.recode]
    names += [measure.source for measure in spec.measures]
    names += [condition.column for condition in spec.segment]
    found = [FEATURES[name] for name in dict.fromkeys(names)]
    return [feature for feature in found if feature.is_weekly == weekly]


def _plant(connection: duckdb.DuckDBPyConnection, used: list[Feature]) -> None:
    rows = [
        (f"canary-{secrets.token_hex(12)}", kind, _planted_text(kind, number))
        for kind in (*_OUTSIDE, *_INSIDE)
        for number in range(_EACH_OUTSIDE if kind in _OUTSIDE else _EACH_INSIDE)
    ]
    values = ", ".join(f"({literal(a)}, {literal(b)}, {literal(c)})" for a, b, c in rows)
    inside = ", ".join(literal(kind) for kind in _INSIDE)
    connection.execute(
        f"""
        create table canaries as
        select *, kind in ({inside}) as is_eligible
        from (values {values}) as planted (person_id, kind, planted_text)
        """
    )
    items = ["person_id", "hash(person_id) as ticket", "is_eligible"]
    items += [_planted_item(feature) for feature in used]
    connection.execute(f"create table canary_features as select {', '.join(items)} from canaries")


def _planted_item(feature: Feature) -> str:
    if feature.kind == "integer":
        return f"cast({CANARY_NUMBER} as bigint) as {quoted(feature.name)}"
    return f"planted_text as {quoted(feature.name)}"


def _planted_text(kind: str, number: int) -> str:
    digits = "".join(secrets.choice("0123456789") for _ in range(9))
    if kind != "id_in_text":
        return f"{kind}-{secrets.token_hex(8)}"
    return (f"13{digits}", f"QQ {digits}", f"{digits}@example.org", f"110101{digits}123")[
        number % 4
    ]
