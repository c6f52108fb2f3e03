"""Duplicates: of the records of one key, which row stays in `raw`.

The winner has the smaller `received_at` (null last), then the smaller SHA-256 of its canonical
JSON, so which record stays does not depend on the order of arrival. Of identical records the
one of the file taken first stays (files are taken in order of their paths): a copy that arrives
later counts as `duplicate` in its own file.
"""

from __future__ import annotations

import duckdb

from orchestration.contracts import LogContract
from orchestration.ingest.canonical import canonical_fields, canonical_sql
from orchestration.ingest.checks import literal, quote


def settled_by(contract: LogContract) -> list[str]:
    """The columns, quoted, of which `raw` holds no two equal rows."""
    columns = ["source", quote(contract.key)]
    return [*columns, "_state_sha256"] if contract.kind == "entity" else columns


def settle(connection: duckdb.DuckDBPyConnection, contract: LogContract, batch_id: int) -> None:
    """Reduce the log's rows to one per key (entity logs: one per state), inside a transaction.

    The batch's rows are in `raw`, its files in `control.files`. Rows of earlier batches that
    lose go to `control.replaced`; the counts of their files are corrected. An equal entity state
    of an earlier batch that was received later keeps its row; credit and `received_at` move.
    """
    table = f"raw.{contract.table}"
    columns = settled_by(contract)
    key = ", ".join(columns)
    if not _find_contested(connection, table, key, batch_id):
        return
    using = ", ".join(columns)
    connection.execute(
        f"""
        create or replace temp table ranked as
        select
            *,
            row_number() over (
                partition by {key}
                order by
                    received_at asc nulls last, digest asc, _file_id asc,
                    _extra asc nulls first, row_id asc
            ) as place
        from (
            select
                {key}, r.rowid as row_id, r.received_at, r._extra, r._file_id, r._batch_id,
                {_tie_break(connection, contract, table, columns)} as digest
            from {table} as r
            inner join contested using ({using})
        )
        """
    )
    same = "true" if contract.kind == "entity" else "false"
    connection.execute(
        f"""
        create or replace temp table beaten as
        select
            old.row_id as old_row, won.row_id as won_row, old._file_id as old_file,
            won._file_id, won._extra, won.received_at, {same} as is_same
        from ranked as won
        inner join ranked as old using ({using})
        where won.place = 1 and won._batch_id = {batch_id} and old._batch_id < {batch_id}
        """
    )
    if contract.kind == "event":
        connection.execute(
            f"""
            insert into control.replaced
            select {literal(contract.log)}, source, {quote(contract.key)},
                cast({quote(contract.time)} as timestamp), {batch_id}
            from {table}
            where rowid in (select old_row from beaten where not is_same)
            """
        )
    connection.execute(
        f"""
        update {table} as r
        set _file_id = beaten._file_id, _extra = beaten._extra, received_at = beaten.received_at
        from beaten
        where r.rowid = beaten.old_row and beaten.is_same
        """
    )
    connection.execute(
        f"""
        delete from {table}
        where rowid in (
            select row_id from ranked
            where place > 1 and row_id not in (select old_row from beaten where is_same)
            union all
            select won_row from beaten where is_same
        )
        """
    )
    connection.execute(
        """
        update control.files as files
        set accepted = accepted - lost.lines, duplicates = duplicates + lost.lines
        from (select old_file, count(*) as lines from beaten group by old_file) as lost
        where files.file_id = lost.old_file
        """
    )


def _tie_break(
    connection: duckdb.DuckDBPyConnection, contract: LogContract, table: str, columns: list[str]
) -> str:
    """What tells contested rows of one `received_at` apart; a constant where none of them differ.

    The canonical JSON of a log takes longer to plan than a small batch takes to load.
    """
    if contract.kind == "entity":
        return "_state_sha256"
    fields = ", ".join(quote(field.name) for field in canonical_fields(contract))
    row = connection.execute(
        f"""
        select 1 from {table} inner join contested using ({", ".join(columns)})
        group by {", ".join(columns)}, received_at
        having count(distinct row({fields})) > 1
        limit 1
        """
    ).fetchone()
    return f"sha256({canonical_sql(contract, 'r')})" if row else "''"


def _find_contested(
    connection: duckdb.DuckDBPyConnection, table: str, key: str, batch_id: int
) -> bool:
    """Fill the temporary table `contested` with the keys that several rows have."""
    own = f"from {table} where _batch_id = {batch_id}"
    # Equal keys have equal hashes, and a hash is cheaper to group by than a key. Few hashes come
    # twice, and of their rows the keys are compared.
    connection.execute(
        f"""
        create or replace temp table repeated as
        select hash({key}) as key_hash {own} group by key_hash having count(*) > 1
        """
    )
    earlier, repeated = connection.execute(
        f"""
        select
            exists (from {table} where _batch_id < {batch_id}) and exists ({own}),
            exists (from repeated)
        """
    ).fetchone() or (False, False)
    parts = []
    if repeated:
        parts.append(
            f"""
            select {key} {own} and hash({key}) in (from repeated)
            group by {key}
            having count(*) > 1
            """
        )
    if earlier:
        parts.append(
            f"""
            select {key} from {table}
            where _batch_id < {batch_id} and ({key}) in (select ({key}) {own})
            """
        )
    if not parts:
        return False
    row = connection.execute(
        f"create or replace temp table contested as {' union '.join(parts)}"
    ).fetchone()
    return bool(row and row[0])
