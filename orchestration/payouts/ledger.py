"""The payout ledger of record, `control.payout_ledger`: appended to, carried over, verified.

Its rows are decided by dbt models, so that gates judge them before they are posted. Rows are
never rewritten, but that an erased person's name is struck out: no hash covers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from orchestration.errors import TandemError
from orchestration.ingest.tables import LEDGER_TABLES
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

GENESIS = "0" * 64
CANONICAL_TEXT = """
    cast(seq as varchar) || '|' || cast(posted_on as varchar) || '|' || cast(month as varchar)
    || '|' || model || '|' || entry_kind || '|' || cast(amount_minor as varchar) || '|'
    || payee_commitment
"""
"""SQL of what `row_hash` covers besides `prev_hash`, over the columns of the ledger."""
ROWS = "intermediate.int_payout_ledger_rows"
LEDGER = "control.payout_ledger"

_ASIDE = {"memory_limit": "1GB"}

What = Literal["order", "hash", "payee", "served", "sum"]


@dataclass(frozen=True)
class Break:
    """The first entry that is not what it should be, and in what way.

    order: its number, date or link does not follow the entry before. hash: its text is not what
    was hashed. payee: its payee is not who was committed to. served: readers were shown another
    entry. sum: the entries of its month, model and person do not sum to the payout.
    """

    seq: int
    what: What
    detail: str


@dataclass(frozen=True)
class LedgerReport:
    """What `verify` found: `rows` entries read in `path`, ending in the hash `head`."""

    path: Path
    rows: int
    head: str
    broken: Break | None

    @property
    def ok(self) -> bool:
        """Whether every entry is as it should be."""
        return self.broken is None


def post(connection: duckdb.DuckDBPyConnection, build_id: str) -> int:
    """Append the entries that this build's models computed, in one transaction; their number.

    Posting them twice appends them once. Also keeps the payees' ids, and strikes out the payees
    who were erased. Raises TandemError, and appends nothing, when the entries were not computed
    on the ledger as it is.
    """
    if not _exists(connection, ROWS):
        return 0
    connection.begin()
    try:
        last, head = _head(connection, LEDGER)
        first = connection.execute(
            f"select seq, prev_hash from {ROWS} where seq > ? order by seq limit 1", [last]
        ).fetchone()
        if first is not None and first != (last + 1, head):
            raise TandemError("the payout entries do not follow the ledger's last: build again")
        new = connection.execute(
            f"""
            insert into {LEDGER} by name
            select *, {literal(build_id)} as build_id from {ROWS} where seq > {last} order by seq
            """
        ).fetchone()
        _keep_payees(connection)
        _strike_out_erased(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return int(new[0]) if new else 0


def _keep_payees(connection: duckdb.DuckDBPyConnection) -> None:
    """Which ids a payee has, so that a later build knows whose they have become."""
    connection.execute(
        f"""
        insert into control.payout_payees
        select person_id, id_kind, source, id from intermediate.int_identities
        where person_id in (select payee from {LEDGER})
            and person_id not in (select payee from control.payout_payees)
        """
    )


def _strike_out_erased(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        """
        create or replace temporary table erased_payees as
        select distinct payees.payee
        from control.payout_payees as payees
        inner join intermediate.int_identities as identities using (id_kind, source, id)
        where identities.is_erased
        """
    )
    connection.execute(
        f"""
        update {LEDGER} set payee = '(erased)', salt = null
        where payee in (select payee from erased_payees)
        """
    )
    connection.execute(
        "delete from control.payout_payees where payee in (select payee from erased_payees)"
    )
    connection.execute("drop table erased_payees")


def bring_ledger(connection: duckdb.DuckDBPyConnection, old: Path) -> None:
    """Copy the ledger from the warehouse file `old` into an empty one, before a full refresh."""
    connection.execute(f"attach {literal(old)} as old (read_only)")
    try:
        for table in LEDGER_TABLES:
            connection.execute(f"insert into {table} by name select * from old.{table}")
    finally:
        connection.execute("detach old")


def keep_ledger(connection: duckdb.DuckDBPyConnection, serving: Path) -> int:
    """See to it that the ledger holds every entry that readers were shown; how many it took back.

    A warehouse without any entry, one made anew, takes them from the served file. Raises
    TandemError when the served ledger is broken, or is not the beginning of this one.
    """
    if not serving.exists():
        return 0
    connection.execute(f"attach {literal(serving)} as served (read_only)")
    try:
        if not _exists(connection, "served.revenue.payout_ledger"):
            return 0
        last, head = _head(connection, "served.revenue.payout_ledger")
        if last == 0 or _hash_of(connection, last) == head:
            return 0
        if _head(connection, LEDGER)[0] > 0:
            raise TandemError(
                f"{serving} shows a payout entry {last} that the warehouse's ledger does not "
                "hold: put the warehouse of that publication back (see docs/payouts.md)"
            )
        broken = _first_broken(connection, "served.revenue.payout_ledger")
        if broken is not None:
            raise TandemError(
                f"{serving}: payout entry {broken.seq} is broken ({broken.what}); the ledger "
                "cannot be taken back from it"
            )
        connection.execute(
            f"""
            insert into {LEDGER} by name
            select * exclude (person_id), person_id as payee from served.revenue.payout_ledger
            """
        )
        return last
    finally:
        connection.execute("detach served")


def verify(settings: Settings, *, published: bool = False) -> LedgerReport:
    """Recompute the chain of the ledger of record, and hold it against what readers see.

    The served ledger must be its beginning, and the served entries must sum to the served
    `revenue.creator_payouts` of complete months by month, model and person. With `published`
    only the served file is read: its own chain and its sums. Raises TandemError when there is
    nothing to verify.
    """
    serving = settings.serving_path
    if published:
        if not serving.exists():
            raise TandemError(f"{serving} does not exist yet: run `tandem build` first")
        try:
            return _verify_served(serving)
        except duckdb.Error as error:
            # Its own words quote what the file holds.
            raise TandemError(
                f"{serving} holds no payout ledger that can be read ({type(error).__name__})"
            ) from error
    with open_warehouse(settings, read_only=True) as connection:
        if not _exists(connection, LEDGER):
            raise TandemError("the warehouse has no payout ledger: run `tandem build` first")
        breaks = [_first_broken(connection, LEDGER), _first_other_payee(connection)]
        if serving.exists():
            connection.execute(f"attach {literal(serving)} as served (read_only)")
            if _exists(connection, "served.revenue.payout_ledger"):
                breaks.append(_first_other_than_served(connection))
                if not _looks_back(connection):
                    breaks.append(_first_wrong_sum(connection))
        found = [item for item in breaks if item is not None]
        broken = min(found, key=lambda item: item.seq, default=None)
        return _report(connection, LEDGER, settings.warehouse_path, broken)


def _verify_served(serving: Path) -> LedgerReport:
    with duckdb.connect(config=dict(_ASIDE)) as connection:
        connection.execute(f"attach {literal(serving)} as served (read_only)")
        table = "served.revenue.payout_ledger"
        if not _exists(connection, table):
            raise TandemError(f"{serving} has no payout ledger: run `tandem build` first")
        broken = _first_broken(connection, table) or _first_wrong_sum(connection)
        return _report(connection, table, serving, broken)


def _report(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, broken: Break | None
) -> LedgerReport:
    rows = _one(connection, f"select count(*) from {table}")[0]
    return LedgerReport(path, rows, _head(connection, table)[1], broken)


def _first_broken(connection: duckdb.DuckDBPyConnection, table: str) -> Break | None:
    row = connection.execute(
        f"""
        with placed as (
            select
                seq, posted_on, prev_hash, row_hash,
                sha256(prev_hash || {CANONICAL_TEXT}) as true_hash,
                row_number() over by_seq as place,
                lag(row_hash, 1, {literal(GENESIS)}) over by_seq as hash_before,
                lag(posted_on) over by_seq as posted_before
            from {table}
            window by_seq as (order by seq)
        ),
        judged as (
            select seq, case
                when seq is distinct from place then 'order number'
                when prev_hash is distinct from hash_before then 'order link'
                when posted_on is null or posted_on < posted_before then 'order date'
                when row_hash is distinct from true_hash then 'hash'
            end as fault
            from placed
        )
        select coalesce(seq, 0), fault from judged where fault is not null order by 1 limit 1
        """
    ).fetchone()
    if row is None:
        return None
    details = {
        "order number": "its number does not follow the entry before",
        "order link": "its prev_hash is not the hash of the entry before",
        "order date": "it was posted before the entry before",
        "hash": "its row_hash is not that of its text",
    }
    return Break(row[0], "order" if row[1].startswith("order") else "hash", details[row[1]])


def _first_other_payee(connection: duckdb.DuckDBPyConnection) -> Break | None:
    row = connection.execute(
        f"""
        select min(seq) from {LEDGER}
        where salt is not null and sha256(salt || '|' || payee) is distinct from payee_commitment
        """
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return Break(row[0], "payee", "its payee is not the one that was committed to")


def _first_other_than_served(connection: duckdb.DuckDBPyConnection) -> Break | None:
    row = connection.execute(
        f"""
        select min(served.seq)
        from served.revenue.payout_ledger as served
        anti join {LEDGER} as ledger using (seq, row_hash)
        """
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return Break(row[0], "served", "the served file shows another entry")


def _first_wrong_sum(connection: duckdb.DuckDBPyConnection) -> Break | None:
    row = connection.execute(
        """
        with changes as (
            select seq, month, model, person_id, amount_minor from served.revenue.payout_ledger
            union all
            select null, month, model, person_id, -payout_minor
            from served.revenue.creator_payouts
            where is_complete
        )
        select
            coalesce(max(seq), 0) as last_seq, month, model, person_id,
            sum(amount_minor) as difference
        from changes
        group by month, model, person_id
        having sum(amount_minor) <> 0
        order by last_seq, month, model, person_id
        limit 1
        """
    ).fetchone()
    if row is None:
        return None
    seq, month, model, person_id, difference = row
    where = f"{month:%Y-%m} {model} {person_id}"
    return Break(seq, "sum", f"{where}: the ledger is {difference:+} beside the payout")


def _looks_back(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the served marts are of a date before the last posting; they hold no ledger then."""
    query = f"select max(posted_on) > (select as_of_date from served.main._publish) from {LEDGER}"
    return bool(_one(connection, query)[0])


def _hash_of(connection: duckdb.DuckDBPyConnection, seq: int) -> str | None:
    row = connection.execute(f"select row_hash from {LEDGER} where seq = ?", [seq]).fetchone()
    return row[0] if row else None


def _head(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, str]:
    row = _one(connection, f"select coalesce(max(seq), 0), max_by(row_hash, seq) from {table}")
    return row[0], row[1] or GENESIS


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether there is such a table, or a view over what Spark made in its place."""
    database, schema, name = (["", *table.split(".")])[-3:]
    where = f"= {literal(database)}" if database else "= current_database()"
    row = _one(
        connection,
        f"""
        select count(*) from information_schema.tables
        where table_catalog {where} and table_schema = {literal(schema)}
            and table_name = {literal(name)}
        """,
    )
    return bool(row[0])


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise AssertionError("an aggregate without a row")
    return row
