"""Zulip exports: the mapping on a tiny organisation."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.connectors import ConversionError, ConvertOptions, convert
from orchestration.connectors.zulip import zulip_time
from tests.unit.connectors.chat_checks import (
    assert_accepted,
    assert_whole_or_nothing,
    damage,
    events,
)
from tests.unit.connectors.landing_files import Records, contract_faults, read_landing

T0 = 1714557600.0


def user(number: int, name: str, **more: Any) -> dict[str, Any]:
    row = {"id": number, "full_name": name, "date_joined": T0 - 1000, "is_bot": False, "role": 400}
    return row | {"email": f"user{number}@example.com", "api_key": "secret", "password": "x"} | more


def audit(number: int, event: int, at: float, member: int | None = None, **more: Any) -> Any:
    row = {"id": number, "event_type": event, "event_time": at, "modified_stream": 5}
    return row | {"modified_user": member} | more


REALM: dict[str, Any] = {
    "zerver_realm": [{"id": 1, "name": "Ours"}],
    "zerver_userprofile": [
        user(11, "Annie E", role=100),
        user(12, "Bob S", date_joined=T0 + 50),
        user(13, "Helper", is_bot=True),
    ],
    "zerver_userprofile_crossrealm": [{"id": 1, "email": "notification-bot@zulip.com"}],
    "zerver_stream": [
        {"id": 5, "name": "tea", "date_created": T0, "creator": 11, "description": "All of tea"},
        {"id": 6, "name": "old", "date_created": T0, "deactivated": True},
    ],
    "zerver_recipient": [
        {"id": 100, "type": 2, "type_id": 5},
        {"id": 101, "type": 2, "type_id": 6},
        {"id": 102, "type": 1, "type_id": 12},
        {"id": 103, "type": 3, "type_id": 9},
    ],
    "zerver_subscription": [
        {"id": 1, "user_profile": 11, "recipient": 100, "active": True},
        {"id": 2, "user_profile": 12, "recipient": 100, "active": False},
        {"id": 3, "user_profile": 12, "recipient": 101, "active": True},
        {"id": 4, "user_profile": 13, "recipient": 999, "active": True},
    ],
    "zerver_realmauditlog": [
        audit(1, 301, T0 + 1, 11),
        audit(2, 301, T0 + 2, 12),
        audit(3, 303, T0 + 30, 12),
        audit(4, 603, T0 + 20, extra_data={"1": "coffee", "2": "tea"}),
        audit(5, 101, T0, 12, modified_stream=None),
    ],
    "zerver_reaction": [
        {"id": 1, "user_profile": 12, "message": 1, "emoji_name": "tada"},
        {"id": 2, "user_profile": 12, "message": 77, "emoji_name": "tada"},
    ],
}


def message(number: int, sender: int, recipient: int, content: str, **more: Any) -> dict[str, Any]:
    row = {"id": number, "sender": sender, "recipient": recipient, "content": content}
    return row | {"date_sent": T0 + number + 0.25, "subject": "greetings", "type": 1} | more


MESSAGES: list[dict[str, Any]] = [
    message(1, 11, 100, "words one @**Bob S**", rendered_content="<p>words one</p>"),
    message(2, 12, 100, "words two @**Annie E|11** @_**Helper**", last_edit_time=T0 + 9),
    message(3, 13, 100, "https://example.org"),
    message(4, 11, 102, "words direct", subject=""),
    message(5, 12, 103, "words huddle", subject=""),
    message(6, 1, 100, "Annie E renamed the channel"),
    message(7, 11, 101, "[x.png](/user_uploads/1/ab/x.png)"),
]


def write_export(folder: Path, messages: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "realm.json").write_text(json.dumps(REALM, indent=2))
    flags = [
        {"id": 1, "user_profile": 12, "message": 1, "flags_mask": 8 + 1},
        {"id": 2, "user_profile": 11, "message": 1, "flags_mask": 1},
    ]
    for number in range(0, len(messages), 4):
        document = {
            "zerver_usermessage": flags if number == 0 else [],
            "zerver_message": messages[number : number + 4],
        }
        name = f"messages-{number // 4 + 1:06d}.json"
        (folder / name).write_text(json.dumps(document, indent=2))
    return folder


def converted(tmp_path: Path, messages: list[dict[str, Any]], **options: bool) -> Records:
    export = write_export(tmp_path / "export", messages)
    report = convert("zulip", export, tmp_path / "landing", "z", None, ConvertOptions(**options))
    records = read_landing(tmp_path / "landing")
    assert contract_faults(records, "zulip") == []
    kinds = [row["kind"] for row in records["group/messages"]]
    assert len(kinds) - kinds.count("reaction") == report.records_in["messages"]
    return records


def test_messages(tmp_path: Path) -> None:
    found = {row["message_id"]: row for row in converted(tmp_path, MESSAGES)["group/messages"]}
    assert [found[str(number)]["kind"] for number in range(1, 8)] == [
        *("text", "text", "link", "text", "text", "system", "image"),
    ]
    assert [found[str(number)]["group_id"] for number in (1, 4, 5, 7)] == [
        *("stream:5", "direct:11:12", "huddle:9", "stream:6"),
    ]
    assert found["1"]["topic"] == "greetings"
    assert found["1"]["occurred_at"] == "2024-05-01T10:00:01.250000Z"
    assert found["1"]["mentions"] == ["12"]
    assert found["2"]["mentions"] == ["11"], "a silent mention is none"
    assert found["2"]["zulip"]["last_edit_time"] == T0 + 9
    reaction = found["1:tada:12"]
    assert (reaction["occurred_at"], reaction["reply_to_message_id"]) == (
        found["1"]["occurred_at"],
        "1",
    )


def test_members_and_streams(tmp_path: Path) -> None:
    records = converted(tmp_path, MESSAGES)
    changes = [
        (
            row["group_id"],
            row["action"],
            row["member_id"],
            row.get("zulip", {}).get("inferred_from"),
        )
        for row in records["group/memberships"]
    ]
    assert changes == [
        ("stream:5", "join", "11", None),
        ("stream:5", "join", "12", None),
        ("stream:5", "leave", "12", None),
        ("stream:6", "join", "12", "listed"),
    ]
    assert records["group/memberships"][3]["occurred_at"] == zulip_time(T0 + 50), "no user before"
    tea = [row for row in records["group/groups"] if row["group_id"] == "stream:5"]
    assert [row["name"] for row in tea] == ["coffee", "tea"]
    assert tea[0]["observes"] == ["leave", "reaction"]
    old = [row for row in records["group/groups"] if row["group_id"] == "stream:6"]
    assert "closed_at" in old[-1]
    direct = [row for row in records["group/groups"] if row["group_id"] == "direct:11:12"]
    assert "name" not in direct[0]
    members = {row["member_id"]: row for row in records["group/members"]}
    assert members["11"]["is_staff"] is True
    assert members["13"]["is_bot"] is members["1"]["is_bot"] is True
    everything = json.dumps(records)
    assert "secret" not in everything


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    report = convert("zulip", write_export(tmp_path / "e", MESSAGES), tmp_path / "landing", "z")
    assert {(item.kind, item.records) for item in report.left_out} == {
        ("audit records", 1),
        ("reactions", 1),
        ("subscriptions", 1),
        ("user messages", 2),
        ("zerver_realm", 1),
    }


def test_a_table_of_an_odd_name_is_counted_without_it(tmp_path: Path) -> None:
    export = write_export(tmp_path / "e", MESSAGES)
    realm = dict(REALM, **{"Annie E wrote this": [{"id": 1}], "\x1b[2Jzerver": [{"id": 2}]})
    (export / "realm.json").write_text(json.dumps(realm))
    report = convert("zulip", export, tmp_path / "landing", "z")
    assert ("(odd)", 2) in {(item.kind, item.records) for item in report.left_out}
    assert report.records_in["(odd)"] == 2
    assert "Annie E" not in repr(report)


def test_an_archive_and_its_folder_are_the_same(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", MESSAGES)
    archive = tmp_path / "export.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(export, "zulip-export")
    convert("zulip", export, tmp_path / "one", "z")
    convert("zulip", archive, tmp_path / "two", "z")
    assert read_landing(tmp_path / "one") == read_landing(tmp_path / "two")
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(ConversionError, match=r"export\.tar\.gz"):
        convert("zulip", archive, tmp_path / "three", "z")


def test_overlapping_exports_give_the_same_events(tmp_path: Path) -> None:
    everything = events(converted(tmp_path / "all", MESSAGES))
    first = events(converted(tmp_path / "first", MESSAGES[:5]))
    assert first.items() <= everything.items()


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        ({"no_names": True}, ["Annie", "Bob", "Helper", "example.com"], ["words two @**11**"]),
        ({"no_text": True}, ["words", "greetings", "All of tea", "x.png"], ["Annie E", "Bob S"]),
    ],
)
def test_names_and_texts_stay_out(
    tmp_path: Path, options: dict[str, bool], hidden: list[str], kept: list[str]
) -> None:
    everything = json.dumps(converted(tmp_path, MESSAGES, **options))
    assert [word for word in hidden if word in everything] == []
    assert [word for word in kept if word not in everything] == []


def test_landed_files_are_accepted(tmp_path: Path) -> None:
    converted(tmp_path, MESSAGES)
    assert_accepted(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message_"),
    [
        ("realm.json", "{", r"realm\.json: byte 1"),
        ("realm.json", "{}", r"realm\.json: no zerver_recipient"),
        ("realm.json", '{"zerver_userprofile": [{}]}', r"realm\.json: not as Zulip"),
        ("messages-000001.json", "{}", r"messages-000001\.json: no zerver_message"),
        ("messages-000001.json", '{"zerver_message": [{"id": 1}]}', r"000001.json: .*message 1"),
    ],
)
def test_a_broken_export_names_the_place(
    tmp_path: Path, name: str, text: str, message_: str
) -> None:
    export = write_export(tmp_path / "export", MESSAGES)
    (export / name).write_text(text)
    with pytest.raises(ConversionError, match=message_):
        convert("zulip", export, tmp_path / "landing", "z")
    assert not (tmp_path / "landing").exists()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_exports_land_whole_or_not_at_all(data: st.DataObject) -> None:
    realm = dict(REALM, zerver_stream=[], zerver_recipient=REALM["zerver_recipient"][2:])
    good = json.dumps(realm, indent=2).encode()
    assert_whole_or_nothing("zulip", "realm.json", data.draw(damage(good)))
