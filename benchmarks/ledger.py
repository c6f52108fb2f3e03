"""How long it takes to verify a payout ledger of a million entries, and to chain them.

Run `python -m benchmarks.ledger [--rows N]`. The bar is 10 s for a million.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.ingest.tables import CONTROL_TABLES, LEDGER_TABLES
from orchestration.payouts import verify
from orchestration.payouts.ledger import GENESIS
from orchestration.settings import Settings

BATCH = 65_536


def fill(path: Path, rows: int) -> float:
    """Write a ledger of so many entries with salts and served copies; seconds for the chain."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema control")
        for table in LEDGER_TABLES[:2]:
            connection.execute(f"create table {table} ({CONTROL_TABLES[table]})")
        started = time.monotonic()
        reader = pa.RecordBatchReader.from_batches(_schema(), _entries(rows))
        connection.register("entries", reader)
        connection.execute("insert into control.payout_ledger by name select * from entries")
        return time.monotonic() - started


def _schema() -> pa.Schema:
    texts = ("model", "entry_kind", "payee", "salt", "payee_commitment", "prev_hash", "row_hash")
    return pa.schema(
        [("seq", pa.int64()), ("posted_on", pa.date32()), ("month", pa.date32())]
        + [("amount_minor", pa.int64())]
        + [(name, pa.string()) for name in texts]
    )


def _entries(rows: int) -> Iterator[pa.RecordBatch]:
    last, schema = GENESIS, _schema()
    first_day = date(2020, 1, 1)
    for begin in range(1, rows + 1, BATCH):
        columns: dict[str, list[object]] = {name: [] for name in schema.names}
        for seq in range(begin, min(begin + BATCH, rows + 1)):
            salt = hashlib.sha256(str(seq).encode()).hexdigest()
            payee = f"{seq % 50_000:032x}"
            posted_on = first_day + timedelta(days=seq * 2000 // rows)
            commitment = hashlib.sha256(f"{salt}|{payee}".encode()).hexdigest()
            text = f"{seq}|{posted_on}|2019-12-01|pro_rata|payout|{seq}|{commitment}"
            before, last = last, hashlib.sha256((last + text).encode()).hexdigest()
            entry = (seq, posted_on, date(2019, 12, 1), seq, "pro_rata", "payout", payee, salt)
            for name, value in zip(schema.names, (*entry, commitment, before, last), strict=True):
                columns[name].append(value)
        yield pa.record_batch([pa.array(columns[f.name], f.type) for f in schema], schema)


def main() -> int:
    """Print what it took; 1 when the ledger that was just written does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        filled = fill(settings.warehouse_path, rows)
        started = time.monotonic()
        report = verify(settings)
        seconds = time.monotonic() - started
    sys.stdout.write(
        f"{rows:,} entries: chained and written in {filled:.1f} s, verified in {seconds:.2f} s "
        f"({'all hold' if report.ok else report.broken})\n"
    )
    return int(not report.ok)


if __name__ == "__main__":
    sys.exit(main())
