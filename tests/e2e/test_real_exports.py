"""Two real exports, converted, ingested, built and published: the figures are their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"
DUMP = SHARED_DATA / "se_french_meta"
WORKSPACE = SHARED_DATA / "slack_houstondatavis" / "export"

pytestmark = pytest.mark.skipif(
    not (DUMP.is_dir() and WORKSPACE.is_dir()),
    reason="the public exports are kept beside the checkout, not in it",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    tandem(home, "convert", "stackexchange", str(DUMP), "--source", "french")
    tandem(home, "convert", "slack", str(WORKSPACE), "--source", "houston")
    tandem(home, "build")
    return home


def tandem(home: Path, *arguments: str) -> None:
    """Run the CLI in its own process; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments, "--json"],
        env=os.environ | {"TANDEM_HOME": str(home), "TANDEM_THREADS": "2"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def warehouse(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        yield connection


@pytest.fixture
def marts(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(home / "serving" / "marts.duckdb", read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def posts() -> list[dict[str, str]]:
    return [dict(row.attrib) for row in ElementTree.parse(DUMP / "Posts.xml").getroot()]


def counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return {key: int(value) for key, value in connection.execute(query).fetchall()}


def test_every_landed_record_was_accepted(warehouse: duckdb.DuckDBPyConnection) -> None:
    read, accepted = warehouse.execute(
        "select sum(lines_read), sum(accepted) from control.files"
    ).fetchall()[0]
    assert read == accepted > 10_000
    assert warehouse.execute("select count(*) from quarantine.lines").fetchall() == [(0,)]


def test_scores(warehouse: duckdb.DuckDBPyConnection, posts: list[dict[str, str]]) -> None:
    scores = counts(
        warehouse,
        """
        select content_id, sum(cast(json_extract_string(properties, '$.value') as bigint))
        from raw.community__events
        where source = 'french' and event_type = 'vote'
        group by content_id
        """,
    )
    assert {post["Id"]: int(post["Score"]) for post in posts} == {
        post["Id"]: scores.get(post["Id"], 0) for post in posts
    }


def test_comment_and_answer_counts(
    marts: duckdb.DuckDBPyConnection, posts: list[dict[str, str]]
) -> None:
    children = """
        select parent_content_id, count(*)
        from dim.contents
        where source = 'french' and kind = '{}'
        group by parent_content_id
    """
    comments = counts(marts, children.format("comment"))
    answers = counts(marts, children.format("answer"))
    performance = counts(
        marts,
        """
        select content_id, sum(comments)
        from content.daily_performance
        where source = 'french'
        group by content_id
        """,
    )
    for post in posts:
        key = post["Id"]
        assert comments.get(key, 0) == performance.get(key, 0) == int(post["CommentCount"])
        assert answers.get(key, 0) == int(post.get("AnswerCount", 0))


def test_member_lists(
    warehouse: duckdb.DuckDBPyConnection, marts: duckdb.DuckDBPyConnection
) -> None:
    members = counts(
        marts,
        """
        select group_id, arg_max(members_close, date)
        from engagement.group_daily
        where source = 'houston'
        group by group_id
        """,
    )
    last_actions = warehouse.execute(
        """
        select group_id, member_id
        from raw.group__memberships
        where source = 'houston'
        group by group_id, member_id
        having arg_max(action, occurred_at) = 'join'
        """
    ).fetchall()
    channels = json.loads((WORKSPACE / "channels.json").read_text())
    live = [channel for channel in channels if not channel["is_archived"]]
    assert len(live) == 7
    for channel in live:
        listed = {(channel["id"], member) for member in channel["members"]}
        assert {pair for pair in last_actions if pair[0] == channel["id"]} == listed
        assert members[channel["id"]] == len(listed)


def test_no_name_was_published(
    warehouse: duckdb.DuckDBPyConnection, marts: duckdb.DuckDBPyConnection
) -> None:
    names = warehouse.execute(
        """
        select distinct display_name
        from raw.community__accounts
        where display_name like '% %'
        """
    ).fetchall()
    assert len(names) > 300
    columns = marts.execute(
        """
        select table_schema, table_name, column_name
        from information_schema.columns
        where data_type = 'VARCHAR'
        """
    ).fetchall()
    assert len(columns) > 20
    for schema, table, column in columns:
        found = marts.execute(
            f'select count(*) from {schema}.{table} where "{column}" in (select unnest(?))',
            [[name for (name,) in names]],
        ).fetchall()
        assert found == [(0,)], f"{schema}.{table}.{column}"
