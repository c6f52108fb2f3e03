"""Whatever lands, by however many workers and however often stopped: the same as ingest."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration import durable
from orchestration.ingest import ingest
from orchestration.land import land, run, store
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import EVENTS, WRITERS, event, settings_at

ACCOUNTS = "community/accounts"
RATES = "commerce/fx_rates"
TABLES = {
    "raw.community__events": "*",
    "raw.community__accounts": "*",
    "raw.commerce__fx_rates": "*",
    "raw.group__messages": "*",
    "control.files": "* exclude (loaded_at)",
    "control.batches": "* exclude (started_at, finished_at)",
    "control.paths": "* exclude (seen_at)",
    "control.headers": "*",
    "control.replaced": "*",
    "control.schema_drift": "* exclude (first_seen_at)",
    "quarantine.lines": "* exclude (rejected_at)",
}
RECEIVED = st.sampled_from([None, "2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z"])
EVENT = st.builds(
    lambda number, values: event(number, **values),
    st.integers(1, 6),
    st.fixed_dictionaries(
        {
            "received_at": RECEIVED,
            "topic": st.sampled_from([None, "a", "b"]),
            "occurred_at": st.sampled_from(
                ["2026-05-01T08:00:00+08:00", "2026-05-03T08:00:00+08:00", "2026-05-03T08:00:00"]
            ),
        },
        optional={"unknown": st.sampled_from(["x", 1]), "dwell_ms": st.sampled_from([1, -1])},
    ),
)
ACCOUNT = st.builds(
    lambda number, region, received, known: {
        "source": "app",
        "account_id": f"a{number}",
        "updated_at": f"2026-05-0{number}T00:00:00Z",
        "registered_at": "2026-05-01T00:00:00Z" if known else "soon",
        "region": region,
        "received_at": received,
        "note": region,
    },
    st.integers(1, 3),
    st.sampled_from(["CN-11", "CN-31"]),
    RECEIVED,
    st.integers(0, 5),
)
RATE = st.builds(
    lambda number: {
        "source": "app",
        "rate_id": f"r{number}",
        "rate_date": f"2026-05-0{number}",
        "currency": "USD",
        "rate": "7.1",
    },
    st.integers(1, 3),
)
KINDS = st.sampled_from([(EVENTS, EVENT), (EVENTS, EVENT), (ACCOUNTS, ACCOUNT), (RATES, RATE)])


@st.composite
def files(draw: st.DrawFn) -> dict[str, bytes]:
    """Files of one arrival: their paths below the landing zone, and their bytes."""
    found = {}
    for number in range(draw(st.integers(1, 4))):
        log, records = draw(KINDS)
        suffix = draw(st.sampled_from(["jsonl", "csv.gz", "parquet"]))
        data = WRITERS[suffix](draw(st.lists(records, min_size=1, max_size=6)))
        fault = draw(st.sampled_from([None, None, None, "cut", "control", "copy"]))
        name = f"{log}/{draw(st.integers(0, 10**6))}-{number}.{suffix}"
        found[name] = data[:-9] if fault == "cut" else data
        if fault == "copy":
            found[f"{log}/again-{name.rpartition('/')[2]}"] = data
        if fault == "control":
            found[f"{name}.control.json"] = json.dumps({"lines": 3}).encode()
    return found


def outcome(config: Settings) -> dict[str, Any]:
    with open_warehouse(config, read_only=True) as connection:
        rows: dict[str, Any] = {
            table: connection.execute(f"select {columns} from {table} order by all").fetchall()
            for table, columns in TABLES.items()
        }
        columns = connection.execute(
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name = 'raw' order by table_name, column_index"
        )
        return rows | {"columns": columns.fetchall()}


class Kill(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at its n-th write to the disk."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise Kill
        path.stat()


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    arrivals=st.lists(files(), min_size=1, max_size=2),
    kills=st.lists(st.integers(1, 60), max_size=3),
    small=st.booleans(),
)
def test_land_gives_what_ingest_gives(
    arrivals: list[dict[str, bytes]], kills: list[int], small: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "sync", lambda _: None)
        if small:
            # As with large files: many tasks, shares of keys, shares of days, merged parts.
            patch.setattr(run, "TASK_FILES", 1)
            patch.setattr(run, "FIND_ROWS", 3)
            patch.setattr(run, "WRITE_ROWS", 1)
            patch.setattr(store, "PARTS_KEPT", 2)
        native = settings_at(Path(folder, "native"))
        landed = settings_at(Path(folder, "landed"), raw_storage="parquet")
        for arrival in arrivals:
            for name, data in arrival.items():
                path = native.landing_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            ingest(native)
            shutil.copytree(native.landing_path, landed.landing_path, dirs_exist_ok=True)
            while kills:
                with pytest.MonkeyPatch.context() as fault, suppress(Kill):
                    fault.setattr(durable, "sync", Killer(kills.pop()))
                    land(landed)
            land(landed)
        assert outcome(landed) == outcome(native)
