"""Packs from the definition to the folder: what is written, refused, resumed, kept and removed."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration import durable
from orchestration.audience import ledger, release, rows
from orchestration.audience.definition import SpecError
from orchestration.audience.files import exports_path
from orchestration.audience.interface import (
    AttackContext,
    AttackResult,
    Column,
    Guarantee,
    PackSpec,
)
from orchestration.audience.ledger import LedgerError
from orchestration.audience.release import (
    build_pack,
    describe_plan,
    list_packs,
    plan_pack,
    read_balance,
    revoke_pack,
)
from orchestration.audience.verify import verify_pack
from orchestration.errors import GateError, LockedError, TandemError
from orchestration.lock import build_lock
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.audience.pack_world import COUNTS_PACK, ROWS_PACK, blocking, make_world, passing

NOW = datetime.fromisoformat("2026-07-01 08:00")
SEEDS = (
    ROWS_PACK.replace("beta: 0.3, k: 50", "beta: 0.2, k: 20")
    .replace("  age_band: {}\n", "")
    .replace("[4, 12]", "[4]")
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of 12,000 persons, copied for each test."""
    home = tmp_path_factory.mktemp("packs")
    make_world(home, 12_000, {})
    return home


@pytest.fixture
def world(template: Path, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    shutil.copytree(template, home)
    return _settings(home)


def _settings(home: Path, **audience: Any) -> Settings:
    from tests.support import test_settings

    folder = home / "packs"
    for name, text in {"seeds": SEEDS, "demand": COUNTS_PACK}.items():
        if not (folder / f"{name}.yml").exists():
            (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return test_settings(home, audience={"packs": [str(folder)], **audience})


def _define(world: Settings, name: str, text: str) -> None:
    path = world.home / "packs" / f"{name}.yml"
    path.write_text(text.replace("pack: seeds", f"pack: {name}"), encoding="utf-8")


def _ledger(world: Settings) -> list[ledger.Row]:
    with open_warehouse(world, read_only=True) as connection:
        return ledger.read(connection)


def _statuses(world: Settings) -> list[str]:
    return [row.status for row in _ledger(world)]


@pytest.fixture(scope="module")
def built(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Both packs released once; tests that only read share it."""
    home = tmp_path_factory.mktemp("built") / "home"
    shutil.copytree(template, home)
    settings = _settings(home)
    for name in ("seeds", "demand"):
        build_pack(settings, name, now=NOW, attacks=passing)
    return settings


def _released(settings: Settings, pack: str) -> tuple[Path, dict[str, Any]]:
    folder = exports_path(settings) / pack / "v001"
    return folder, json.loads((folder / "manifest.json").read_text("utf-8"))


@pytest.mark.parametrize("pack", ["seeds", "demand"])
def test_a_released_pack_verifies(built: Settings, pack: str) -> None:
    folder, checks = verify_pack(built, pack)
    assert folder == exports_path(built) / pack / "v001"
    assert [check for check in checks if not check.passed] == []


def test_a_manifest_does_not_choose_how_long_an_answer_is(built: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    settings = built.model_copy(update={"home": home})
    folder, manifest = _released(settings, "seeds")
    manifest["files"] |= {f"key {number}": manifest["files"]["card.md"] for number in range(2000)}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    _, checks = verify_pack(settings, "seeds")
    detail = next(check.detail for check in checks if check.name == "files")
    assert detail.endswith("and 1990 more")
    assert len(detail) < 200


def test_files_modes_and_manifest(built: Settings) -> None:
    folder, manifest = _released(built, "seeds")
    assert {path.name for path in folder.iterdir()} == {
        "rows.parquet", "rows.csv", "recode.sql", "card.md", "manifest.json",
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert list(manifest) == [
        "pack", "version", "kind", "purpose", "recipients", "created_at", "expires_at",
        "snapshot_id", "spec_sha256", "columns", "quasi_identifiers", "sensitive", "guarantee",
        "composition", "files", "attacks", "ledger", "libraries", "hmac",
    ]  # fmt: skip
    assert (manifest["created_at"], manifest["expires_at"]) == (
        "2026-07-01T08:00:00Z",
        "2026-09-29T08:00:00Z",
    )
    assert manifest["composition"]["epsilon_after"] == 1.0
    assert manifest["attacks"] == [{"id": "stub", "value": 0.0, "gate": 1.0, "pass": True}]


def test_no_figure_of_the_raw_data_is_told(built: Settings) -> None:
    with open_warehouse(built, read_only=True) as connection:
        eligible = connection.execute(
            "select count(*) from intermediate.int_audience_features "
            "where is_eligible and window_days = 30"
        ).fetchall()[0][0]
    plan = json.dumps(describe_plan(plan_pack(built, "seeds", now=NOW)))
    for pack in ("seeds", "demand"):
        folder, _ = _released(built, pack)
        text = plan + "".join(
            (folder / name).read_text("utf-8") for name in ("manifest.json", "card.md")
        )
        for figure in (str(eligible), f"{eligible:,}", str(12_000), "12,000"):
            assert figure not in text


def test_the_file_holds_the_promise(built: Settings) -> None:
    folder, _ = _released(built, "seeds")
    path = folder / "rows.parquet"
    connection = duckdb.connect()
    cells = connection.execute(
        f"select count(*), min(n) from "
        f"(select count(*) as n from '{path}' group by region, activity, topic)"
    ).fetchall()[0]
    assert cells[0] > 20
    assert cells[1] >= 20
    # l, alpha and t by a reading of their definitions that shares nothing with the builder's.
    rows = connection.execute(f"select region, activity, topic from '{path}'").fetchall()
    classes: dict[tuple[str, ...], dict[str, int]] = {}
    overall: dict[str, int] = {}
    for *known, topic in rows:
        own = classes.setdefault(tuple(known), {})
        own[topic] = own.get(topic, 0) + 1
        overall[topic] = overall.get(topic, 0) + 1
    for own in classes.values():
        total = sum(own.values())
        assert len(own) >= 3
        assert max(own.values()) / total <= 0.5
        distance = sum(abs(own.get(v, 0) / total - n / len(rows)) for v, n in overall.items()) / 2
        assert distance <= 0.6
    assert rows == sorted(rows)


def test_the_csv_is_the_parquet(built: Settings) -> None:
    folder, _ = _released(built, "demand")
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as handle:
        texts = list(csv.reader(handle))
    columns = texts[0]
    rows = duckdb.connect().execute(f"select * from '{folder / 'counts.parquet'}'").fetchall()
    assert columns == ["channel", "region", "week", "persons", "channel_days"]
    assert [[str(value) for value in row] for row in rows] == texts[1:]


def test_public_keys_are_all_there_and_nothing_is_below_zero(built: Settings) -> None:
    folder, _ = _released(built, "demand")
    rows = duckdb.connect().execute(f"select * from '{folder / 'counts.parquet'}'").fetchall()
    assert len({row[:3] for row in rows}) == len(rows) == 5 * 6 * 4
    assert min(value for row in rows for value in row[3:]) == 0


def test_a_recipient_bands_its_own_audience_alike(built: Settings) -> None:
    folder, _ = _released(built, "seeds")
    connection = duckdb.connect()
    connection.execute(
        """
        create table audience as select * from (values
            (1, 'CN-BJ', 4, 'film'), (2, 'US-CA', 3, 'knitting'), (3, null, null, null)
        ) as people (prospect_id, region, active_days, top_topic)
        """
    )
    found = connection.execute((folder / "recode.sql").read_text("utf-8")).fetchall()
    assert sorted(found) == [
        (1, "north", ">=4", "film"),
        (2, "(other)", "<4", "(other)"),
        (3, "(none)", "(none)", "(none)"),
    ]


def test_the_same_definition_and_data_are_never_drawn_twice(built: Settings) -> None:
    before = _ledger(built)
    again = build_pack(built, "demand", now=NOW + timedelta(days=1), attacks=blocking)
    assert not again.is_new
    assert again.folder == exports_path(built) / "demand" / "v001"
    assert _ledger(built) == before
    assert plan_pack(built, "demand", now=NOW).stored == again.folder


def test_tables_hold_what_the_files_hold(built: Settings) -> None:
    folder, _ = _released(built, "seeds")
    with open_warehouse(built, read_only=True) as connection:
        kept = connection.execute(
            """
            select list(value order by column_name), any_value(cell_rows)
            from control.audience_rows group by cell
            """
        ).fetchall()
        counted = connection.execute("select count(*) from control.audience_counts").fetchall()
        attacks = connection.execute("select * from control.audience_attacks").fetchall()
    cells = duckdb.connect().execute(
        f"select [activity, region, topic], count(*) from '{folder}/rows.parquet' group by all"
    )
    assert sorted(kept) == sorted(cells.fetchall())
    assert counted == [(240,)]
    assert attacks == [("seeds", 1, "stub", 0, 1, True), ("demand", 1, "stub", 0, 1, True)]


def test_a_dry_run_spends_draws_and_writes_nothing(world: Settings) -> None:
    files = {path: path.stat().st_mtime_ns for path in world.home.rglob("*") if path.is_file()}
    plan = plan_pack(world, "seeds", now=NOW)
    assert plan.problems == ()
    assert (plan.before.epsilon, plan.after.epsilon) == (0, 1.0)
    after = {path: path.stat().st_mtime_ns for path in world.home.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != files.get(path)} <= {world.home / "build.lock"}


def test_a_blocked_candidate_leaves_nothing_but_its_charge(world: Settings) -> None:
    with pytest.raises(GateError, match="seeds v001 is blocked by stub"):
        build_pack(world, "seeds", now=NOW, attacks=blocking)
    assert list(exports_path(world).rglob("*.parquet")) == []
    assert _statuses(world) == ["reserved", "charged", "candidate", "blocked"]
    assert read_balance(world, now=NOW).epsilon == 1.0
    assert [(item["version"], item["status"]) for item in list_packs(world)] == [(1, "blocked")]
    assert build_pack(world, "seeds", now=NOW, attacks=passing).version == 2


def test_a_gate_that_breaks_or_says_nothing_blocks(world: Settings) -> None:
    def broken(_: AttackContext) -> list[AttackResult]:
        raise RuntimeError("a value of the data")

    with pytest.raises(GateError, match="gate_error") as caught:
        build_pack(world, "seeds", now=NOW, attacks=broken)
    assert "value of the data" not in str(caught.value)
    with pytest.raises(GateError, match="an empty gate"):
        build_pack(world, "seeds", now=NOW, attacks=lambda _: [])


def test_coins_are_fresh_secret_and_forgotten(world: Settings) -> None:
    seen: list[bytes] = []

    def look(context: AttackContext) -> list[AttackResult]:
        seen.append(context.secrets[0])
        for path in context.folder.iterdir():
            data = path.read_bytes()
            assert context.secrets[0] not in data
            assert context.secrets[0].hex().encode() not in data
        return passing(context)

    _define(world, "again", SEEDS)
    build_pack(world, "seeds", now=NOW, attacks=look)
    build_pack(world, "again", now=NOW, attacks=look)
    assert len(set(seen)) == 2
    assert {len(coins) for coins in seen} == {32}
    stored = b"".join(path.read_bytes() for path in world.home.rglob("*") if path.is_file())
    assert not any(coins in stored or coins.hex().encode() in stored for coins in seen)


def test_rebuilds_are_the_builder_itself(world: Settings) -> None:
    found: dict[str, Any] = {}

    def look(context: AttackContext) -> list[AttackResult]:
        connection = context.connection
        context.redo("cells")
        context.redo("kept", filtered=True)
        found["same"] = connection.execute(
            """
            select count(*) from (
                select * exclude (cell_rows), cell_rows from kept
                except select *, count(*) from released group by all
            )
            """
        ).fetchall()[0][0]
        person = connection.execute(
            "select person_id from population order by person_id limit 1"
        ).fetchall()[0][0]
        context.redo("without", without=[person])
        found["differing"] = connection.execute(
            "select count(*) from (select * from cells except select * from without)"
        ).fetchall()[0][0]
        folder = context.folder.parent / "again"
        folder.mkdir()
        found["bytes"] = {
            name: hashlib.sha256((context.folder / name).read_bytes()).hexdigest() == sha256
            for name, sha256 in context.rewrite(folder).items()
        }
        shutil.rmtree(folder)
        found["ineligible"] = connection.execute(
            "select count(*) from population semi join canaries using (person_id)"
        ).fetchall()[0][0]
        found["canaries"] = connection.execute("select count(*) from canaries").fetchall()[0][0]
        return passing(context)

    build_pack(world, "seeds", now=NOW, attacks=look)
    assert found["same"] == 0
    assert found["differing"] <= 1
    assert found["bytes"] == {"rows.parquet": True, "rows.csv": True}
    assert (found["ineligible"], found["canaries"]) == (0, 200)


@pytest.mark.parametrize(
    ("stop", "statuses", "spent"),
    [
        ("draw", ["reserved", "charged"], 1.0),
        ("reserve", ["reserved", "refunded"], 0.0),
        ("gate", ["reserved", "charged", "candidate"], 1.0),
        ("rename", ["reserved", "charged", "candidate", "released"], 1.0),
    ],
)
def test_a_build_killed_anywhere(
    world: Settings, monkeypatch: pytest.MonkeyPatch, stop: str, statuses: list[str], spent: float
) -> None:
    class KilledError(BaseException):
        pass

    def kill(*_: object, **__: object) -> Any:
        raise KilledError

    with monkeypatch.context() as patch:
        if stop == "draw":
            patch.setattr(release, "_draw", kill)
        elif stop == "reserve":
            real = ledger.advance

            def advance(
                connection: Any, entry: int, status: ledger.Status, now: datetime, **more: Any
            ) -> ledger.Row:
                return (
                    kill() if status == "charged" else real(connection, entry, status, now, **more)
                )

            patch.setattr(ledger, "advance", advance)
        elif stop == "rename":
            patch.setattr(durable, "replace", kill)
        with pytest.raises(KilledError):
            build_pack(world, "seeds", now=NOW, attacks=kill if stop == "gate" else passing)
    target = exports_path(world) / "seeds" / "v001"
    assert not target.exists()
    with build_lock(world):
        release._recover(world, NOW)
    assert _statuses(world) == statuses
    assert read_balance(world, now=NOW).epsilon == spent
    assert target.exists() == (stop == "rename")
    assert list(exports_path(world).glob("*/.candidate*")) == []
    if stop == "rename":
        assert all(check.passed for check in verify_pack(world, "seeds")[1])
        assert not build_pack(world, "seeds", now=NOW, attacks=passing).is_new
    else:
        assert build_pack(world, "seeds", now=NOW, attacks=passing).is_new


def test_two_builds_at_once(world: Settings) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(context: AttackContext) -> list[AttackResult]:
        entered.set()
        leave.wait(20)
        return passing(context)

    first = threading.Thread(target=build_pack, args=(world, "seeds"), kwargs={"attacks": wait})
    first.start()
    try:
        assert entered.wait(20)
        hasty = world.model_copy(update={"lock_wait_seconds": 0.0})
        with pytest.raises(LockedError, match="is held by"):
            build_pack(hasty, "seeds", attacks=passing)
    finally:
        leave.set()
        first.join()
    assert not build_pack(world, "seeds", attacks=passing).is_new
    assert _statuses(world).count("charged") == 1


def test_an_exhausted_budget_is_refused_before_anything_is_drawn(world: Settings) -> None:
    build_pack(world, "seeds", now=NOW, attacks=passing)
    for name in ("b", "c"):
        _define(world, name, SEEDS.replace("k: 20", "k: 21"))
    build_pack(world, "b", now=NOW, attacks=passing)
    before = _ledger(world)
    assert "purpose coldstart would have spent" in plan_pack(world, "c", now=NOW).problems[0]
    with pytest.raises(LedgerError, match="not enough budget"):
        build_pack(world, "c", now=NOW, attacks=passing)
    assert _ledger(world) == before
    later = NOW + timedelta(days=90)
    assert build_pack(world, "c", now=later, attacks=passing).is_new


def test_small_populations_and_empty_segments_are_refused(world: Settings) -> None:
    nobody = "segment:\n  - {column: active_days, op: '>', value: 30}\nrecode:"
    _define(world, "nobody", SEEDS.replace("recode:", nobody))
    with pytest.raises(SpecError, match="selects no one, or too few"):
        build_pack(world, "nobody", now=NOW, attacks=passing)
    small = _settings(world.home, min_eligible=50_000)
    with pytest.raises(SpecError, match="needs 50,000 eligible persons; make a counts pack"):
        build_pack(small, "seeds", now=NOW, attacks=passing)
    loose = _settings(world.home, delta_cap=1e-4)
    _define(world, "loose", SEEDS.replace("1e-8", "5e-5"))
    with pytest.raises(SpecError, match="delta is too great for this population"):
        build_pack(loose, "loose", now=NOW, attacks=passing)
    assert _ledger(world) == []


def test_a_loosened_floor_is_the_first_line_of_the_card(world: Settings) -> None:
    loose = _settings(world.home, min_k=10)
    folder = build_pack(loose, "seeds", now=NOW, attacks=passing).folder
    first = (folder / "card.md").read_text("utf-8").splitlines()[0]
    assert "Settings loosened the privacy floors:** min_k = 10 (20)" in first


def test_a_clock_set_back_is_refused(world: Settings) -> None:
    folder = build_pack(world, "demand", now=NOW, attacks=passing).folder
    before = NOW - timedelta(days=100)
    for step in (
        lambda: build_pack(world, "seeds", now=before, attacks=passing),
        lambda: build_pack(world, "demand", now=before, attacks=passing),
        lambda: plan_pack(world, "demand", now=before),
        lambda: release.expire_packs(world, now=before),
        lambda: revoke_pack(world, "demand", now=before),
    ):
        with pytest.raises(LedgerError, match="set the clock right"):
            step()
    assert folder.exists()
    moments = [row.recorded_at for row in _ledger(world)]
    assert moments == sorted(moments)


def test_an_attack_s_value_stands_as_the_gate_gave_it(world: Settings) -> None:
    def fine(_: AttackContext) -> list[AttackResult]:
        return [AttackResult("share", 0.00005, 0.0001, passed=True)]

    folder = build_pack(world, "demand", now=NOW, attacks=fine).folder
    (attack,) = json.loads((folder / "manifest.json").read_text("utf-8"))["attacks"]
    assert attack == {"id": "share", "value": 0.00005, "gate": 0.0001, "pass": True}
    assert "| 5e-05 | 0.0001 |" in (folder / "card.md").read_text("utf-8")


@pytest.mark.parametrize(("beta", "least", "most"), [(1.0, 40, 40), (0.5, 2, 38)])
def test_a_coin_falls_as_often_as_beta_says(beta: float, least: int, most: int) -> None:
    spec = PackSpec(
        "all", "rows", "p", ("a",), "community", 30, 30, (), (),
        (Column("region", "VARCHAR", "quasi_identifier"),),
        Guarantee(1.0, 1e-8, beta, 1), "", Path("all.yml"),
    )  # fmt: skip
    connection = duckdb.connect()
    connection.execute(
        "create table population as "
        "select cast(n as varchar) as person_id, 'r' as region from range(40) as r (n)"
    )
    rows.build_cells(connection, spec, "cells", bytes(range(32)))
    ((kept,),) = connection.execute("select cell_rows from cells").fetchall()
    assert least <= kept <= most


def test_revoking_removes_and_keeps_the_cost(world: Settings) -> None:
    folder = build_pack(world, "seeds", now=NOW, attacks=passing).folder
    assert revoke_pack(world, "seeds", now=NOW) == [1]
    assert not folder.exists()
    assert read_balance(world, now=NOW).epsilon == 1.0
    assert list_packs(world)[0]["status"] == "revoked"
    with open_warehouse(world, read_only=True) as connection:
        assert connection.execute("select count(*) from control.audience_rows").fetchall() == [(0,)]
    with pytest.raises(TandemError, match="no released version"):
        revoke_pack(world, "seeds", now=NOW)
    with pytest.raises(TandemError, match="no released version"):
        verify_pack(world, "seeds")


def test_what_expired_is_removed(world: Settings) -> None:
    folder = build_pack(world, "demand", now=NOW, attacks=passing).folder
    assert release.expire_packs(world, now=NOW + timedelta(days=29)) == []
    assert release.expire_packs(world, now=NOW + timedelta(days=30)) == [("demand", 1)]
    assert not folder.exists()
    assert _statuses(world)[-1] == "expired"


def test_what_expired_is_not_handed_out_again(world: Settings) -> None:
    later = NOW + timedelta(days=30)
    folder = build_pack(world, "demand", now=NOW, attacks=passing).folder
    assert plan_pack(world, "demand", now=later).stored is None
    with pytest.raises(SpecError, match="v001 was this definition on this data, and is gone"):
        build_pack(world, "demand", now=later, attacks=passing)
    assert not folder.exists()
    assert _statuses(world)[-1] == "expired"
    with open_warehouse(world) as connection:
        connection.execute("update control.builds set batch_id = batch_id + 1")
    again = build_pack(world, "demand", now=later, attacks=passing)
    assert (again.is_new, again.version) == (True, 2)


@pytest.mark.parametrize(
    ("name", "old", "new", "broken"),
    [
        ("manifest.json", '"epsilon": 1.0', '"epsilon": 0.5', "signature"),
        ("rows.csv", "film", "coding", "csv"),
        ("card.md", "seeds", "seedy", "bytes of card.md"),
        ("recode.sql", "north", "nowhere", "bytes of recode.sql"),
    ],
)
def test_tampering_is_found(
    built: Settings, tmp_path: Path, name: str, old: str, new: str, broken: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    settings = _settings(home)
    path = exports_path(settings) / "seeds" / "v001" / name
    path.write_text(path.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    failed = {check.name for check in verify_pack(settings, "seeds")[1] if not check.passed}
    assert broken in failed


def test_a_stray_file_an_open_mode_and_a_lost_ledger_are_found(
    built: Settings, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    settings = _settings(home)
    folder = exports_path(settings) / "seeds" / "v001"
    (folder / "ids.txt").write_text("x")
    (folder / "rows.csv").chmod(0o644)
    with open_warehouse(settings) as connection:
        connection.execute("delete from control.release_ledger where seq > 1")
    failed = {check.name for check in verify_pack(settings, "seeds")[1] if not check.passed}
    assert failed == {"files", "modes", "charge", "release"}
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(TandemError, match="is no manifest"):
        verify_pack(settings, "seeds")


def test_a_home_without_a_build_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "packs").mkdir()
    settings = _settings(tmp_path)
    with pytest.raises(TandemError, match="run `tandem build` first"):
        plan_pack(settings, "seeds")
    with open_warehouse(settings):
        pass
    with pytest.raises(TandemError, match="run `tandem build` first"):
        plan_pack(settings, "seeds")
    assert list_packs(settings) == []


def test_nothing_is_made_of_a_build_that_was_not_published(world: Settings) -> None:
    with open_warehouse(world) as connection:
        connection.execute(
            "insert into control.builds (build_id, started_at, state) "
            "values ('b2', now() + interval 1 hour, 'blocked')"
        )
    with pytest.raises(TandemError, match="the last build was not published"):
        build_pack(world, "seeds", now=NOW, attacks=passing)


def test_a_forgotten_ledger_is_noticed(built: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    settings = _settings(home)
    with open_warehouse(settings) as connection:
        connection.execute("delete from control.release_ledger")
        connection.execute("delete from control.audience_packs")
    with pytest.raises(LedgerError, match="was paid for in another ledger"):
        build_pack(settings, "seeds", now=NOW, attacks=passing)


def test_now_is_a_setting(world: Settings) -> None:
    moment = datetime(2026, 7, 1, 8, tzinfo=UTC)
    settings = world.model_copy(update={"now": moment})
    manifest = build_pack(settings, "demand", attacks=passing).manifest
    assert manifest["created_at"] == "2026-07-01T08:00:00Z"
