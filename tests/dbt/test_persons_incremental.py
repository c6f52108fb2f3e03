"""The activity facts after many incremental builds are those of one look at the same records."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from orchestration.ingest.tables import create_tables
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.dbt.scratch import query
from tests.support import test_settings

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = "select * exclude (first_active_at, last_active_at), first_active_at, last_active_at from"
EXPECTED = """
select
    cast(timezone('Asia/Shanghai', timezone('UTC', moment)) as date) as day, core, source, kind, id,
    count(*), count(*) filter (contribution), count(*) filter (reaction), min(moment), max(moment)
from (
    select 'community' as core, source, 'account' as kind, account_id as id, occurred_at as moment,
        event_type in ('comment', 'share') as contribution, event_type = 'like' as reaction
    from raw.community__events where event_type != 'impression'
    union all
    select 'community', source, 'account', author_account_id, published_at, true, false
    from raw.community__contents
    qualify row_number() over (
        partition by source, content_id order by updated_at desc, _state_sha256 desc) = 1
    union all
    select 'group', source, 'member', member_id, occurred_at, kind != 'reaction', kind = 'reaction'
    from raw.group__messages where kind != 'system'
)
group by all
"""


class Arrivals:
    """Random accepted records, batch by batch, as ingestion would leave them in raw."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.draw = random.Random(seed)
        self.batch = 0
        with open_warehouse(settings) as connection:
            create_tables(connection)

    def next(self, *, late: bool) -> None:
        """One batch: new rows, replaced rows, and moved publications; `late` reaches far back."""
        self.batch += 1
        with open_warehouse(self.settings) as connection:
            for _ in range(self.draw.randint(5, 20)):
                self._event(connection, "community__events", "event_id", late)
                self._event(connection, "group__messages", "message_id", late)
            for _ in range(self.draw.randint(0, 4)):
                self._content(connection, late)
            connection.execute(
                "insert into control.batches values (?, now(), now(), 1, 0, 0, 0, 0)", [self.batch]
            )

    def _moment(self, late: bool) -> datetime:
        first = 0 if late else self.batch * 3
        minutes = self.draw.randrange(first * 1440, (self.batch * 3 + 3) * 1440)
        return (START + timedelta(minutes=minutes)).replace(tzinfo=None)

    def _event(
        self, connection: duckdb.DuckDBPyConnection, table: str, key: str, late: bool
    ) -> None:
        number = f"k{self.draw.randrange(200)}"
        log = table.replace("__", "/")
        connection.execute(
            f"insert into control.replaced select '{log}', source, {key}, occurred_at, ? "
            f"from raw.{table} where {key} = ?",
            [self.batch, number],
        )
        connection.execute(f"delete from raw.{table} where {key} = ?", [number])
        row: dict[str, Any] = {"source": "s", key: number, "occurred_at": self._moment(late)}
        who = str(self.draw.randrange(8))
        if table == "community__events":
            kinds = ["impression", "read", "like", "comment"]
            row |= {"account_id": who, "event_type": self.draw.choice(kinds)}
        else:
            kinds = ["text", "reaction", "system"]
            row |= {"member_id": who, "group_id": "g", "kind": self.draw.choice(kinds)}
        self._insert(connection, table, row)

    def _content(self, connection: duckdb.DuckDBPyConnection, late: bool) -> None:
        row = {
            "source": "s",
            "content_id": f"c{self.draw.randrange(6)}",
            "updated_at": self._moment(True),
            "author_account_id": str(self.draw.randrange(8)),
            "published_at": self._moment(late),
            "kind": "post",
            "_state_sha256": f"{self.draw.getrandbits(64):016x}",
        }
        self._insert(connection, "community__contents", row)

    def _insert(
        self, connection: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]
    ) -> None:
        row |= {"_file_id": 1, "_batch_id": self.batch}
        marks = ", ".join("?" for _ in row)
        connection.execute(
            f"insert into raw.{table} ({', '.join(row)}) values ({marks})", list(row.values())
        )


@pytest.mark.parametrize("seed", [3])
def test_incremental_facts_are_those_of_the_records(
    tmp_path_factory: pytest.TempPathFactory, seed: int
):
    settings = test_settings(tmp_path_factory.mktemp("incremental"))
    arrivals = Arrivals(settings, seed)
    session = DbtSession(settings)
    for step in range(5):
        arrivals.next(late=step in (2, 4))
        with open_warehouse(settings) as connection:
            plan = make_plan(connection, settings)
            write_plan(connection, settings, plan)
        if session.manifest is None:
            session.parse()
        session.invoke(["run", "--select", "+int_identity_days"])
        dirty = query(
            settings, "select count(distinct activity_date) from intermediate.int_dirty_dates"
        )[0][0]
        days = query(
            settings, "select count(distinct activity_date) from intermediate.int_identity_days"
        )
        assert step == 0 or plan.full_refresh is False
        assert step not in (1, 3) or dirty < days[0][0], "the batch was to touch few dates"
        found = query(settings, f"{DAYS} intermediate.int_identity_days")
        assert sorted(found) == sorted(query(settings, EXPECTED))
        with open_warehouse(settings) as connection:
            connection.execute(
                "insert into control.builds values (?, now(), now(), ?, ?, ?, ?, 'transformed')",
                [
                    str(step),
                    plan.batch_id,
                    plan.as_of_date,
                    plan.settings_fingerprint,
                    plan.code_fingerprint,
                ],
            )
