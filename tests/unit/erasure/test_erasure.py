"""One person out of every log, format and table; what stays, stays as it was."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestration.contracts import contracts
from orchestration.erasure import journal as journals
from orchestration.erasure import landing, run
from orchestration.erasure.receipts import keep_tombstones, receipt_path
from orchestration.erasure.run import erase, list_erasures, resume
from orchestration.erasure.search import Wanted
from orchestration.erasure.tombstones import bury_batch, replacement, tombstone
from orchestration.errors import SettingsError, TandemError
from orchestration.ingest import ingest, replay_quarantine
from orchestration.ingest.tables import create_tables
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.erasure.erasure_world import GONE, NAME, PHONE, STAYS, fill, identify
from tests.unit.ingest.landing_files import counts, put, query, rejected, rows, settings_at

NAMES_A_PERSON = re.compile("account|member|unit_id|inviter|owner|author|kol_|mentions|person|user")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_at(tmp_path_factory.mktemp("before"))
    fill(settings)
    return settings


@pytest.fixture(scope="module")
def after(before: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = _copy(before, tmp_path_factory.mktemp("after") / "home")
    report = erase(settings, "app", GONE["member"], build=identify)
    assert report.state == "done"
    assert report.ids == {("app", "account"): 1, ("app", "member"): 1}
    return settings


def _copy(settings: Settings, home: Path) -> Settings:
    shutil.copytree(settings.home, home)
    return settings_at(home)


def _raw(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    return {log: rows(settings, log, extra=True) for log in contracts()}


def test_every_field_that_holds_an_id_is_covered() -> None:
    for contract in contracts().values():
        covered = {field.name for field in contract.person_fields}
        for field in contract.fields:
            holds_ids = field.type == "id" or (field.items and field.items.type == "id")
            if holds_ids and NAMES_A_PERSON.search(field.name) and not field.pii:
                is_source = field.name.endswith("_source")
                assert is_source or field.name in covered, f"{contract.log}: {field.name}"


def test_sql_and_python_make_the_same_tombstone(after: Settings) -> None:
    marks = {tombstone(after, kind, "app", number) for kind, number in GONE.items()}
    assert {row[0] for row in query(after, "select tombstone from control.tombstones")} == marks


def test_every_field_of_every_log_loses_the_person(before: Settings, after: Settings) -> None:
    old, new = _raw(before), _raw(after)
    for log, contract in contracts().items():
        for records in (old[log], new[log]):
            records.sort(key=lambda row: (row["source"], str(row["received_at"]), str(row)))
        assert len(old[log]) == len(new[log]), log
        texts = json.dumps(new[log], default=str)
        for value in (PHONE, NAME, "secret of the first"):
            assert value not in texts, log
        for field in contract.person_fields:
            held = {
                item
                for row in new[log]
                if row[field.source_field] == "app"
                for item in (json.loads(row[field.name]) if field.is_list else [row[field.name]])
            }
            kind = "account" if field.kind == "unit" else field.kind
            assert GONE[kind] not in held, f"{log}: {field.name}"
            assert replacement(tombstone(after, kind, "app", GONE[kind])) in held
            assert STAYS[kind] in held


def test_other_persons_keep_everything_but_what_quotes_the_person(
    before: Settings, after: Settings
) -> None:
    for log in contracts():
        for old in rows(before, log, extra=True):
            if old["source"] == "elsewhere" or any(
                value == number for value in old.values() for number in STAYS.values()
            ):
                if log == "group/messages" and old["source"] == "app":
                    old["text"] = None
                assert old in rows(after, log, extra=True), log


def test_equal_numbers_are_told_from_the_person(after: Settings) -> None:
    state = rows(after, "community/accounts")
    assert sorted(row["account_id"] for row in state if row["source"] == "elsewhere") == [
        GONE["account"]
    ]
    own = [row for row in state if row["account_id"].startswith("erased-")]
    assert len(own) == 1
    assert own[0]["erased_at"] is not None
    assert own[0]["acquisition_channel"] is not None
    gone = ("display_name", "phone", "email", "union_id", "birth_year", "gender", "region")
    assert all(own[0][name] is None for name in gone)


def test_counts_and_rejections_still_add_up(before: Settings, after: Settings) -> None:
    assert counts(before) == counts(after)
    assert len(rejected(before)) == len(rejected(after)) == 3
    texts = query(after, "select raw_text, reason, field from quarantine.lines")
    assert {row[1:] for row in texts} == {("missing_required", "source")}
    assert not any(number in row[0] for row in texts for number in GONE.values())


def test_a_rebuild_from_the_landing_zone_gives_the_same(after: Settings, tmp_path: Path) -> None:
    again = settings_at(tmp_path / "home")
    shutil.copytree(after.landing_path, again.landing_path)
    shutil.copytree(after.home / "receipts", again.home / "receipts")
    with open_warehouse(again) as connection:
        create_tables(connection)
        assert keep_tombstones(connection, again) == 1
    ingest(again)
    assert _raw(again) == _raw(after)
    assert counts(again) == counts(after)
    assert rejected(again) == rejected(after)
    ledger = "select log, path, sha256, bytes from control.files order by all"
    assert query(again, ledger) == query(after, ledger)


def test_nothing_is_taken_twice_and_nobody_comes_back(
    before: Settings, after: Settings, tmp_path: Path
) -> None:
    settings = _copy(after, tmp_path / "home")
    assert not ingest(settings).files
    old = _raw(settings)
    for path in before.landing_path.rglob("day.*"):
        name = f"again.{path.name.split('.', 1)[1]}"
        put(settings, "/".join(path.parts[-3:-1]), name, path.read_bytes())
    bad = before.landing_path / "group/messages" / "bad.jsonl"
    put(settings, "group/messages", "again-bad.jsonl", bad.read_bytes().splitlines()[0])
    report = ingest(settings)
    assert report.files
    quoting = {"text": None}
    new = _raw(settings)
    # What another wrote about the person is the other's record, and comes with the file.
    for log in ("group/messages",):
        new[log] = [row | quoting for row in new[log]]
        old[log] = [row | quoting for row in old[log]]
    for log in contracts():
        digest = {"_state_sha256": None}
        assert [row | digest for row in new[log]] == [row | digest for row in old[log]], log
    replay_quarantine(settings)
    texts = query(settings, "select raw_text from quarantine.lines where raw_text is not null")
    assert not any(GONE["member"] in text for (text,) in texts)


def test_a_later_file_is_rewritten_when_asked_again(
    before: Settings, after: Settings, tmp_path: Path
) -> None:
    settings = _copy(after, tmp_path / "home")
    assert erase(settings, "app", GONE["member"], build=identify).state == "already erased"
    path = next(before.landing_path.glob("group/members/day.*"))
    put(settings, "group/members", "again." + path.name.split(".", 1)[1], path.read_bytes())
    ingest(settings)
    identify(settings)
    report = erase(settings, "app", GONE["member"], build=identify)
    assert (report.state, report.number, report.files) == ("done", 2, 1)
    assert [item.is_sound for item in list_erasures(settings)] == [True, True]


def test_the_receipt_is_private_and_names_nobody(after: Settings) -> None:
    path = receipt_path(after, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    for value in (*GONE.values(), PHONE, NAME):
        assert value not in text
    assert json.loads(text)["search"]["hits"] == 0
    assert not journals.journal_path(after).exists()
    assert [item.is_sound for item in list_erasures(after)] == [True]


def test_a_changed_receipt_is_noticed(after: Settings, tmp_path: Path) -> None:
    settings = _copy(after, tmp_path / "home")
    path = receipt_path(settings, 1)
    path.write_text(path.read_text().replace('"ids": 2', '"ids": 1'))
    settings.warehouse_path.unlink()
    with open_warehouse(settings) as connection:
        create_tables(connection)
        with pytest.raises(TandemError, match="was changed"):
            keep_tombstones(connection, settings)


def test_another_key_is_refused(after: Settings) -> None:
    other = after.model_copy(update={"key": settings_at(after.home, key="k" * 32).key})
    with open_warehouse(other) as connection, pytest.raises(TandemError, match="the key is not"):
        bury_batch(connection, other, [], 1)


def test_bad_requests(before: Settings, tmp_path: Path) -> None:
    settings = _copy(before, tmp_path / "home")
    with pytest.raises(SettingsError, match="no account or member"):
        erase(settings, "app", "nobody")
    with pytest.raises(SettingsError, match="no account of that id"):
        erase(settings, "app", GONE["member"], id_kind="account")
    report = erase(settings, "app", GONE["member"], dry_run=True)
    assert (report.state, report.files) == ("dry run", 19)
    assert _raw(settings) == _raw(before)
    broken = put(settings, "community/events", "broken.jsonl.gz", b"no gzip")
    with pytest.raises(TandemError, match=r"broken\.jsonl\.gz cannot be rewritten.*nothing was"):
        erase(settings, "app", GONE["member"], build=identify)
    broken.unlink()
    note = put(settings, "community", "note.txt", GONE["member"].encode())
    with pytest.raises(TandemError, match=r"note\.txt names the person"):
        erase(settings, "app", GONE["member"], build=identify)
    note.unlink()
    assert not journals.journal_path(settings).exists()
    assert _raw(settings) == _raw(before)


@pytest.mark.parametrize("text", ["' or '1'='1", "x'; drop table raw.group__members; --", '"', "%"])
def test_sql_in_what_is_asked_for_is_an_id_of_nobody(before: Settings, text: str) -> None:
    with pytest.raises(SettingsError, match="no account or member"):
        erase(before, "app", text, dry_run=True)
    with pytest.raises(SettingsError, match="no account or member"):
        erase(before, text, GONE["member"], dry_run=True)
    assert query(before, "select count(*) from raw.group__members") == [(3,)]


def test_one_id_alone_and_a_landing_zone_of_others(before: Settings, tmp_path: Path) -> None:
    settings = _copy(before, tmp_path / "home")
    report = erase(settings, "app", GONE["member"], only_id=True, keep_landing=True, build=identify)
    assert (report.files, report.ids) == (0, {("app", "member"): 1})
    assert report.landing_left > 5
    held = {
        tuple(row)
        for row in query(settings, "select source, account_id from raw.community__events")
    }
    assert ("app", GONE["account"]) in held
    held = {
        tuple(row) for row in query(settings, "select source, member_id from raw.group__messages")
    }
    assert ("app", GONE["member"]) not in held
    assert ("elsewhere", GONE["member"]) in held


def test_what_is_left_behind_is_found(before: Settings, tmp_path: Path) -> None:
    settings = _copy(before, tmp_path / "home")
    (settings.home / "notes.log").write_text(f"asked by {PHONE}")
    with pytest.raises(TandemError, match=r"still found in notes\.log\. Remove"):
        erase(settings, "app", GONE["member"], build=identify)
    with pytest.raises(TandemError, match="somebody else"):
        erase(settings, "app", STAYS["member"], build=identify)
    (settings.home / "notes.log").unlink()
    done = resume(settings, build=identify)
    assert done is not None
    assert done.state == "done"
    assert resume(settings) is None


class Killed(BaseException):
    """Stands for the process's end."""


@pytest.mark.parametrize("step", ["scrub", "swap", "end"])
def test_killed_anywhere_it_ends_the_same(
    step: str, before: Settings, after: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _copy(before, tmp_path / "home")

    def build(where: Settings) -> None:
        if step == "build":
            raise Killed
        identify(where)

    with monkeypatch.context() as patch:
        _kill_at(step, patch)
        with pytest.raises(Killed):
            erase(settings, "app", GONE["account"], build=build)
    if step in ("prepared", "scrub", "swap"):
        with pytest.raises(TandemError, match="erase --resume"):
            ingest(settings)
    erase(settings, "app", GONE["account"], build=identify)
    erased_at = {"erased_at": None, "_state_sha256": None}
    for log, records in _raw(settings).items():
        for mine, calm in zip(records, rows(after, log, extra=True), strict=True):
            assert mine | erased_at == calm | erased_at
    ledger = "select log, path, sha256, bytes, accepted from control.files order by all"
    assert query(settings, ledger) == query(after, ledger)
    for path in after.landing_path.rglob("*"):
        if path.is_file():
            mine = settings.landing_path / path.relative_to(after.landing_path)
            assert mine.read_bytes() == path.read_bytes()
    assert not list(settings.landing_path.rglob(".*"))
    assert not ingest(settings).files


def _kill_at(step: str, patch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    if step in ("begun", "prepared", "swapped"):
        write = journals.write

        def write_and_die(settings: Settings, journal: journals.Journal) -> None:
            write(settings, journal)
            if journal.stage == step:
                raise Killed

        patch.setattr(journals, "write", write_and_die)
    elif step == "scrub":
        patch.setattr(run, "find_common", die)
    elif step == "swap":
        replace = Path.replace
        done: list[Path] = []

        def replace_two(self: Path, target: Path) -> Path:
            if ".erased-" in self.name:
                if len(done) == 2:
                    raise Killed
                done.append(self)
            return replace(self, target)

        patch.setattr(Path, "replace", replace_two)
    elif step == "end":
        patch.setattr(run, "write_receipt", die)


def test_words_are_found_where_they_stand_alone() -> None:
    found = landing.pattern(["user-1"], ["13800138000"])
    assert found is not None
    for text in ("user-1", '"user-1"', "ask user-1.", "+8613800138000"):
        assert found.search(text), text
    for text in ("user-12", "my_user-1", "user-1-2", "1380013800"):
        assert not found.search(text), text


def test_sql_finds_what_python_finds(tmp_path: Path) -> None:
    texts = ["user-1", '{"a": "user-1"}', "user-12", "a.b+c (x) user-1", "O'Neil & [co] $^", "x"]
    wanted = Wanted(frozenset(), frozenset({"user-1"}), frozenset({"O'Neil & [co] $^"}))
    with open_warehouse(settings_at(tmp_path)) as connection:
        wanted.fill(connection)
        connection.execute("create temp table t as select unnest(?) as x", [texts])
        found = connection.execute(f"select x from t where {wanted.sql(['x'])}").fetchall()
    assert sorted(row[0] for row in found) == sorted(
        ["user-1", '{"a": "user-1"}', "a.b+c (x) user-1", "O'Neil & [co] $^"]
    )
