"""The one transaction that takes a person out of raw, quarantine and the file ledger."""

from __future__ import annotations

import csv
import json

import duckdb
import orjson

from orchestration.contracts import LogContract, contracts
from orchestration.erasure.journal import Journal
from orchestration.erasure.landing import WORD, Scrubber, blank_csv, free_text
from orchestration.erasure.search import Wanted, escape
from orchestration.erasure.tombstones import (
    blank_lines,
    bury,
    key_check,
    name_erased,
    set_erased_at,
)
from orchestration.ingest.canonical import canonical_sql
from orchestration.ingest.checks import quote
from orchestration.ingest.landing import CONTROL_SUFFIX
from orchestration.ingest.load import check_sums
from orchestration.settings import Settings
from orchestration.warehouse import literal


def scrub(connection: duckdb.DuckDBPyConnection, settings: Settings, journal: Journal) -> None:
    """Take the person out of everything that no build makes anew; notes the rows changed.

    Committed once: a second call finds the erasure's row and changes nothing.
    """
    connection.begin()
    try:
        known = connection.execute(
            "select receipt from control.erasures where erasure = ?", [journal.number]
        ).fetchone()
        if known is None:
            journal.rows = _scrub(connection, journal)
            connection.execute(
                f"""
                insert into control.erasures values (
                    {journal.number}, timestamp {literal(journal.requested_at)}, null, 'begun',
                    {len(journal.ids)}, {literal(key_check(settings))},
                    {literal(json.dumps(journal.rows))}, null, null
                )
                """
            )
        else:
            journal.rows = json.loads(known[0])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _scrub(connection: duckdb.DuckDBPyConnection, journal: Journal) -> dict[str, int]:
    name_erased(connection, [row[:4] for row in journal.ids])
    rows: dict[str, int] = {}
    for kind, source, _, new, mark in journal.ids:
        values = ", ".join(literal(text) for text in (mark, kind, source, new))
        connection.execute(
            f"""
            insert into control.tombstones
            select {values}, timestamp {literal(journal.requested_at)}, {journal.number}
            where {literal(mark)} not in (select tombstone from control.tombstones)
            """
        )
    wanted = Wanted.of(journal)
    for log, contract in contracts().items():
        changed = bury(connection, contract)
        set_erased_at(connection, contract)
        changed += _redact(connection, contract, wanted)
        if contract.kind == "entity":
            _merge_states(connection, contract)
        if changed:
            rows[log] = changed
    if paid := _strike_out_payee(connection):
        rows["payout_ledger"] = paid
    if lines := _blank_quarantine(connection, Scrubber(journal)):
        rows["quarantine"] = lines
    for file in journal.files:
        _note_file(connection, file.log, file.old_sha256, file.sha256, file.bytes)
        connection.execute(
            f"""
            update control.paths
            set bytes = {file.bytes}, mtime_ns = {file.mtime_ns}, sha256 = {literal(file.sha256)}
            where path = {literal(file.path)} and sha256 = {literal(file.old_sha256)}
            """
        )
        if file.control_temporary is not None:
            connection.execute(
                f"""
                update control.paths
                set bytes = {file.control_bytes}, mtime_ns = {file.control_mtime_ns}
                where path = {literal(file.path + CONTROL_SUFFIX)}
                """
            )
    check_sums(connection)
    return rows


def _strike_out_payee(connection: duckdb.DuckDBPyConnection) -> int:
    """Take the person's name and its salts from the payout ledger, whose hashes hold neither.

    Before the build, so that nothing is posted to move money from one name to the other.
    """
    connection.execute(
        """
        create or replace temp table struck_out as
        select distinct payees.payee
        from control.payout_payees as payees
        inner join erased_ids using (id_kind, source, id)
        """
    )
    row = connection.execute(
        """
        update control.payout_ledger set payee = '(erased)', salt = null
        where payee in (select payee from struck_out)
        """
    ).fetchone()
    connection.execute(
        "delete from control.payout_payees where payee in (select payee from struck_out)"
    )
    return int(row[0]) if row else 0


def _note_file(
    connection: duckdb.DuckDBPyConnection, log: str, old: str, new: str, size: int
) -> None:
    connection.execute(
        f"""
        update control.files set sha256 = {literal(new)}, bytes = {size}
        where log = {literal(log)} and sha256 = {literal(old)}
        """
    )


def _redact(connection: duckdb.DuckDBPyConnection, contract: LogContract, wanted: Wanted) -> int:
    """Take what others wrote where it quotes an id, a name or a number of the person."""
    alternatives = sorted(map(escape, wanted.loose))
    if wanted.bounded:
        either = "|".join(sorted(map(escape, wanted.bounded)))
        alternatives.append(f"(?:^|[^{WORD}])(?:{either})(?:$|[^{WORD}])")
    if not alternatives:
        return 0
    table, quoted = f"raw.{contract.table}", literal("|".join(alternatives))
    changed = 0
    for name in (*free_text(contract), "_extra"):
        column = quote(name)
        row = connection.execute(
            f"update {table} set {column} = null where regexp_matches({column}, {quoted})"
        ).fetchone()
        changed += row[0] if row else 0
    if changed and contract.kind == "entity":
        connection.execute(
            f"""
            update {table} set _state_sha256 = sha256({canonical_sql(contract)})
            where _state_sha256 <> sha256({canonical_sql(contract)})
            """
        )
    return changed


def _merge_states(connection: duckdb.DuckDBPyConnection, contract: LogContract) -> None:
    """Keep one of the states that have become equal, as ingestion would."""
    table = f"raw.{contract.table}"
    connection.execute(
        f"""
        create or replace temp table doubled as
        select row_id, _file_id from (
            select
                rowid as row_id,
                _file_id,
                row_number() over (
                    partition by source, {quote(contract.key)}, _state_sha256
                    order by received_at asc nulls last, _file_id asc, rowid asc
                ) as place
            from {table}
        )
        where place > 1
        """
    )
    connection.execute(f"delete from {table} where rowid in (select row_id from doubled)")
    connection.execute(
        """
        update control.files as files
        set accepted = accepted - lost.lines, duplicates = duplicates + lost.lines
        from (select _file_id, count(*) as lines from doubled group by _file_id) as lost
        where files.file_id = lost._file_id
        """
    )


def _blank_quarantine(connection: duckdb.DuckDBPyConnection, scrubber: Scrubber) -> int:
    """Take the text of rejected lines that name the person: as if no field had a value."""
    headers = {
        file_id: json.loads(header)
        for file_id, header in connection.execute("select * from control.headers").fetchall()
    }
    found: list[int] = []
    rows = connection.execute(
        """
        select lines.rowid, lines.file_id, lines.raw_text, files.format
        from quarantine.lines as lines
        left join control.files as files using (file_id)
        where lines.line is not null and lines.raw_text is not null
        """
    )
    csv_rows: list[tuple[int, str]] = []
    while batch := rows.fetchmany(10_000):
        for row_id, file_id, text, file_format in batch:
            if not scrubber.may_be_in(text.encode()):
                continue
            header = headers.get(file_id, [])
            is_csv = (file_format or "").startswith("csv")
            if _is_named(scrubber, text, header if is_csv else None):
                if is_csv:
                    csv_rows.append((row_id, blank_csv(header)))
                else:
                    found.append(row_id)
    blank_lines(connection, found)
    for row_id, text in csv_rows:
        blank_lines(connection, [row_id], text)
    return len(found) + len(csv_rows)


def _is_named(scrubber: Scrubber, text: str, header: list[str] | None) -> bool:
    if header is not None:
        fields = next(csv.reader([text]), [])
        if len(fields) == len(header):
            return scrubber.is_named(dict(zip(header, fields, strict=True)))
        return scrubber.is_named_in(text)
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        values = None
    if isinstance(values, dict):
        return scrubber.is_named(values)
    return scrubber.is_named_in(text)
