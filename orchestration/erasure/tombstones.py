"""Erased ids: what stands in their place, and how raw rows lose the person behind them.

A tombstone is HMAC-SHA256 of an id with a key of its own, so that a record that arrives again is
known for what it is, while nobody without key and id can tell who was erased.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

import duckdb
import orjson

from orchestration.contracts import LogContract, PersonField, contracts
from orchestration.errors import TandemError
from orchestration.ingest.canonical import canonical_sql
from orchestration.ingest.checks import literal, quote
from orchestration.keys import ERASURES, derived_key
from orchestration.settings import Settings

PREFIX = "erased-"
BLANK_JSON = "{}"
_TEXT = "id_kind || ':' || cast(strlen(source) as varchar) || ':' || source || ':' || id"


def tombstone(settings: Settings, id_kind: str, source: str, number: str) -> str:
    """Lower-case hex HMAC-SHA256 of one id, the same as `tombstone_sql` gives."""
    text = f"{id_kind}:{len(source.encode())}:{source}:{number}"
    return hmac.new(derived_key(settings, ERASURES), text.encode(), hashlib.sha256).hexdigest()


def replacement(mark: str) -> str:
    """The id that stands in an erased id's place."""
    return PREFIX + mark[:32]


def key_check(settings: Settings) -> str:
    """What tells whether tombstones were made with this home's key."""
    return hmac.new(derived_key(settings, ERASURES), b"check", hashlib.sha256).hexdigest()[:16]


def has_tombstones(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether anybody was erased here.

    Raises TandemError when that was under another key: who was erased would be taken in again.
    """
    row = connection.execute(
        """
        select count(*), any_value(key_check)
        from control.erasures
        where erasure in (select erasure from control.tombstones)
        """
    ).fetchone()
    if row is None or not row[0]:
        return False
    if row[1] != key_check(settings):
        raise TandemError(
            "the key is not the one that persons were erased with, so that they would not be "
            "known if they came again: put that key back (see docs/runbooks/erase-a-person.md)"
        )
    return True


def bury_batch(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    logs: Collection[str],
    batch_id: int,
) -> int:
    """Replace the erased ids in one batch's rows, before duplicates are settled; rows changed.

    Rejected lines of the batch that name an erased id lose their text. Runs inside the batch's
    transaction, and costs one query while nobody was erased.
    """
    if not has_tombstones(connection, settings):
        return 0
    _find_in_batch(connection, settings, logs, batch_id)
    changed = 0
    for log in logs:
        changed += bury(connection, contracts()[log], batch_id)
        set_erased_at(connection, contracts()[log])
    return changed + _blank_rejected(connection, settings, batch_id)


def name_erased(connection: duckdb.DuckDBPyConnection, ids: Collection[tuple[str, ...]]) -> None:
    """Fill the temporary table `erased_ids` from (id_kind, source, id, replacement_id)."""
    connection.execute(
        "create or replace temp table erased_ids "
        "(id_kind varchar, source varchar, id varchar, replacement_id varchar)"
    )
    for row in ids:
        values = ", ".join(literal(text) for text in row)
        connection.execute(f"insert into erased_ids values ({values})")


def bury(
    connection: duckdb.DuckDBPyConnection, contract: LogContract, batch_id: int | None = None
) -> int:
    """Replace the ids of `erased_ids` in a log's raw rows, or one batch's; how many rows changed.

    Rows that are about an erased id lose their personal fields and `_extra` as well.
    """
    fields = contract.person_fields
    if not fields:
        return 0
    table = f"raw.{contract.table}"
    within = "true" if batch_id is None else f"r._batch_id = {batch_id}"
    row = connection.execute(
        f"""
        create or replace temp table buried as
        select
            r.rowid as row_id,
            {" or ".join(_matches(field) for field in fields if field.is_own) or "false"} as is_own
        from {table} as r
        where {within} and ({" or ".join(_matches(field) for field in fields)})
        """
    ).fetchone()
    if not row or not row[0]:
        return 0
    cleared = [*contract.cleared_fields, "_extra"]
    connection.execute(
        f"""
        update {table} set {", ".join(f"{quote(name)} = null" for name in cleared)}
        where rowid in (select row_id from buried where is_own)
        """
    )
    for field in fields:
        _replace(connection, table, field)
    if contract.kind == "entity":
        connection.execute(
            f"""
            update {table} set _state_sha256 = sha256({canonical_sql(contract)})
            where rowid in (select row_id from buried)
            """
        )
    return int(row[0])


def count_rows(connection: duckdb.DuckDBPyConnection, contract: LogContract) -> int:
    """How many of a log's raw rows hold an id of `erased_ids`."""
    conditions = " or ".join(_matches(field) for field in contract.person_fields)
    if not conditions:
        return 0
    row = connection.execute(
        f"select count(*) from raw.{contract.table} as r where {conditions}"
    ).fetchone()
    return int(row[0]) if row else 0


def set_erased_at(connection: duckdb.DuckDBPyConnection, contract: LogContract) -> None:
    """Give the states of erased ids the time of their erasure, where they have none."""
    if "erased_at" not in {field.name for field in contract.fields}:
        return
    table, field = f"raw.{contract.table}", contract.person_fields[0]
    connection.execute(
        f"""
        create or replace temp table undated as
        select r.rowid as row_id, min(t.erased_at) as erased_at
        from {table} as r
        inner join control.tombstones as t
            on t.id_kind = {literal(field.kind)} and t.source = r.source
                and t.replacement_id = r.{quote(field.name)}
        where r.erased_at is null
        group by r.rowid
        """
    )
    connection.execute(
        f"""
        update {table} set erased_at = undated.erased_at
        from undated where {table}.rowid = undated.row_id
        """
    )
    connection.execute(
        f"""
        update {table} set _state_sha256 = sha256({canonical_sql(contract)})
        where rowid in (select row_id from undated)
        """
    )


def _matches(field: PersonField) -> str:
    """A condition over a raw row `r`: the field holds an id of `erased_ids`."""
    source, column = f"r.{quote(field.source_field)}", f"r.{quote(field.name)}"
    if field.is_list:
        return (
            f"({column} is not null and exists (select 1 from erased_ids as e "
            f"where e.id_kind = '{field.kind}' and e.source = {source} "
            f"and list_contains({_items(column)}, e.id)))"
        )
    if field.kind == "unit":
        units = f"select source, id, experiment_id from ({_UNITS})"
        return f"({source}, {column}, r.experiment_id) in ({units})"
    return (
        f"({source}, {column}) in "
        f"(select source, id from erased_ids where id_kind = '{field.kind}')"
    )


def _items(column: str) -> str:
    return f"from_json({column}, '[\"VARCHAR\"]')"


# Until its experiment's record has come, a unit may be of either kind.
_UNITS = """
    select e.source, e.id, x.experiment_id, min_by(e.replacement_id, e.id_kind) as replacement_id
    from erased_ids as e
    inner join (
        select distinct seen.source, seen.experiment_id, experiments.unit
        from raw.operations__exposures as seen
        left join raw.operations__experiments as experiments using (source, experiment_id)
    ) as x on e.source = x.source and (x.unit is null or x.unit = e.id_kind)
    group by e.source, e.id, x.experiment_id
"""


def _replace(connection: duckdb.DuckDBPyConnection, table: str, field: PersonField) -> None:
    column, source = quote(field.name), quote(field.source_field)
    among = "r.rowid in (select row_id from buried)"
    if field.is_list:
        connection.execute(
            f"""
            update {table} as r
            set {column} = cast(to_json(list_transform(
                {_items(f"r.{column}")},
                lambda item: coalesce(list_extract(e.news, list_position(e.olds, item)), item)
            )) as varchar)
            from (
                select source, list(id order by id) as olds,
                    list(replacement_id order by id) as news
                from erased_ids
                where id_kind = '{field.kind}'
                group by source
            ) as e
            where {among} and r.{source} = e.source
                and list_has_any({_items(f"r.{column}")}, e.olds)
            """
        )
        return
    if field.kind == "unit":
        which = f"({_UNITS}) as e where r.experiment_id = e.experiment_id and"
    else:
        which = f"erased_ids as e where e.id_kind = '{field.kind}' and"
    connection.execute(
        f"""
        update {table} as r set {column} = e.replacement_id
        from {which} e.source = r.{source} and e.id = r.{column} and {among}
        """
    )


def _find_in_batch(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    logs: Collection[str],
    batch_id: int,
) -> None:
    """Fill `erased_ids` with the batch's ids that have a tombstone."""
    parts = []
    for log in logs:
        contract = contracts()[log]
        for field in contract.person_fields:
            column = quote(field.name)
            value = f"unnest({_items(column)})" if field.is_list else column
            kinds = ["account", "member"] if field.kind == "unit" else [field.kind]
            parts += [
                f"select '{kind}' as id_kind, {quote(field.source_field)} as source, "
                f"{value} as id from raw.{contract.table} where _batch_id = {batch_id} "
                f"and {column} is not null"
                for kind in kinds
            ]
    seen = " union ".join(parts) or "select '' as id_kind, '' as source, '' as id where false"
    _set_key(connection, settings)
    connection.execute(
        f"""
        create or replace temp table erased_ids as
        select distinct seen.id_kind, seen.source, seen.id, tombstones.replacement_id
        from (select *, {_hmac(_TEXT)} as tombstone from ({seen})) as seen
        inner join control.tombstones as tombstones using (tombstone)
        """
    )


def _set_key(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    block = derived_key(settings, ERASURES).ljust(64, b"\0")
    for name, pad in (("ipad", 0x36), ("opad", 0x5C)):
        text = "".join(f"\\x{byte ^ pad:02X}" for byte in block)
        connection.execute(f"set variable tandem_erasure_{name} = '{text}'::blob")


def _hmac(text: str) -> str:
    inner = f"sha256(getvariable('tandem_erasure_ipad') || encode({text}))"
    return f"sha256(getvariable('tandem_erasure_opad') || unhex({inner}))"


def _blank_rejected(
    connection: duckdb.DuckDBPyConnection, settings: Settings, batch_id: int
) -> int:
    """Take the text from the batch's rejected lines of JSON that name an erased id."""
    marks = {
        row[0] for row in connection.execute("select tombstone from control.tombstones").fetchall()
    }
    rows = connection.execute(
        "select rowid, log, raw_text from quarantine.lines "
        f"where batch_id = {batch_id} and line is not null and starts_with(raw_text, '{{')"
    ).fetchall()
    found = [row_id for row_id, log, text in rows if _names_erased(settings, marks, log, text)]
    blank_lines(connection, found)
    return len(found)


def blank_lines(
    connection: duckdb.DuckDBPyConnection, row_ids: Collection[int], text: str = BLANK_JSON
) -> None:
    """Make quarantined lines what an empty record would be; `text` is that record."""
    if row_ids:
        connection.execute(
            f"""
            update quarantine.lines
            set raw_text = {literal(text)}, reason = 'missing_required', field = 'source'
            where rowid in ({", ".join(str(number) for number in row_ids)})
            """
        )


def _names_erased(settings: Settings, marks: set[str], log: str, text: str) -> bool:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(values, dict):
        return False
    for field in contracts()[log].person_fields:
        held = values.get(field.name)
        kinds = ("account", "member") if field.kind == "unit" else (field.kind,)
        for item in held if isinstance(held, list) else [held]:
            for kind in kinds:
                mark = tombstone(settings, kind, str(values.get(field.source_field)), str(item))
                if mark in marks:
                    return True
    return False
