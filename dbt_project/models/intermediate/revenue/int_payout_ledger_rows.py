"""Chains the entries: a row's hash needs the row before, which SQL can only do one row a round."""

import hashlib

import pyarrow as pa

GENESIS = "0" * 64


def model(dbt, session):  # noqa: ARG001
    """The entries with `prev_hash` and `row_hash`, in the order of `seq`.

    row_hash = SHA-256 of prev_hash and the entry's canonical text, as docs/payouts.md has it.
    """
    dbt.config(materialized="table")
    ledger, entries = dbt.source("control", "payout_ledger"), dbt.ref("int_payout_ledger_entries")
    [(last,)] = ledger.aggregate("max_by(row_hash, seq)").fetchall()
    new = (
        entries.project(
            """
        *,
        cast(seq as varchar) || '|' || cast(posted_on as varchar) || '|' || cast(month as varchar)
            || '|' || model || '|' || entry_kind || '|' || cast(amount_minor as varchar) || '|'
            || payee_commitment as entry_text
        """
        )
        .order("seq")
        .to_arrow_table()
    )
    kept = new.schema.remove(new.schema.get_field_index("entry_text"))
    schema = kept.append(pa.field("prev_hash", pa.string()))
    schema = schema.append(pa.field("row_hash", pa.string()))
    return pa.RecordBatchReader.from_batches(schema, _chained(new, schema, last or GENESIS))


def _chained(new, schema, last):
    for batch in new.to_batches(65536):
        hashes = [last]
        for text in batch["entry_text"].to_pylist():
            last = hashlib.sha256((last + text).encode()).hexdigest()
            hashes.append(last)
        columns = [batch[name] for name in schema.names[:-2]]
        yield pa.record_batch([*columns, pa.array(hashes[:-1]), pa.array(hashes[1:])], schema)
