"""What crosses files: duplicates within a landing and against all landed before, then the write.

Keys that come once, and came never before, pass through as they are. `find` looks for the others
by a hash of the key, one share of all keys a task, and settles their rows with the very code of
ingest. `write` makes the Parquet of some days from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import LogContract, contracts
from orchestration.ingest.checks import literal, quote
from orchestration.ingest.settle import settle, settled_by
from orchestration.ingest.tables import create_tables, raw_columns
from orchestration.land.store import day_folder, day_sql, files_sql

SUSPECTS = "suspects.parquet"
SETTLED = "settled.parquet"
REWRITTEN = "rewritten.parquet"
REPLACED = "replaced.parquet"


@dataclass(frozen=True)
class Incoming:
    """A log's accepted rows of a landing: staged files, and the numbers that their files got.

    `numbers` are (place in `paths`, the number there, the ledger's number); rows of files that
    are not named do not count. `live` are the files of the version before.
    """

    log: str
    batch_id: int
    paths: tuple[Path, ...]
    numbers: tuple[tuple[int, int, int], ...]
    live: tuple[Path, ...]

    @property
    def contract(self) -> LogContract:
        """The log's contract."""
        return contracts()[self.log]

    @property
    def hash_sql(self) -> str:
        """What rows of one key have in common. Others may share it: that only costs time."""
        return f"hash({', '.join(settled_by(self.contract))})"

    @property
    def columns_sql(self) -> str:
        """The columns of raw."""
        return ", ".join(map(quote, raw_columns(self.contract)))

    def staged_sql(self) -> str:
        """Every row that counts, as raw will hold it; needs the table `numbers`."""
        own = {
            "_file_id": "n.file_id as _file_id",
            "_batch_id": f"cast({self.batch_id} as bigint) as _batch_id",
        }
        columns = ", ".join(
            own.get(name, f"s.{quote(name)}") for name in raw_columns(self.contract)
        )
        return f"""
            select {columns}
            from (select *, file_index from read_parquet(
                {files_sql(self.paths)}, hive_partitioning = false
            )) as s
            inner join numbers as n on s.file_index = n.place and s._file_id = n.number
        """

    def live_sql(self, paths: Sequence[Path] | None = None) -> str:
        """The rows landed before, of all files or some, with `filename`."""
        return (
            f"select *, filename from read_parquet({files_sql(paths or self.live)}, "
            "hive_partitioning = false)"
        )

    def number(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the table `numbers`."""
        values = ", ".join(f"({a}, {b}, {c})" for a, b, c in self.numbers)
        connection.execute(
            "create or replace temp table numbers (place bigint, number bigint, file_id bigint)"
        )
        connection.execute(f"insert into numbers values {values}")


def find(
    connection: duckdb.DuckDBPyConnection, incoming: Incoming, share: int, shares: int, out: Path
) -> dict[str, Any]:
    """Settle the keys of one share that come more than once, or came before.

    Writes the hashes concerned, the rows that stay, which hashes change rows landed before, and
    these rows as `control.replaced` has them. Returns the days of the rows that stay, the files
    to rewrite, and (file, lines) that old files lost.
    """
    contract = incoming.contract
    create_tables(connection, [incoming.log])
    incoming.number(connection)
    within = f"h % {shares} = {share}"
    connection.execute(
        f"""
        create temp table incoming as
        select h
        from (select {incoming.hash_sql} as h from ({incoming.staged_sql()}))
        where {within}
        """
    )
    connection.execute(
        "create temp table suspects as select h from incoming group by h having count(*) > 1"
    )
    files: list[str] = []
    if incoming.live:
        connection.execute(
            f"""
            create temp table hits as
            select h, filename
            from (select {incoming.hash_sql} as h, filename from ({incoming.live_sql()}))
            where {within} and h in (select h from incoming)
            """
        )
        connection.execute("insert into suspects select distinct h from hits")
        files = [
            name for (name,) in connection.execute("select distinct filename from hits").fetchall()
        ]
    if not _count(connection, "suspects"):
        return {"days": {}, "touched": [], "lost": []}
    suspected = f"where {incoming.hash_sql} in (select h from suspects)"
    columns = incoming.columns_sql
    table = f"raw.{contract.table}"
    _insert(connection, incoming, f"select {columns} from ({incoming.staged_sql()}) {suspected}")
    key = ", ".join(settled_by(contract))
    held = f"{key}, _file_id, received_at, _extra"
    connection.execute(
        f"create temp table held as select {held}, '' as filename from {table} where false"
    )
    if files:
        paths = [Path(name) for name in files]
        connection.execute(
            f"create temp table old as select * from ({incoming.live_sql(paths)}) {suspected}"
        )
        _insert(connection, incoming, f"select {columns} from old")
        connection.execute(f"insert into held select {held}, filename from old")
    connection.execute(
        f"""
        insert into control.files (file_id, accepted, duplicates)
        select distinct _file_id, 0, 0 from {table}
        """
    )
    settle(connection, contract, incoming.batch_id)
    before = f"{table} where _batch_id < {incoming.batch_id}"
    connection.execute(
        f"""
        create temp table rewritten as
        select distinct {incoming.hash_sql} as h
        from (select {held} from held except select {held} from {before})
        """
    )
    touched = connection.execute(
        f"""
        select distinct filename from held
        where {incoming.hash_sql} in (select h from rewritten)
        order by filename
        """
    ).fetchall()
    lost = connection.execute(
        "select file_id, -accepted from control.files where accepted <> 0 order by file_id"
    ).fetchall()
    # Of rows landed before, only those whose hash has a row that changes are written anew.
    connection.execute(
        f"""
        delete from {table}
        where _batch_id < {incoming.batch_id}
            and {incoming.hash_sql} not in (select h from rewritten)
        """
    )
    days = connection.execute(
        f"select {day_sql(contract)}, count(*) from {table} group by 1"
    ).fetchall()
    _write(connection, "select distinct h from suspects", out / SUSPECTS)
    _write(connection, f"select {columns} from {table}", out / SETTLED)
    _write(connection, "select h from rewritten", out / REWRITTEN)
    _write(connection, "select * from control.replaced", out / REPLACED)
    return {
        "days": dict(days),
        "touched": [name for (name,) in touched],
        "lost": [list(row) for row in lost],
    }


def write(
    connection: duckdb.DuckDBPyConnection,
    incoming: Incoming,
    found: Sequence[Path],
    days: Sequence[str],
    touched: Sequence[Path],
    share: int,
    shares: int,
    out: Path,
) -> dict[str, Any]:
    """Write the Parquet of some days: what passes through, what was settled, what is rewritten.

    `found` are the results of `find`, `touched` the files of these days that are replaced; of
    one long day a task takes a share of all keys. Returns rows by the file's path below `out`,
    and accepted rows by the ledger's number of the file.
    """
    contract = incoming.contract
    incoming.number(connection)
    for name in (SUSPECTS, REWRITTEN):
        table = name.removesuffix(".parquet")
        paths = [folder / name for folder in found if (folder / name).exists()]
        source = f"read_parquet({files_sql(paths)})" if paths else "(select 0 as h where false)"
        connection.execute(f"create temp table {table} as select h from {source}")
    day = day_sql(contract)
    within = f"{day} in ({', '.join(map(literal, days))})"
    if len(days) > 0 and days[0]:
        # The range lets a reader pass over what lies sorted by time.
        first, last = min(days), max(days)
        within += (
            f" and {quote(contract.time)} >= timestamp '{first}'"
            f" and {quote(contract.time)} < timestamp '{last}' + interval 1 day"
        )
    if shares > 1:
        within += f" and {incoming.hash_sql} % {shares} = {share}"
    columns = incoming.columns_sql
    parts = [
        f"""
        select {columns} from ({incoming.staged_sql()})
        where {within} and {incoming.hash_sql} not in (select h from suspects)
        """
    ]
    settled = [folder / SETTLED for folder in found if (folder / SETTLED).exists()]
    if settled:
        parts.append(f"select {columns} from read_parquet({files_sql(settled)}) where {within}")
    if touched:
        parts.append(
            f"""
            select {columns} from ({incoming.live_sql(touched)})
            where {within} and {incoming.hash_sql} not in (select h from rewritten)
            """
        )
    rows = " union all ".join(parts)
    if len(days) > 1:
        connection.execute(f"create temp table rows as select *, {day} as day from ({rows})")
    written = {}
    for name in days:
        relative = Path(day_folder(name)) / f"b{incoming.batch_id:06}-{share}.parquet"
        (out / relative).parent.mkdir(exist_ok=True)
        one = f"select {columns} from rows where day = {literal(name)}" if len(days) > 1 else rows
        count = _write(connection, one, out / relative)
        if count:
            written[relative.as_posix()] = count
        else:
            (out / relative).unlink()
    accepted = {}
    if written:
        first_number = min(number for _, _, number in incoming.numbers)
        accepted = dict(
            connection.execute(
                f"""
                select _file_id, count(*)
                from read_parquet({files_sql([out / name for name in written])})
                where _file_id >= {first_number}
                group by _file_id
                """
            ).fetchall()
        )
    return {"rows": written, "accepted": [list(item) for item in sorted(accepted.items())]}


def _insert(connection: duckdb.DuckDBPyConnection, incoming: Incoming, query: str) -> None:
    connection.execute(
        f"insert into raw.{incoming.contract.table} ({incoming.columns_sql}) {query}"
    )


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    row = connection.execute(
        f"copy ({query}) to {literal(str(path))} (format parquet, compression zstd)"
    ).fetchone()
    return int(row[0]) if row else 0


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0
