"""Rows packs: sample by secret coins, group whole tuples, drop what is under k, then l, α and t.

Steps 1 to 4 of the contract. Everything after the k filter reads only what it left, so that it
costs no privacy (post-processing).
"""

from __future__ import annotations

import math
from collections.abc import Collection

import duckdb

from orchestration.audience.interface import PackSpec
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

_COIN_BITS = 52
_ROUNDING = 1e-9


def build_cells(
    connection: duckdb.DuckDBPyConnection,
    spec: PackSpec,
    table: str,
    coins: bytes,
    *,
    persons: str = "population",
    without: Collection[str] = (),
) -> None:
    """Write `table` (key columns, cell_rows): the cells that have k sampled persons.

    A person is sampled when the first 52 bits of HMAC-SHA256(coins, person_id) are below
    β · 2⁵². `coins` are 32 fresh random bytes that reach SQL as session variables only.
    """
    beta, k = spec.guarantee.beta, spec.guarantee.k
    if beta is None or k is None:
        raise ValueError(f"{spec.pack} is no rows pack")
    digits = _COIN_BITS // 4
    # A zero before the digits: at β = 1 the bound has one digit more than a coin.
    below = f"{math.floor(beta * 2**_COIN_BITS):0{digits + 1}x}"
    block = coins.ljust(64, b"\0")
    connection.execute("set variable coin_ipad = ?::blob", [bytes(b ^ 0x36 for b in block)])
    connection.execute("set variable coin_opad = ?::blob", [bytes(b ^ 0x5C for b in block)])
    keys = column_list(spec.key_columns)
    try:
        connection.execute(
            f"""
            create or replace table {quoted(table)} as
            select {keys}, count(*) as cell_rows
            from {persons}
            where {left_out_sql(without)} and '0' || substr(sha256(
                getvariable('coin_opad')
                || unhex(sha256(getvariable('coin_ipad') || encode(person_id)))
            ), 1, {digits}) < '{below}'
            group by {keys}
            having count(*) >= {k}
            """
        )
    finally:
        connection.execute("reset variable coin_ipad")
        connection.execute("reset variable coin_opad")


def filter_classes(
    connection: duckdb.DuckDBPyConnection, spec: PackSpec, cells: str, table: str
) -> None:
    """Write `table`: the cells of `cells` whose class has l values, α and t, of each sensitive one.

    t is held against the distribution of what is left, which changes with every class that goes;
    so classes are dropped until all that remain hold.
    """
    connection.execute(f"create or replace table {quoted(table)} as select * from {quoted(cells)}")
    if not spec.sensitive:
        return
    classes = column_list(spec.quasi_identifiers)
    while True:
        broken = " union ".join(
            broken_classes_sql(spec, table, column, margin=_ROUNDING) for column in spec.sensitive
        )
        deleted = connection.execute(
            f"delete from {quoted(table)} where ({classes}) in (select ({classes}) from ({broken}))"
        ).fetchall()
        if deleted[0][0] == 0:
            return


def broken_classes_sql(spec: PackSpec, cells: str, column: str, *, margin: float = 0.0) -> str:
    """A query for the classes of a table of cells that miss l, α or t of one sensitive column.

    A class is an equal tuple of quasi-identifiers. t is the total variation distance, which is
    never below the ordered earth mover's distance that bands allow.
    """
    promised = spec.guarantee
    classes = column_list(spec.quasi_identifiers)
    value = quoted(column)
    same = " and ".join(
        f"counted.{quoted(name)} = totals.{quoted(name)}" for name in spec.quasi_identifiers
    )
    return f"""
        select {column_list(spec.quasi_identifiers, "counted.")}
        from (
            select {classes}, {value}, sum(cell_rows) as n from {quoted(cells)}
            group by {classes}, {value}
        ) as counted
        inner join (
            select {classes}, sum(cell_rows) as n from {quoted(cells)} group by {classes}
        ) as totals on {same}
        inner join (
            select {value}, sum(cell_rows) / (select sum(cell_rows) from {quoted(cells)}) as share
            from {quoted(cells)} group by {value}
        ) as overall on counted.{value} = overall.{value}
        group by {column_list(spec.quasi_identifiers, "counted.")}
        having count(*) < {promised.l}
            or max(counted.n / totals.n) > {promised.alpha}
            or sum(greatest(counted.n / totals.n - overall.share, 0)) > {promised.t} - {margin}
    """


def left_out_sql(persons: Collection[str]) -> str:
    """The condition that leaves persons out."""
    if not persons:
        return "true"
    return f"person_id not in ({', '.join(literal(person) for person in sorted(persons))})"
