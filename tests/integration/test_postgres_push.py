"""The marts in PostgreSQL: equal to the file, swapped whole, refused when they should be."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import duckdb
import pytest
from typer.testing import CliRunner

from orchestration import cli, transform
from orchestration.defs import serving
from orchestration.errors import GateError, LockedError, SettingsError, TandemError
from orchestration.publish import postgres as module
from orchestration.publish.postgres import PushReport, push
from orchestration.settings import PostgresTarget, Settings
from orchestration.steps import Steps
from orchestration.warehouse import open_warehouse
from tests.integration.bi_reader import WHOLE
from tests.integration.bi_world import (
    ANSWERS,
    CHINESE,
    FIGURES,
    ROWS,
    assert_whole,
    fill,
    grains,
    mart_tables,
    plain,
    publish_world,
    versioned,
)
from tests.integration.pg_server import postgres
from tests.support import KEY, test_settings

psycopg = pytest.importorskip("psycopg", reason="psycopg is in the extra `dev`")
pytest.importorskip("adbc_driver_postgresql", reason="the driver is in the extra `postgres`")
READER = Path(__file__).with_name("bi_reader.py")
TARGET = PostgresTarget(dsn_env="MARTS_DSN", reader_role="bi_reader")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create role bi_reader login")
        yield dsn


@pytest.fixture
def dsn(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A database of the test's own."""
    name = f"db{abs(hash(request.node.name))}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    dsn = server.replace("/postgres?", f"/{name}?")
    monkeypatch.setenv("MARTS_DSN", dsn)
    return dsn


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return test_settings(tmp_path)


def push_now(settings: Settings, **named: Any) -> PushReport:
    return push(settings, TARGET, grains=grains(), **named)


def ask(dsn: str, query: str, **named: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, **named) as connection:
        return connection.execute(query).fetchall()  # type: ignore[no-any-return]


def schemas(dsn: str) -> list[str]:
    query = """
        select nspname from pg_namespace
        where nspname !~ '^pg_' and nspname not in ('public', 'information_schema')
        order by 1
    """
    return [name for (name,) in ask(dsn, query)]


def test_the_marts_are_there_row_for_row_with_words_keys_and_rights(
    dsn: str, settings: Settings
) -> None:
    fill(settings, ROWS)
    publish_world(settings)
    report = push_now(settings)
    assert (report.version, report.is_new, report.tables) == (1, True, len(ROWS))
    assert schemas(dsn) == sorted(module.SCHEMAS)
    assert (report.without_index, report.left) == ((), ())
    with duckdb.connect() as file, psycopg.connect(dsn) as there:
        file.execute(f"attach '{settings.serving_path}' as file (read_only)")
        file.execute("use file")
        for name in [*ROWS, "_publish", "_publish_tables"]:
            schema, table = name.split(".") if "." in name else ("tandem", name)
            here = file.execute(f"select * from {name.replace('.', '.')}")
            names = [column[0] for column in here.description or []]
            wanted = here.fetchall()
            cursor = there.execute(f'select * from "{schema}"."{table}"')
            assert [column.name for column in cursor.description or []] == names
            assert sorted(map(repr, cursor.fetchall())) == sorted(map(repr, wanted)), name
        kinds = there.execute(
            """
            select distinct data_type from information_schema.columns
            where table_schema in ('users', 'dim', 'revenue', 'engagement', 'quality')
            """
        ).fetchall()
        assert {kind for (kind,) in kinds} == {
            "bigint",
            "boolean",
            "date",
            "double precision",
            "text",
            "timestamp without time zone",
        }
        words = there.execute(
            "select col_description(t, 3), obj_description(t) "
            "from (select 'dim.groups'::regclass as t) as t"
        ).fetchone()
        mart = next(mart for mart in mart_tables() if mart.full_name == "dim.groups")
        assert words == (mart.columns["name"], mart.description)
        keys = there.execute(
            "select indexdef from pg_indexes where schemaname = 'users' and tablename = 'rfm'"
        ).fetchall()
        assert len(keys) == 1
        assert keys[0][0].startswith("CREATE UNIQUE INDEX")
        assert keys[0][0].endswith("(person_id)")
        analyzed = there.execute(
            "select reltuples from pg_class where oid = 'revenue.daily'::regclass"
        ).fetchone()
        assert analyzed == (3.0,)
    answers = [ask(dsn, figure.sql, user="bi_reader")[0][0] for figure in FIGURES]
    assert [plain(answer) for answer in answers] == [plain(answer) for answer in ANSWERS]
    for statement in ("delete from dim.groups", "create table dim.mine (a int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(dsn, statement, user="bi_reader")
    again = push_now(settings)
    assert (again.version, again.is_new) == (1, False)


def test_psql_shows_the_names_and_the_words(dsn: str, settings: Settings) -> None:
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("no psql here: apt-get install postgresql-client")
    fill(settings, ROWS)
    publish_world(settings)
    push_now(settings)

    def run(command: str) -> str:
        ended = subprocess.run(
            [psql, "-X", "-At", "-c", command, dsn.replace("tandem@", "bi_reader@")],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"LANG": "C.UTF-8", "PGCLIENTENCODING": "UTF8"},
        )
        return ended.stdout

    assert run("select name from dim.groups where group_id = 'g1'").strip() == CHINESE
    assert "daily_active" in run(r"\dt users.*")
    assert "业务日期" in run(r"\d+ revenue.daily")
    assert run('select sum("in") from quality.reconciliation').strip() == "103"


def test_readers_during_two_swaps_see_whole_versions(
    dsn: str, settings: Settings, tmp_path: Path
) -> None:
    fill(settings, versioned(1))
    publish_world(settings, names=versioned(1))
    push_now(settings)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("alter role bi_reader set search_path = tandem, public")
    stop = tmp_path / "stop"
    reader = dsn.replace("tandem@", "bi_reader@")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _JOINED, reader, str(stop), WHOLE["active"]],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for version in (2, 3):
            fill(settings, versioned(version))
            publish_world(settings, names=versioned(1))
            assert push_now(settings).version == version
    finally:
        stop.touch()
        found = [json.loads(one.communicate(timeout=60)[0]) for one in readers]
    for one in found:
        assert one["errors"] == []
        assert_whole(one["seen"], last=3)


_JOINED = """
import json, os, sys, time, psycopg
dsn, stop, _ = sys.argv[1:]
errors, seen, last = [], set(), False
# One statement over four marts: PostgreSQL lets the next one see a later version.
query = '''
    select p.version, a.low, a.high, a.n, m.low, m.high, m.n
    from tandem._publish as p
    cross join (
        select min(dau) as low, max(dau) as high, count(*) as n from users.daily_active
    ) as a
    cross join (
        select min(gmv_minor) as low, max(gmv_minor) as high, count(*) as n from revenue.daily
    ) as m
'''
with psycopg.connect(dsn, autocommit=True) as connection:
    while not last:
        last = os.path.exists(stop)
        try:
            seen.add(connection.execute(query).fetchone())
        except psycopg.Error as error:
            errors.append(repr(error))
        time.sleep(0.005)
print(json.dumps({"errors": errors, "seen": [
    {"version": [v], "active": list(a), "money": list(m), "again": [v]}
    for v, a, m in ((one[0], one[1:4], one[4:7]) for one in seen)
]}))
"""


def test_a_query_that_holds_the_old_version_holds_up_no_push(
    dsn: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWAP_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(module, "DROP_TIMEOUT", "100ms")
    fill(settings, versioned(1, rows=5))
    publish_world(settings, names=versioned(1))
    push_now(settings)
    with psycopg.connect(dsn) as reader:
        cursor = reader.cursor("slow")
        cursor.execute("select dau from users.daily_active")
        assert cursor.fetchone() == (1,)
        fill(settings, versioned(2, rows=5))
        publish_world(settings, names=versioned(1))
        report = push_now(settings)
        assert [name.rsplit("_", 2)[0] for name in report.left] == ["users"]
        assert ask(dsn, "select max(dau) from users.daily_active") == [(2,)]
        assert cursor.fetchall() == [(1,)] * 4
    publish_world(settings, names=versioned(1))
    assert push_now(settings).left == ()
    assert schemas(dsn) == sorted(module.SCHEMAS)


def _killed_in(settings: Settings, step: str, call: int) -> None:
    real, calls = getattr(module, step), [0]

    def die(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(module, step, die)
    push_now(settings)


@pytest.mark.parametrize(
    ("step", "call", "version"),
    [("_ingest", 1, 1), ("_index", 2, 1), ("_grants", 3, 1), ("_drop_older", 2, 2)],
)
def test_a_kill_leaves_the_old_version_or_the_new_one(
    dsn: str, settings: Settings, step: str, call: int, version: int
) -> None:
    fill(settings, versioned(1, rows=3))
    publish_world(settings, names=versioned(1))
    push_now(settings)
    fill(settings, versioned(2, rows=3))
    publish_world(settings, names=versioned(1))
    child = multiprocessing.get_context("fork").Process(
        target=_killed_in, args=(settings, step, call)
    )
    child.start()
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL
    served = "select max(dau) from users.daily_active"
    assert ask(dsn, served, user="bi_reader") == [(version,)]
    assert len(schemas(dsn)) > len(module.SCHEMAS)
    publish_world(settings, names=versioned(1))
    # The server takes a moment to notice that the killed client is gone.
    for _ in range(200):
        with contextlib.suppress(LockedError):
            assert push_now(settings).is_new
            break
        time.sleep(0.1)
    assert ask(dsn, served, user="bi_reader") == [(2,)]
    assert schemas(dsn) == sorted(module.SCHEMAS)


def test_what_is_not_newer_or_not_audited_is_refused(dsn: str, settings: Settings) -> None:
    with pytest.raises(TandemError, match="run `tandem build`"):
        push_now(settings)
    fill(settings, versioned(1, rows=3))
    publish_world(settings, names=versioned(1))
    older = settings.serving_path.read_bytes()
    push_now(settings)
    time.sleep(1.1)
    publish_world(settings, names=versioned(1))
    push_now(settings)

    def serve(content: bytes) -> None:
        settings.serving_path.unlink()
        settings.serving_path.write_bytes(content)

    newest = settings.serving_path.read_bytes()
    serve(older)
    with pytest.raises(TandemError, match=r"has version 2, .*not older than version 1 here"):
        push_now(settings)
    assert push_now(settings, replace=True).is_new
    assert ask(dsn, "select version from tandem._publish") == [(1,)]

    def tamper(statement: str) -> None:
        serve(newest)
        with duckdb.connect(str(settings.serving_path)) as connection:
            connection.execute(statement)

    for statement, reason in [
        ("update users.daily_active set dau = 9", "is not what was published"),
        ("create table users.mine (a integer)", "tables are not those"),
        ("update _publish set rules = ''", "without the gates' verdict"),
        ("alter table users.daily_active alter dau type hugeint", "cannot be pushed: dau"),
    ]:
        tamper(statement)
        with pytest.raises(GateError, match=reason):
            push_now(settings)
    assert ask(dsn, "select version from tandem._publish") == [(1,)]
    settings.serving_path.unlink()
    settings.serving_path.write_text("torn", encoding="utf-8")
    with pytest.raises(TandemError, match="cannot read"):
        push_now(settings)


def test_another_s_schema_is_never_touched(dsn: str, settings: Settings) -> None:
    fill(settings, versioned(1, rows=3))
    publish_world(settings, names=versioned(1))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("create schema users; create table users.theirs as select 1 as a")
    with pytest.raises(TandemError, match="schemas users of this database are not Tandem's"):
        push_now(settings)
    assert schemas(dsn) == ["users"]
    apart = PostgresTarget(dsn_env="MARTS_DSN", prefix="tandem_")
    assert push(settings, apart).is_new
    assert ask(dsn, "select max(dau) from tandem_users.daily_active") == [(1,)]
    assert ask(dsn, "select a from users.theirs") == [(1,)]


def test_a_verdict_of_the_build_is_asked_for(dsn: str, settings: Settings) -> None:
    fill(settings, {"quality.validations": []})
    publish_world(settings, names=["quality.validations"])
    with pytest.raises(GateError, match="0 verdicts"):
        push_now(settings)
    verdict = {"run": "run", "success": True, "severity": "critical"}
    fill(settings, {"quality.validations": [verdict]})
    publish_world(settings, names=["quality.validations"])
    assert push_now(settings).rows == 1


def test_odd_texts_arrive(dsn: str, settings: Settings) -> None:
    odd = ["a\\b'c\"d", "$$", "\t\n", "", "群\u202e"]
    fill(
        settings,
        {"dim.groups": [{"source": "s", "group_id": str(n), "name": t} for n, t in enumerate(odd)]},
    )
    with open_warehouse(settings) as connection:
        connection.execute(
            "insert into dim.groups (source, group_id, name) values ('s', 'z', 'a' || chr(0)), "
            "('s', repeat('x', 4000) || 'y', null)"
        )
    publish_world(settings, names=["dim.groups"])
    report = push_now(settings)
    names = [
        n for (n,) in ask(dsn, "select name from dim.groups where group_id < 'x' order by group_id")
    ]
    assert names == odd
    assert ask(dsn, "select name from dim.groups where group_id = 'z'") == [("a\ufffd",)]
    assert report.rows == len(odd) + 2


def test_the_dsn_shows_nowhere(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(settings, versioned(1, rows=1))
    publish_world(settings, names=versioned(1))
    monkeypatch.delenv("MARTS_DSN", raising=False)
    with pytest.raises(SettingsError, match="MARTS_DSN is not set"):
        push_now(settings)
    for dsn in (
        f"postgresql://u:hunter2@/db?host={tmp_path}",
        "postgresql://u:hunter2@127.0.0.1:1/db",
        "hunter2",
        "postgresql://hunter2 %%",
    ):
        monkeypatch.setenv("MARTS_DSN", dsn)
        with pytest.raises(TandemError, match="MARTS_DSN names") as caught:
            push_now(settings)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_command_and_the_asset_push_what_is_published(
    dsn: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(settings, versioned(1, rows=3))
    publish_world(settings, names=versioned(1))
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_KEY", KEY)
    monkeypatch.setattr(transform, "read_manifest", lambda _: {"nodes": {}})
    command = ["publish", "postgres", "--dsn-env", "MARTS_DSN"]
    pushed = CliRunner().invoke(cli.app, [*command, "--reader", "bi_reader", "--json"])
    assert pushed.exit_code == 0, pushed.output
    assert json.loads(pushed.stdout)["rows"] == 6
    assert "version 1 is there already" in CliRunner().invoke(cli.app, command).stdout
    wrong = CliRunner().invoke(cli.app, [*command, "--prefix", "A-"])
    assert isinstance(wrong.exception, SettingsError)
    assert serving.postgres_assets(settings) == []
    settings = settings.model_copy(update={"postgres": TARGET})

    def materialize() -> list[Any]:
        build: Any = SimpleNamespace(settings=settings)
        resources = {"build": Steps(build)}
        result = dg.materialize(serving.postgres_assets(settings), resources=resources)
        assert result.success
        return list(result.asset_materializations_for_node("serving__marts_postgres"))

    publish_world(settings, names=versioned(1))
    (made,) = materialize()
    assert (made.metadata["version"].value, made.metadata["schemas_left"].value) == (2, "none")
    monkeypatch.setenv("MARTS_DSN", "postgresql://127.0.0.1:1/none")
    assert materialize() == []
    assert ask(dsn, "select version from tandem._publish") == [(2,)]
