"""Slack exports: the mapping on a tiny workspace, the member lists of a real one."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.connectors import ConversionError, ConvertOptions, convert
from orchestration.connectors.slack import slack_time
from tests.unit.connectors.landing_files import (
    FIXTURES,
    SHARED_DATA,
    Records,
    contract_faults,
    read_landing,
)

EXPORT = FIXTURES / "slack"
REAL = SHARED_DATA / "slack_houstondatavis" / "export"
SENSITIVE = ("Annie", "Ann Admin", "|bob", "|ann", "+33", "ann@example", "helperbot", "deploys")


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("slack", EXPORT, tmp_path, "hive")
    return read_landing(tmp_path)


def messages(records: Records) -> dict[str, dict[str, Any]]:
    return {row["message_id"]: row for row in records["group/messages"]}


def member_lists(records: Records) -> dict[str, set[str]]:
    """Members by group: the replay of joins and leaves, a speaker without a join counted too."""
    lists: defaultdict[str, set[str]] = defaultdict(set)
    changes = sorted(
        records["group/memberships"], key=lambda row: (row["occurred_at"], row["event_id"])
    )
    joined = {(row["group_id"], row["member_id"]) for row in changes if row["action"] == "join"}
    users = {row["member_id"] for row in records["group/members"] if not row.get("is_bot")}
    for row in records["group/messages"]:
        pair = (row["group_id"], row["member_id"])
        if row["kind"] not in ("system", "reaction") and pair not in joined and pair[1] in users:
            lists[pair[0]].add(pair[1])
    for row in changes:
        group = lists[row["group_id"]]
        (group.add if row["action"] == "join" else group.discard)(row["member_id"])
    return lists


def test_every_record_keeps_the_contract(landed: Records) -> None:
    assert contract_faults(landed, "slack") == []
    ids = [row["message_id"] for row in landed["group/messages"]]
    assert len(ids) == len(set(ids))


def test_messages_threads_and_mentions(landed: Records) -> None:
    found = messages(landed)
    hello = found["C1:1577874000.000123"]
    assert hello["occurred_at"] == "2020-01-01T10:20:00.000123Z"
    assert hello["kind"] == "text"
    assert hello["mentions"] == ["U2", "U3"]
    assert hello["text_length"] == len(hello["text"])
    assert "reply_to_message_id" not in hello
    assert hello["slack"]["edited"]["ts"] == "1577874100.000000"
    reply = found["C1:1577874060.999999"]
    assert reply["reply_to_message_id"] == "C1:1577874000.000123"
    assert reply["occurred_at"].endswith(".999999Z")
    assert found["C1:1577874070.000100"]["kind"] == "link"
    assert found["D001:1577960100.000002"]["text_length"] == 6


def test_files_bots_and_system_messages(landed: Records) -> None:
    found = messages(landed)
    image = found["C1:1577874080.000100"]
    assert (image["kind"], image["text_length"]) == ("image", 0)
    assert "xoxe" not in json.dumps(image)
    shared = found["C1:1577874090.000100"]
    assert (shared["kind"], shared["text"]) == ("file", "my notes for <@U1>")
    assert shared["mentions"] == ["U1"]
    assert shared["slack"]["text"].startswith("<@U2|bob> uploaded")
    comment = found["C1:1577874095.000100"]
    assert (comment["kind"], comment["member_id"]) == ("text", "U1")
    assert comment["text"] == "good ones"
    bot = found["C1:1577874100.000100"]
    assert (bot["kind"], bot["member_id"]) == ("text", "B1")
    assert found["C1:1577874110.000100"]["kind"] == "system"
    assert found["C1:1577874120.000100"]["member_id"] == "USLACKBOT"
    members = {row["member_id"]: row for row in landed["group/members"]}
    assert {key for key, row in members.items() if row.get("is_bot")} == {"B1", "U5", "USLACKBOT"}
    assert members["U1"]["display_name"] == "Annie"
    assert members["U1"]["updated_at"] == "2020-01-01T12:00:00.000000Z"
    assert members["U2"]["updated_at"] == "2020-01-02T10:16:40.000002Z", "the export's last moment"


def test_reactions_have_their_messages_time(landed: Records, tmp_path: Path) -> None:
    reactions = [row for row in landed["group/messages"] if row["kind"] == "reaction"]
    assert {row["message_id"] for row in reactions} == {
        "C1:1577874000.000123:tada:U2",
        "C1:1577874000.000123:tada:U3",
        "C1:1577874000.000123:+1::skin-tone-3:U2",
    }
    for row in reactions:
        assert row["reply_to_message_id"] == "C1:1577874000.000123"
        assert row["occurred_at"] == "2020-01-01T10:20:00.000123Z"
        assert row["slack"]["time_is_of_the_message"] is True
    report = convert("slack", EXPORT, tmp_path / "again", "hive")
    left_out = {(item.kind, item.reason): item.records for item in report.left_out}
    assert left_out["reactions", "the export does not say whose"] == 1
    assert left_out["integration_logs", "no log holds them"] == 1
    assert report.records_in["reactions"] == 4


def test_member_lists_come_out_of_the_replay(landed: Records) -> None:
    lists = member_lists(landed)
    assert lists["C1"] == {"U1", "U2", "U4"}
    assert lists["G1"] == {"U1", "U2"}
    assert lists["G2"] == {"U1", "U2"}
    assert lists["D001"] == {"U1", "U2"}
    rows = {row["event_id"]: row for row in landed["group/memberships"]}
    invited = rows["C1:1577873000.000002"]
    assert (invited["inviter_member_id"], invited["via"]) == ("U1", "invite")
    creator = rows["C1:1577872800.000000:creator:U1"]
    assert (creator["action"], creator["role"]) == ("join", "owner")
    silent = rows["C1:1577872800.000000:listed:U4"]
    assert silent["slack"] == {"inferred_from": "listed"}
    gone = rows["C1:1577890000.000000:not_listed:U3"]
    assert gone["action"] == "leave"
    assert gone["occurred_at"] == "2020-01-01T14:46:40.000000Z", "when the account was deactivated"


def test_a_channels_life_is_its_states(landed: Records) -> None:
    states = [row for row in landed["group/groups"] if row["group_id"] == "C2"]
    assert [(row["name"], row.get("closed_at")) for row in states] == [
        ("news", None),
        ("old-news", None),
        ("old-news", "2020-01-01T14:46:40.000001Z"),
    ]
    assert [row["updated_at"] for row in states] == sorted(row["updated_at"] for row in states)
    named = {row["group_id"]: row.get("name") for row in landed["group/groups"]}
    assert named["G2"] is None, "the name of a direct message is made of handles"
    assert {tuple(row["observes"]) for row in landed["group/groups"]} == {("leave", "reaction")}


@pytest.mark.parametrize("prefix", ["", "hive export/"])
def test_a_zip_gives_what_its_folder_gives(tmp_path: Path, landed: Records, prefix: str) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(EXPORT.rglob("*.json"), reverse=True):
            target.write(path, prefix + path.relative_to(EXPORT).as_posix())
    convert("slack", archive, tmp_path / "landing", "hive")
    assert read_landing(tmp_path / "landing") == landed


def test_a_damaged_zip_names_the_member(tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in EXPORT.rglob("*.json"):
            target.write(path, path.relative_to(EXPORT).as_posix())
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"Hello <@U2", b"Hallo <@U2", 1))
    with pytest.raises(ConversionError, match=r"general/2020-01-01\.json: Bad CRC-32"):
        convert("slack", archive, tmp_path / "landing", "hive")
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConversionError, match="not a zip file"):
        convert("slack", archive, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        (ConvertOptions(no_names=True), SENSITIVE, ("Hello <@U2> and", "all of us")),
        (
            ConvertOptions(no_text=True),
            ("Hello", "Hi!", "notes", "good ones", "deployed", "psst", "all of us", "bees"),
            ("Annie", "text_length"),
        ),
        (ConvertOptions(no_text=True, no_names=True), (*SENSITIVE, "Hello", "psst"), ("U4",)),
    ],
)
def test_without_text_or_names(
    tmp_path: Path, options: ConvertOptions, hidden: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    convert("slack", EXPORT, tmp_path, "hive", options=options)
    records = read_landing(tmp_path)
    assert contract_faults(records, "slack") == []
    everything = json.dumps(records, ensure_ascii=False)
    assert [word for word in hidden if word in everything] == []
    assert [word for word in kept if word not in everything] == []
    hello = messages(records)["C1:1577874000.000123"]
    assert hello["text_length"] == 57
    assert hello["mentions"] == ["U2", "U3"]


def test_a_folder_without_a_channel_is_left_out_and_named(tmp_path: Path) -> None:
    export = tmp_path / "export"
    shutil.copytree(EXPORT, export)
    shutil.copytree(export / "secret", export / "lost")
    report = convert("slack", export, tmp_path / "landing", "hive")
    assert ("messages", "no channel is listed for lost/", 1) in [
        (item.kind, item.reason, item.records) for item in report.left_out
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("general/2020-01-01.json", '[{"ts": ', r"general/2020-01-01\.json: line 1, column"),
        ("general/2020-01-01.json", '[{"ts": "yesterday"}]', r"2020-01-01\.json: entry 1"),
        ("general/2020-01-01.json", '[{"text": "x"}]', r"entry 1: no ts"),
        ("general/2020-01-01.json", '[{"ts": "1577874060.1", "text": {}}]', r"entry 1.*TypeError"),
        ("general/2020-01-01.json", "{}", r"no list"),
        ("channels.json", '[{"id": "C1"}]', r"channels\.json: entry 1: no name"),
        ("channels.json", '[{"id":"C1","name":"x","created":"soon"}]', r"channels\.json: entry 1"),
        ("users.json", "[7]", r"users\.json: entry 1: no object"),
        ("users.json", '[{"id": "U1", "profile": []}, 3]', r"users\.json: entry 2"),
        ("users.json", '[{"id": "U1", "profile": [1]}]', r"user U1: not as Slack writes it"),
    ],
)
def test_a_broken_export_names_the_place_and_lands_nothing(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    export = tmp_path / "export"
    shutil.copytree(EXPORT, export)
    (export / name).write_text(content)
    with pytest.raises(ConversionError, match=message):
        convert("slack", export, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionError, match=r"no channels\.json"):
        convert("slack", tmp_path / "empty", tmp_path / "landing", "hive")


@given(st.integers(1_000_000_000, 4_102_444_799), st.integers(0, 999_999))
def test_times_are_exact_to_the_microsecond(seconds: int, micros: int) -> None:
    from datetime import datetime

    moment = datetime.fromisoformat(slack_time(f"{seconds}.{micros:06d}"))
    assert moment.microsecond == micros
    assert int(moment.replace(microsecond=0).timestamp()) == seconds


def test_a_real_workspace_replays_to_its_own_member_lists(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip("the public workspace export is kept beside the checkout, not in it")
    convert("slack", REAL, tmp_path, "houston")
    records = read_landing(tmp_path)
    assert contract_faults(records, "slack") == []
    lists = member_lists(records)
    channels = json.loads((REAL / "channels.json").read_text())
    live = [channel for channel in channels if not channel["is_archived"]]
    assert len(live) == 7
    for channel in live:
        assert lists[channel["id"]] == set(channel["members"])
    inferred = [row for row in records["group/memberships"] if "slack" in row]
    assert inferred == [], "this export's joins and leaves are complete"
    natives = sum(len(json.loads(path.read_text())) for path in REAL.glob("*/*.json"))
    kinds = [row["kind"] for row in records["group/messages"]]
    assert len(kinds) - kinds.count("reaction") == natives
    closed = {row["group_id"] for row in records["group/groups"] if "closed_at" in row}
    assert closed == {channel["id"] for channel in channels if channel["is_archived"]}
