"""Taking packs back from what is served, when the warehouse that kept them is gone."""

from __future__ import annotations

from pathlib import Path

import duckdb

from orchestration.audience import ledger
from orchestration.errors import TandemError
from orchestration.warehouse import literal

_CONTENT = {
    "control.audience_rows": "served.audience.pack_rows",
    "control.audience_counts": "served.audience.pack_counts",
    "control.audience_attacks": "served.audience.attacks",
}


def keep_packs(connection: duckdb.DuckDBPyConnection, serving: Path) -> int:
    """See to it that the release ledger holds every step that readers were shown.

    A warehouse without any step, one made anew, takes them and the packs from the served file;
    returns how many steps. Raises TandemError when the served ledger is broken, or is not the
    beginning of this one.
    """
    if not serving.exists():
        return 0
    connection.execute(f"attach {literal(serving)} as served (read_only)")
    try:
        return _keep(connection, serving)
    finally:
        connection.execute("detach served")


def _keep(connection: duckdb.DuckDBPyConnection, serving: Path) -> int:
    try:
        shown = ledger.read(connection, "served.audience.release_ledger")
    except duckdb.CatalogException:
        return 0
    except ledger.LedgerError as error:
        raise TandemError(f"{serving}: {error}") from error
    own = ledger.read(connection)
    if not shown or (len(own) >= len(shown) and own[len(shown) - 1] == shown[-1]):
        return 0
    if own:
        raise TandemError(
            f"{serving} shows step {shown[-1].seq} of the release ledger, which the warehouse "
            "does not hold: put the warehouse of that publication back (see docs/audience.md)"
        )
    connection.begin()
    connection.execute(f"insert into {ledger.TABLE} by name from served.audience.release_ledger")
    connection.execute(
        f"""
        insert into control.audience_packs by name
        select packs.*, steps.entry
        from served.audience.packs as packs
        inner join {ledger.TABLE} as steps using (pack, version)
        where steps.status = 'reserved'
        """
    )
    for table, source in _CONTENT.items():
        connection.execute(f"insert into {table} by name from {source}")
    connection.commit()
    return len(shown)
