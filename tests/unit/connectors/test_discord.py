"""DiscordChatExporter files: the mapping on tiny channels, and the public fixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.connectors import ConversionError, ConvertOptions, convert
from orchestration.connectors.discord import discord_time
from tests.unit.connectors.chat_checks import (
    assert_accepted,
    assert_whole_or_nothing,
    damage,
    events,
)
from tests.unit.connectors.landing_files import (
    SHARED_DATA,
    Records,
    contract_faults,
    read_landing,
)

FIXTURES = SHARED_DATA / "discord_dce_fixtures"
ANN = {"id": "1", "name": "annie", "nickname": "Annie E", "discriminator": "0000", "isBot": False}
BOB = {"id": "2", "name": "bob", "nickname": "Bobby", "isBot": True, "roles": [{"id": "9"}]}


def message(number: int, user: dict[str, Any] = ANN, **more: Any) -> dict[str, Any]:
    return {
        "id": f"15193122303850578{number:02d}",
        "type": "Default",
        "timestamp": f"2024-05-01T12:00:{number:02d}.1234567+07:00",
        "timestampEdited": None,
        "isPinned": False,
        "content": f"words {number}",
        "author": user,
        "attachments": [],
        "reactions": [],
        "mentions": [],
    } | more


REACTION = {"emoji": {"id": "", "name": "👍", "code": "thumbsup"}, "count": 3, "users": [BOB]}
MESSAGES = [
    message(1, type="GuildMemberJoin", content="Joined the server."),
    message(2, content="hi @Bobby", mentions=[BOB], reactions=[REACTION], isPinned=True),
    message(3, BOB, type="Reply", reference={"messageId": "151931223038505782", "channelId": "5"}),
    message(4, content="https://example.org", timestampEdited="2024-05-02T00:00:00+07:00"),
    message(5, content="", attachments=[{"id": "1", "fileName": "a.PNG", "url": "u"}]),
    message(6, type="ChannelPinnedMessage", content="Pinned a message."),
    message(7, type="AutoModerationAction", content="?"),
    message(8, content="", reference={"messageId": "77", "type": "Forward"}, forwardedMessage={}),
]


def document(messages: list[dict[str, Any]], channel: str = "5", **more: Any) -> dict[str, Any]:
    return {
        "guild": {"id": "1519311536839983195", "name": "Our server"},
        "channel": {"id": channel, "type": "GuildTextChat", "name": "general", "topic": "Welcome"},
        "exportedAt": "2024-06-01T00:00:00.5+07:00",
        "messages": messages,
        "messageCount": len(messages),
    } | more


def converted(tmp_path: Path, *documents: dict[str, Any], **options: bool) -> Records:
    export = tmp_path / "export"
    export.mkdir(parents=True)
    for number, found in enumerate(documents):
        (export / f"{number}.json").write_text(json.dumps(found, indent=2))
    report = convert("discord", export, tmp_path / "landing", "dc", None, ConvertOptions(**options))
    records = read_landing(tmp_path / "landing")
    assert contract_faults(records, "discord") == []
    kinds = [row["kind"] for row in records["group/messages"]]
    assert len(kinds) - kinds.count("reaction") == report.records_in["messages"]
    return records


def test_messages(tmp_path: Path) -> None:
    records = converted(tmp_path, document(MESSAGES))
    found = {row["message_id"]: row for row in records["group/messages"]}
    rows = [found[row["id"]] for row in MESSAGES]
    assert [row["kind"] for row in rows] == [
        *("system", "text", "text", "link", "image", "system", "system", "text"),
    ]
    assert rows[0]["occurred_at"] == "2024-05-01T05:00:01.123456Z"
    assert rows[1]["mentions"] == ["2"]
    assert rows[1]["discord"]["isPinned"] is True
    assert rows[2]["reply_to_message_id"] == "151931223038505782"
    assert rows[3]["discord"]["timestampEdited"] == "2024-05-02T00:00:00+07:00"
    assert "reply_to_message_id" not in rows[7]
    assert {row["topic"] for row in rows} == {"general"}
    reaction = found[f"{MESSAGES[1]['id']}:👍:2"]
    assert reaction["reply_to_message_id"] == MESSAGES[1]["id"]
    assert reaction["occurred_at"] == rows[1]["occurred_at"]
    assert [row["member_id"] for row in records["group/memberships"]] == ["1"]
    members = {row["member_id"]: row for row in records["group/members"]}
    assert members["2"]["is_bot"] is True
    assert members["1"]["display_name"] == "Annie E"
    (group,) = records["group/groups"]
    assert group["created_at"] == "2024-05-01T05:00:01.123456Z", "ids here are younger than times"
    assert group["observes"] == [], "two reactions are nobody's"
    assert group["updated_at"] == "2024-05-31T17:00:00.500000Z"


def test_a_direct_group_sees_who_leaves(tmp_path: Path) -> None:
    channel = {"id": "6", "type": "DirectGroupTextChat", "name": "Annie E, Bobby"}
    records = converted(
        tmp_path,
        document(
            [
                message(
                    1, type="RecipientAdd", mentions=[BOB], content="Added Bobby to the group."
                ),
                message(2, BOB, type="RecipientRemove", mentions=[BOB], content="Left the group."),
            ],
            channel=channel["id"],
        )
        | {"channel": channel, "guild": {"id": "0", "name": "Direct Messages"}},
    )
    assert [
        (row["action"], row["member_id"], row.get("inviter_member_id"))
        for row in records["group/memberships"]
    ] == [("join", "2", "1"), ("leave", "2", None)]
    (group,) = records["group/groups"]
    assert (group["group_id"], group["observes"]) == ("6", ["leave", "reaction"])
    assert "name" not in group


def test_overlapping_exports_give_the_same_events(tmp_path: Path) -> None:
    everything = events(converted(tmp_path / "all", document(MESSAGES)))
    first = events(converted(tmp_path / "first", document(MESSAGES[:5])))
    second = events(converted(tmp_path / "second", document(MESSAGES[2:])))
    parts = converted(tmp_path / "parts", document(MESSAGES[:5]), document(MESSAGES[5:]))
    assert first | second == events(parts) == everything


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        ({"no_names": True}, ["nnie", "obb"], ["words 3", "hi @2"]),
        ({"no_text": True}, ["words", "example", "Welcome", "PNG"], ["Annie E", "Bobby"]),
    ],
)
def test_names_and_texts_stay_out(
    tmp_path: Path, options: dict[str, bool], hidden: list[str], kept: list[str]
) -> None:
    everything = json.dumps(converted(tmp_path, document(MESSAGES), **options), ensure_ascii=False)
    assert [word for word in hidden if word in everything] == []
    assert [word for word in kept if word not in everything] == []


def test_landed_files_are_accepted(tmp_path: Path) -> None:
    converted(tmp_path, document(MESSAGES))
    assert_accepted(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-05-01T12:00:00+07:00", "2024-05-01T05:00:00.000000Z"),
        ("2024-05-01T12:00:00.9999999Z", "2024-05-01T12:00:00.999999Z"),
        ("2024-05-01T00:00:00.5-00:30", "2024-05-01T00:30:00.500000Z"),
    ],
)
def test_times(text: str, wanted: str) -> None:
    assert discord_time(text) == wanted


@pytest.mark.parametrize(
    ("text", "message_"),
    [
        ("[]", r"an object should be here"),
        ('{"messages": []}', r"messages before their guild"),
        ("{}", r"no messages in it"),
        (json.dumps(document([message(1), {"id": 4}])), r"message 2: not as Discord"),
        (json.dumps(document([message(1, timestamp="2024-05-01")])), r"message 1: not as Discord"),
        (json.dumps(document([message(1)]))[:-40], r"byte \d+"),
    ],
)
def test_a_broken_export_names_the_place(tmp_path: Path, text: str, message_: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConversionError, match=message_):
        convert("discord", tmp_path / "a.json", tmp_path / "landing", "dc")
    assert not (tmp_path / "landing").exists()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_exports_land_whole_or_not_at_all(data: st.DataObject) -> None:
    good = json.dumps(document(MESSAGES), indent=2).encode()
    assert_whole_or_nothing("discord", "a.json", data.draw(damage(good)))


@pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the public fixtures are kept beside the checkout"
)
def test_the_public_fixtures_are_accounted_for(tmp_path: Path) -> None:
    documents = [json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))]
    records = converted(tmp_path, *documents)
    natives = {row["id"]: row for found in documents for row in found["messages"]}
    assert len(natives) == sum(found["messageCount"] for found in documents) == 20
    landed = {row["message_id"]: row for row in records["group/messages"]}
    assert set(natives) <= set(landed)
    for key, native in natives.items():
        assert landed[key]["member_id"] == native["author"]["id"]
        reactions = [row for row in landed.values() if row.get("reply_to_message_id") == key]
        users = sum(len(reaction["users"]) for reaction in native["reactions"])
        assert len([row for row in reactions if row["kind"] == "reaction"]) == users
    groups = {row["group_id"]: row for row in records["group/groups"]}
    assert groups["748545324524575035"]["created_at"].startswith("2020-08-27")
    joins = sum(row["type"] == "GuildMemberJoin" for row in natives.values())
    assert len(records["group/memberships"]) == joins == 2
