"""What people would write instead, for five marts, on the same landing files.

Each follows the contract's definitions, and leaves out the same: of `daily_active` the rows by
source, mau28 stands for the other windows; of `daily_performance` the running likes; of
`group_daily` the members (joins, inferred joins, leaves) and what a group does not observe; all
leave out validation, quarantine, erasure, tests, incremental builds and the other marts. An
output that differs from Tandem's in one row fails the benchmark.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import zstandard

from benchmarks.measured import BenchmarkError
from orchestration.warehouse import literal

MARTS = {
    "daily_active": """
        select date, core, dau, dau_contributing, wau, mau28, new_persons
        from users.daily_active
        where source = '*' and is_complete
    """,
    "retention": """
        select cohort_date, core, mode, day_n, cohort_size, eligible, retained
        from users.retention
    """,
    "daily_performance": """
        select
            date, source, content_id, impressions, clicks, clicks_credited, reads, comments,
            shares, collects, unique_viewers
        from content.daily_performance
        where impressions + clicks + reads + comments + shares + collects > 0
    """,
    "group_daily": """
        select date, source, group_id, speakers, messages, reactions
        from engagement.group_daily
        where messages + reactions > 0
    """,
    "revenue_daily": """
        select
            date, core, orders, payers, gmv_minor, refunds_cash_minor, refunds_order_minor,
            net_cash_minor, net_order_minor
        from revenue.daily
    """,
}
"""The compared columns and rows of each mart, as a query on the published file."""


def require_equal(served: Path, output: Path) -> dict[str, int]:
    """Rows of each mart, when `<output>/<mart>.parquet` has the very same rows as Tandem's.

    Raises BenchmarkError with the numbers of rows that one side alone has.
    """
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(served)} as served (read_only)")
        connection.execute("use served")
        return require_equal_rows(connection, output)


def require_equal_rows(connection: duckdb.DuckDBPyConnection, output: Path) -> dict[str, int]:
    """The same, on a connection that sees Tandem's marts."""
    rows = {}
    for name, query in MARTS.items():
        columns = [row[0] for row in connection.execute(f"describe {query}").fetchall()]
        path = output / f"{name}.parquet"
        files = path / "*.parquet" if path.is_dir() else path
        rival = f"select {', '.join(columns)} from read_parquet({literal(files)})"
        found = connection.execute(
            f"""
            with ours as ({query}), theirs as ({rival})
            select
                (select count(*) from ours),
                (select count(*) from (from ours except all from theirs)),
                (select count(*) from (from theirs except all from ours))
            """
        ).fetchone()
        assert found is not None
        if found[1] or found[2]:
            raise BenchmarkError(
                f"{name}: {found[1]} rows are only in Tandem's, {found[2]} only in {output}"
            )
        rows[name] = int(found[0])
    return rows


def spark_local_path() -> Path:
    """The script that runs where PySpark is."""
    return Path(__file__).with_name("spark_local.py")


def unpack_zstd(landing: Path, target: Path) -> None:
    """A landing zone without zstd: those files unpacked, the others linked."""
    for path in landing.rglob("*"):
        if not path.is_file() or path.name.startswith("_"):
            continue
        goal = target / path.relative_to(landing)
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".zst":
            os.link(path, goal)
            continue
        with path.open("rb") as packed, goal.with_suffix("").open("wb") as plain:
            shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(packed), plain)
