"""The tables that Python writes: `raw`, `quarantine` and `control`.

Their columns are described in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import get_origin

import duckdb

from orchestration.contracts import LogContract, contracts
from orchestration.errors import TandemError
from orchestration.settings import MartSettings

CONTROL_TABLES = {
    "control.files": """
        file_id bigint, log varchar, path varchar, sha256 varchar, bytes bigint, mtime_ns bigint,
        format varchar, state varchar, reason varchar, lines_read bigint, accepted bigint,
        rejected bigint, duplicates bigint, batch_id bigint, loaded_at timestamp
    """,
    "control.headers": "file_id bigint, header varchar",
    "control.paths": """
        path varchar, log varchar, bytes bigint, mtime_ns bigint, sha256 varchar,
        seen_at timestamp
    """,
    "control.batches": """
        batch_id bigint, started_at timestamp, finished_at timestamp, files bigint,
        lines_read bigint, accepted bigint, rejected bigint, duplicates bigint
    """,
    "control.loading": "batch_id bigint",
    "control.replaced": """
        log varchar, source varchar, id varchar, occurred_at timestamp, batch_id bigint
    """,
    "control.schema_drift": """
        log varchar, field varchar, file_id bigint, lines bigint, first_seen_at timestamp
    """,
    "control.window_dates": "activity_date date",
    "control.funnel_steps": """
        funnel varchar, step bigint, step_kind varchar, event_kind varchar, is_first boolean,
        window_days bigint
    """,
    "control.scene_kinds": "kind varchar",
    "control.builds": """
        build_id varchar, started_at timestamp, finished_at timestamp, batch_id bigint,
        as_of_date date, settings_fingerprint varchar, code_fingerprint varchar, state varchar
    """,
    "control.validations": """
        run_id varchar, stage varchar, suite varchar, expectation varchar, column_name varchar,
        severity varchar, success boolean, observed varchar, table_name varchar,
        fingerprint varchar, checked_at timestamp
    """,
    "control.payout_ledger": """
        seq bigint, build_id varchar, posted_on date, month date, model varchar,
        entry_kind varchar, payee varchar, amount_minor bigint, refunds_minor bigint,
        salt varchar, payee_commitment varchar, prev_hash varchar, row_hash varchar
    """,
    "control.payout_payees": "payee varchar, id_kind varchar, source varchar, id varchar",
    "control.tombstones": """
        tombstone varchar, id_kind varchar, source varchar, replacement_id varchar,
        erased_at timestamp, erasure bigint
    """,
    "control.erasures": """
        erasure bigint, requested_at timestamp, finished_at timestamp, state varchar,
        tombstones bigint, key_check varchar, receipt varchar, prev_hash varchar,
        row_hash varchar
    """,
    "control.release_ledger": """
        seq bigint, recorded_at timestamp, entry bigint, status varchar, population varchar,
        purpose varchar, pack varchar, version bigint, spec_sha256 varchar, snapshot_id varchar,
        mechanism varchar, params varchar, epsilon double, delta double, prev_hash varchar,
        row_hash varchar
    """,
    "control.audience_packs": """
        pack varchar, version bigint, entry bigint, kind varchar, purpose varchar,
        population varchar, created_at timestamp, expires_at timestamp, epsilon double,
        delta double, beta double, k bigint, l bigint, alpha double, t double,
        spec_sha256 varchar, snapshot_id varchar, status varchar
    """,
    "control.audience_rows": """
        pack varchar, version bigint, cell bigint, column_name varchar, value varchar,
        cell_rows bigint
    """,
    "control.audience_counts": """
        pack varchar, version bigint, cell varchar, measure varchar, value bigint
    """,
    "control.audience_attacks": """
        pack varchar, version bigint, attack varchar, value double, gate double, passed boolean
    """,
    "quarantine.lines": """
        file_id bigint, path varchar, log varchar, line bigint, reason varchar, field varchar,
        raw_text varchar, batch_id bigint, rejected_at timestamp
    """,
}
INGEST_LEDGERS = (
    "control.files",
    "control.paths",
    "control.batches",
    "control.replaced",
    "control.schema_drift",
    "quarantine.lines",
)
"""What an ingest writes beside `raw` for people to look at."""
HISTORY_TABLES = ("control.builds", "control.stages", "control.validations")
"""What a full refresh takes over from the old warehouse once the new one is ready: no landing file
says it."""
LEDGER_TABLES = (
    "control.tombstones",
    "control.erasures",
    "control.payout_ledger",
    "control.payout_payees",
    "control.release_ledger",
    "control.audience_packs",
    "control.audience_rows",
    "control.audience_counts",
    "control.audience_attacks",
)
"""What it takes over before it begins, because ingest and models go on from it."""
_SETTING_TYPES = {str: "varchar", int: "bigint", float: "double", bool: "boolean"}


def raw_columns(contract: LogContract) -> dict[str, str]:
    """Column name to DuckDB type of `raw.<table>`, in order."""
    columns = {field.name: field.duckdb_type for field in contract.all_fields}
    columns |= {"_extra": "VARCHAR", "_file_id": "BIGINT", "_batch_id": "BIGINT"}
    if contract.kind == "entity":
        columns["_state_sha256"] = "VARCHAR"
    return columns


def parameter_columns() -> dict[str, str]:
    """Column name to DuckDB type of `control.parameters`; lists stand in tables of their own."""
    columns = {
        name: _SETTING_TYPES[field.annotation]  # type: ignore[index]
        for name, field in MartSettings.model_fields.items()
        if get_origin(field.annotation) is not tuple
    }
    return columns | {
        "utc_offset_least": "bigint",
        "utc_offset_greatest": "bigint",
        "as_of_date": "date",
        "previous_as_of_date": "date",
        "watermark_batch_id": "bigint",
        "batch_id": "bigint",
        "full_refresh": "boolean",
    }


def create_tables(
    connection: duckdb.DuckDBPyConnection, logs: Collection[str] | None = None
) -> None:
    """Create every schema and table that is missing; change none that is there.

    `logs` narrows the tables of `raw`.
    """
    for schema in ("raw", "quarantine", "control"):
        connection.execute(f"create schema if not exists {schema}")
    for name, columns in CONTROL_TABLES.items():
        connection.execute(f"create table if not exists {name} ({columns})")
    connection.execute(
        f"create table if not exists control.parameters ({_ddl(parameter_columns())})"
    )
    for log, contract in contracts().items():
        if logs is None or log in logs:
            connection.execute(
                f"create table if not exists raw.{contract.table} ({raw_ddl(contract)})"
            )


def is_landed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the warehouse's raw relations are views over landed Parquet (docs/scaling.md)."""
    row = connection.execute(
        "select count(*) from duckdb_views() where schema_name = 'raw' and not internal"
    ).fetchone()
    return bool(row and row[0])


def require_tables(connection: duckdb.DuckDBPyConnection, doing: str) -> None:
    """Raise TandemError where raw records lie as Parquet, which `doing` cannot change."""
    if is_landed(connection):
        raise TandemError(
            f"{doing} is not possible here: the raw records of this home lie as Parquet "
            '(setting raw_storage = "parquet"; docs/scaling.md, "Landing by many workers")'
        )


def raw_ddl(contract: LogContract) -> str:
    """Columns with the compression that loads fast.

    Left to itself DuckDB weighs every method for every segment: 40 % of the whole load of
    events, for a third of the size (measured on 1.5.6, 2026-11). Texts that seldom repeat stay as
    they are. DuckDB 2.0 no longer takes orders for the others, and chooses.
    """
    few = {field.name for field in contract.all_fields if field.type in ("enum", "currency")}
    dictionary = "dictionary" if int(duckdb.__version__.split(".")[0]) < 2 else None
    methods = {"TIMESTAMP": "bitpacking", "BIGINT": "bitpacking", "VARCHAR": "uncompressed"}
    parts = []
    for name, kind in raw_columns(contract).items():
        method = dictionary if name in few | {"source"} else methods.get(kind)
        using = f" using compression {method}" if method and name != "_extra" else ""
        parts.append(f'"{name}" {kind}{using}')
    return ", ".join(parts)


def _ddl(columns: dict[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
