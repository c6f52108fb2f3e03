"""What a home holds, so that two can be compared, and what must be true of any."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb

from orchestration.audience import ledger
from orchestration.contracts import contracts
from orchestration.payouts import verify
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

LEFT_OUT = {
    "quality.validations": (None, "one run's verdicts more for every build that was tried"),
    "quality.freshness": (("last_loaded_at", "lag_seconds"), "the clock's time of loading"),
    "quality.ingestion": (("loaded_at",), "the clock's time of loading"),
    "quality.rejected": (("rejected_at",), "the clock's time of rejection"),
    "audience.packs": (None, "random, and paid for by the draw: see the release ledger's rules"),
    "audience.pack_rows": (None, "as above"),
    "audience.pack_counts": (None, "as above"),
    "audience.attacks": (None, "as above"),
    "audience.release_ledger": (None, "as above"),
}
"""Published tables and columns that hold run times or chance, not data: (columns or all, why)."""
PRIVATE = {
    "quarantine.lines": ("rejected_at",),
    "control.files": ("loaded_at",),
    "control.paths": ("seen_at",),
    "control.schema_drift": ("first_seen_at",),
    "control.replaced": (),
    "control.headers": (),
    "control.payout_ledger": ("build_id",),
    "control.payout_payees": (),
}
"""Tables of the warehouse that are compared as well, without the clock's times and build ids."""

POSTED = ("control.payout_ledger", "control.payout_payees")
"""Those of them that a whole build writes, and not an ingest."""


def loaded(settings: Settings) -> dict[str, tuple[int, int]]:
    """Table to (rows, sum of the rows' hashes) of raw, quarantine and the ledgers of files."""
    tables = {f"raw.{contract.table}": () for contract in contracts().values()} | PRIVATE
    with open_warehouse(settings, read_only=True) as connection:
        return {name: _digest(connection, name, left) for name, left in tables.items()}


def taken_in(settings: Settings) -> dict[str, tuple[int, int]]:
    """`loaded`, of what an ingest writes."""
    return {name: found for name, found in loaded(settings).items() if name not in POSTED}


def served(home: Path) -> dict[str, tuple[int, int]]:
    """The same of every published table, without what LEFT_OUT names."""
    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"attach '{home / 'serving' / 'marts.duckdb'}' as served (read_only)")
        for (name,) in connection.execute(
            "select table_name from served.main._publish_tables order by all"
        ).fetchall():
            columns, _ = LEFT_OUT.get(name, ((), ""))
            if columns is not None:
                found[name] = _digest(connection, f"served.{name}", columns)
    return found


def _digest(
    connection: duckdb.DuckDBPyConnection, table: str, left: tuple[str, ...]
) -> tuple[int, int]:
    exclude = f"exclude ({', '.join(left)})" if left else ""
    row = connection.execute(
        f"""
        select count(*), coalesce(sum(cast(hash(all_columns) as hugeint)), 0)
        from (select * {exclude} from {table}) as all_columns
        """
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def differences(is_now: dict[str, tuple[int, int]], calm: dict[str, tuple[int, int]]) -> list[str]:
    """Which tables differ, with their rows."""
    return [
        f"{name}: {is_now.get(name, (None,))[0]} rows, undisturbed {calm.get(name, (None,))[0]}"
        for name in sorted(is_now.keys() | calm.keys())
        if is_now.get(name) != calm.get(name)
    ]


def broken_rules(settings: Settings) -> list[str]:
    """What must hold of raw, files and the three ledgers at any time, and does not."""
    wrong = []
    with open_warehouse(settings, read_only=True) as connection:
        twice = connection.execute(
            "select count(*) - count(distinct (log, sha256)) from control.files"
        ).fetchall()[0][0]
        if twice:
            wrong.append(f"{twice} files are in the ledger twice")
        for contract in contracts().values():
            rows, accepted = connection.execute(
                f"""
                select (select count(*) from raw.{contract.table}), coalesce(sum(accepted), 0)
                from control.files where log = '{contract.log}'
                """
            ).fetchall()[0]
            if rows != accepted:
                wrong.append(f"{contract.log}: {rows} rows, {accepted} accepted")
        steps = ledger.read_if_any(connection)
        packs = connection.execute(
            "select pack, version, status from control.audience_packs"
        ).fetchall()
        posted = connection.execute("select count(*) from control.payout_ledger").fetchall()[0][0]
    wrong += _release_rules(settings, steps, packs)
    if posted and settings.serving_path.exists():
        report = verify(settings)
        if report.broken is not None and report.broken.what != "sum":
            wrong.append(f"payout ledger: {report.broken}")
    return wrong


def _release_rules(
    settings: Settings, steps: list[ledger.Row], packs: list[tuple[str, int, str]]
) -> list[str]:
    wrong = []
    for (entry, status), count in Counter((row.entry, row.status) for row in steps).items():
        if count > 1:
            wrong.append(f"release ledger: entry {entry} is {status} {count} times")
    drawn = Counter((row.spec_sha256, row.snapshot_id) for row in steps if row.status == "released")
    wrong += ["release ledger: one definition was drawn twice" for n in drawn.values() if n > 1]
    standing = {
        (folder.parent.name, int(folder.name[1:]))
        for folder in (settings.home / "exports").glob("*/v*")
    }
    released = {(pack, version) for pack, version, status in packs if status == "released"}
    wrong += [f"{pack} v{version} stands unreleased" for pack, version in standing - released]
    return wrong


def missing_packs(settings: Settings) -> list[str]:
    """Versions that the ledger calls released and that do not stand, nor anything half-made."""
    with open_warehouse(settings, read_only=True) as connection:
        rows = connection.execute(
            "select pack, version from control.audience_packs where status = 'released'"
        ).fetchall()
    exports = settings.home / "exports"
    wrong = [
        f"{pack} v{version} is gone"
        for pack, version in rows
        if not (exports / pack / f"v{version:03d}").is_dir()
    ]
    return wrong + [f"{path.name} is left" for path in exports.glob("*/.candidate-*")]
