"""Mattermost bulk exports: the mapping on a tiny server."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from orchestration.connectors import ConversionError, ConvertOptions, convert
from tests.unit.connectors.landing_files import FIXTURES, Records, contract_faults, read_landing

EXPORT = FIXTURES / "mattermost"
LINES = (EXPORT / "import.jsonl").read_text().splitlines(keepends=True)
HELLO = "hive/bees:1709600002123:ann"


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("mattermost", EXPORT, tmp_path, "hive")
    return read_landing(tmp_path)


def test_messages_threads_and_reactions(landed: Records) -> None:
    assert contract_faults(landed, "mattermost") == []
    found = {row["message_id"]: row for row in landed["group/messages"]}
    hello = found[HELLO]
    assert (hello["occurred_at"], hello["kind"]) == ("2024-03-05T00:53:22.123Z", "text")
    assert hello["mentions"] == ["bob.b"]
    assert hello["mattermost"] == {"edit_at": 1709600003000, "is_pinned": True}
    reply = found["hive/bees:1709600004000:bob.b"]
    assert (reply["kind"], reply["reply_to_message_id"]) == ("image", HELLO)
    reaction = found[f"{HELLO}:honey_pot:bob.b"]
    assert (reaction["kind"], reaction["occurred_at"]) == ("reaction", "2024-03-05T00:53:25.000Z")
    assert found["hive/bees:1709600006000:cat"]["kind"] == "link"
    assert found["direct:ann,bob.b:1709600008000:bob.b"]["text"] == "psst"
    assert [row["kind"] for row in landed["group/messages"]].count("system") == 2


def test_groups_and_members(landed: Records) -> None:
    groups = {row["group_id"]: row for row in landed["group/groups"]}
    assert set(groups) == {"hive/bees", "hive/drones", "direct:ann,bob.b"}
    assert groups["hive/bees"]["created_at"] == "2024-03-05T00:53:20.000Z"
    assert groups["hive/drones"]["closed_at"] == "2024-03-08T12:13:20.000Z"
    assert "name" not in groups["direct:ann,bob.b"]
    assert {tuple(row["observes"]) for row in landed["group/groups"]} == {("leave", "reaction")}
    members = {row["member_id"]: row for row in landed["group/members"]}
    assert members["ann"]["display_name"] == "Annie"
    assert members["bob.b"]["display_name"] == "Bob Builder"
    assert members["buzzer"]["is_bot"] is True
    assert "secret-hash" not in json.dumps(landed)


def test_the_replay_gives_the_listed_members(landed: Records) -> None:
    lists: dict[str, set[str]] = {}
    for row in landed["group/messages"]:
        if row["kind"] not in ("system", "reaction"):
            lists.setdefault(row["group_id"], set()).add(row["member_id"])
    for row in sorted(landed["group/memberships"], key=lambda row: row["occurred_at"]):
        group = lists.setdefault(row["group_id"], set())
        if row["action"] != "role":
            (group.add if row["action"] == "join" else group.discard)(row["member_id"])
    assert lists["hive/bees"] == {"ann", "bob.b"}
    assert lists["hive/drones"] == {"ann"}
    assert lists["direct:ann,bob.b"] == {"ann", "bob.b"}
    added = next(row for row in landed["group/memberships"] if row.get("via"))
    assert (added["member_id"], added["inviter_member_id"]) == ("bob.b", "ann")
    gone = next(row for row in landed["group/memberships"] if row["member_id"] == "cat")
    assert gone["occurred_at"] == "2024-03-06T04:40:00.000Z", "when the account was deactivated"
    assert gone["mattermost"] == {"inferred_from": "not_listed"}


def test_what_no_log_holds_is_counted(tmp_path: Path) -> None:
    report = convert("mattermost", EXPORT, tmp_path, "hive")
    assert {(item.kind, item.records) for item in report.left_out} == {("team", 1), ("emoji", 1)}
    assert report.records_in["reply"] == report.records_in["reaction"] == 1


def test_without_text_or_names(tmp_path: Path) -> None:
    convert("mattermost", EXPORT, tmp_path / "a", "hive", options=ConvertOptions(no_names=True))
    records = read_landing(tmp_path / "a")
    assert contract_faults(records, "mattermost") == []
    everything = json.dumps(records)
    names = ('"ann"', "ann ", "Annie", "bob", "Builder", '"cat', "Buzz", "@example")
    assert [word for word in names if word in everything] == []
    assert "where is the honey" in everything
    convert("mattermost", EXPORT, tmp_path / "b", "hive", options=ConvertOptions(no_text=True))
    everything = json.dumps(read_landing(tmp_path / "b"))
    words = ("honey?", "jar", "psst", "noon", "veil", "joined the")
    assert [word for word in words if word in everything] == []


def test_a_zip_gives_the_same(tmp_path: Path, landed: Records) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("import.jsonl", "".join(LINES))
        target.writestr("data/jar.png", b"")
    convert("mattermost", archive, tmp_path / "landing", "hive")
    assert read_landing(tmp_path / "landing") == landed
    archive.write_bytes(archive.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x05"))
    with pytest.raises(ConversionError, match=r"export\.zip"):
        convert("mattermost", archive, tmp_path / "broken", "hive")


def test_overlapping_exports_give_the_same_messages(tmp_path: Path, landed: Records) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(line for line in LINES if '"cat"' not in line or "user" in line[:15]))
    convert("mattermost", part, tmp_path / "landing", "hive")
    whole = {row["message_id"]: row for row in landed["group/messages"]}
    for row in read_landing(tmp_path / "landing")["group/messages"]:
        assert whole[row["message_id"]] == row


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no version line"),
        ("{}\n", "line 1: no version line"),
        (LINES[0] + "{\n", "line 2, column"),
        (LINES[0] + '{"type":"post"}\n', "line 2: no post"),
        (LINES[0] + LINES[11].replace("1709600006000", '"noon"'), "line 2: not as Mattermost"),
    ],
)
def test_a_broken_export_names_the_place(tmp_path: Path, content: str, message: str) -> None:
    export = tmp_path / "import.jsonl"
    export.write_text(content)
    with pytest.raises(ConversionError, match=message):
        convert("mattermost", export, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()
