"""Telegram Desktop exports: the mapping on tiny chats, every kind of message of the fixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.connectors import ConversionError, ConvertOptions, convert
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
    landed_files,
    read_landing,
)

FIXTURES = SHARED_DATA / "telegram_fixtures" / "tkonverter"
CHATMINER = SHARED_DATA / "chatminer_fixtures" / "telegram"
ANN, BOB = "Annie Example", "Bob Sample"


def message(number: int, sender: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "message",
        "date": f"2024-05-01T12:00:{number:02d}",
        "date_unixtime": str(1714557600 + number),
        "from": {1: ANN, 2: BOB}[sender],
        "from_id": f"user{sender}",
        "text": f"words {number}",
    } | more


def service(number: int, action: str, **more: Any) -> dict[str, Any]:
    row = message(number) | {"type": "service", "action": action, "text": ""} | more
    return row | {"actor": row.pop("from"), "actor_id": row.pop("from_id")}


GROUP = [
    service(1, "create_group", title="First name", members=[BOB, "Quiet Carl"]),
    message(
        2,
        text=["look: ", {"type": "link", "text": "https://example.org"}],
        reactions=[
            {
                "type": "emoji",
                "count": 3,
                "emoji": "👍",
                "recent": [{"from": BOB, "from_id": "user2", "date": "2024-05-01T12:00:09"}],
            }
        ],
    ),
    message(
        3, 2, reply_to_message_id=2, edited_unixtime="1714557700", edited="2024-05-01T12:01:40"
    ),
    message(4, 2, text="", photo="photos/1.jpg", photo_file_size=5),
    message(
        5,
        text=[
            {"type": "link", "text": "https://example.org"},
        ],
    ),
    message(
        6,
        text=[{"type": "mention_name", "text": "Bob", "user_id": 9007199254740993}, " hi"],
    ),
    message(7, text="", poll={"question": "Tea?", "total_voters": 1, "answers": [{"text": "yes"}]}),
    service(8, "edit_group_title", title="Second name"),
    service(9, "remove_members", members=["Quiet Carl"]),
    service(10, "remove_members", members=[ANN]),
    {"id": 11, "type": "unsupported"},
]


def chat(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"name": "Second name", "type": "private_group", "id": 77}
    return head | more | {"messages": messages}


def export(tmp_path: Path, document: dict[str, Any], indent: int | None = 1) -> Path:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=False))
    return path


def converted(
    tmp_path: Path, document: dict[str, Any], zone: str | None = None, indent: int | None = 1
) -> Records:
    landing = tmp_path / "landing"
    report = convert("telegram", export(tmp_path, document, indent), landing, "tg", zone)
    records = read_landing(landing)
    assert contract_faults(records, "telegram") == []
    left_out = {(item.kind): item.records for item in report.left_out}
    kinds = [row["kind"] for row in records["group/messages"]]
    natives = report.records_in["messages"] - left_out.get("messages", 0)
    assert len(kinds) - kinds.count("reaction") == natives
    return records


def by_id(records: Records) -> dict[str, dict[str, Any]]:
    return {row["message_id"]: row for row in records["group/messages"]}


def test_messages(tmp_path: Path) -> None:
    found = by_id(converted(tmp_path, chat(GROUP)))
    link = found["chat77:2"]
    assert (link["kind"], link["text"], link["text_length"]) == (
        "text",
        "look: https://example.org",
        25,
    )
    assert link["occurred_at"] == "2024-05-01T10:00:02Z"
    assert link["telegram"]["reactions"] == [{"type": "emoji", "count": 3, "emoji": "👍"}]
    assert found["chat77:3"]["reply_to_message_id"] == "chat77:2"
    assert found["chat77:3"]["telegram"] == {"edited_unixtime": "1714557700"}
    assert (found["chat77:4"]["kind"], found["chat77:4"]["text_length"]) == ("image", 0)
    assert found["chat77:5"]["kind"] == "link"
    assert found["chat77:6"]["mentions"] == ["user9007199254740993"]
    assert found["chat77:7"]["text"] == "Tea?"
    assert found["chat77:1"]["kind"] == "system"
    reaction = found["chat77:2:👍:user2"]
    assert (reaction["kind"], reaction["reply_to_message_id"]) == ("reaction", "chat77:2")
    assert reaction["occurred_at"] == "2024-05-01T10:00:09Z", "two hours east, as its message"


def test_members_joins_and_titles(tmp_path: Path) -> None:
    records = converted(tmp_path, chat(GROUP))
    changes = [
        (row["action"], row["member_id"], row.get("inviter_member_id"), row.get("role"))
        for row in sorted(records["group/memberships"], key=lambda row: row["occurred_at"])
    ]
    carl = changes[-2][1]
    assert carl.startswith("name:")
    assert changes[0] == ("join", "user1", None, "owner")
    assert set(changes[1:3]) == {
        ("join", "user2", "user1", None),
        ("join", carl, "user1", None),
    }
    assert changes[3:] == [("leave", carl, None, None), ("leave", "user1", None, None)]
    names = {row["member_id"]: row["display_name"] for row in records["group/members"]}
    assert names == {"user1": ANN, "user2": BOB, carl: "Quiet Carl"}
    groups = records["group/groups"]
    assert [row["name"] for row in groups] == ["First name", "Second name"]
    assert {tuple(row["observes"]) for row in groups} == {("leave",)}, "two reactions have no name"
    assert {row["owner_member_id"] for row in groups} == {"user1"}


def test_a_whole_account(tmp_path: Path) -> None:
    document = {
        "about": "Here is the data you requested.",
        "personal_information": {
            "user_id": 1,
            "first_name": "Annie",
            "phone_number": "+4912345678",
        },
        "profile_pictures": [{"date": "2024-01-01T00:00:00", "photo": "x"}],
        "contacts": {
            "about": "",
            "list": [
                {"user_id": 2, "first_name": "Bob", "last_name": "", "phone_number": "+4998765432"},
                {"user_id": 0, "first_name": "Nobody"},
            ],
        },
        "sessions": {"about": "x", "list": [{"last_ip": "::1"}, {"last_ip": "::2"}]},
        "chats": {
            "about": "",
            "list": [
                chat([message(1)], type="personal_chat", id=2, name=BOB),
                chat([message(1, from_id="channel5")], type="public_channel", id=5, name="News"),
                chat([message(1, 2)], type="saved_messages", id=1),
            ],
        },
        "left_chats": {"about": "", "list": [chat([message(1)], type="private_supergroup", id=5)]},
    }
    report = convert("telegram", export(tmp_path, document), tmp_path / "landing", "tg")
    records = read_landing(tmp_path / "landing")
    assert contract_faults(records, "telegram") == []
    assert report.records_in["chats"] == 4
    assert report.records_in["contacts"] == 2
    assert {(item.kind, item.records) for item in report.left_out} == {
        ("contacts", 1),
        ("profile_pictures", 1),
        ("sessions", 2),
    }
    groups = {row["group_id"]: row for row in records["group/groups"]}
    assert "name" not in groups["user2"], "it is a person's"
    assert {"user2", "channel5", "user1"} == set(groups), "a channel and a supergroup share ids"
    members = {row["member_id"]: row for row in records["group/members"]}
    assert members["channel5"]["is_bot"] is True
    assert members["user2"]["phone"] == "+4998765432"
    assert members["user1"]["display_name"] == "Annie"


def test_old_exports_need_a_zone_and_their_ids_are_read(tmp_path: Path) -> None:
    row = message(1, from_id=(2 << 32) + 5)
    del row["date_unixtime"]
    with pytest.raises(ConversionError, match=r"result\.json: chat 1, message 1: .*--zone"):
        convert("telegram", export(tmp_path, chat([row])), tmp_path / "none", "tg")
    assert not (tmp_path / "none").exists()
    found = by_id(converted(tmp_path, chat([row]), zone="Asia/Shanghai"))["chat77:1"]
    assert found["occurred_at"] == "2024-05-01T04:00:01Z"
    assert found["member_id"] == "channel5"


def test_overlapping_exports_give_the_same_events(tmp_path: Path) -> None:
    everything = events(converted(tmp_path / "all", chat(GROUP)))
    first = events(converted(tmp_path / "first", chat(GROUP[:7])))
    second = events(converted(tmp_path / "second", chat(GROUP[3:])))
    assert first | second == everything
    assert converted(tmp_path / "once", chat(GROUP)) == converted(tmp_path / "twice", chat(GROUP))


def test_indentation_changes_nothing(tmp_path: Path) -> None:
    many = [message(number % 60, text=f"{number} {{ ] \n }}") for number in range(300)]
    for row, number in zip(many, range(300), strict=True):
        row["id"] = number
    landed = [
        converted(tmp_path / str(indent), chat(many), indent=indent) for indent in (None, 0, 1, 4)
    ]
    assert landed[0] == landed[1] == landed[2] == landed[3]
    assert len(landed[0]["group/messages"]) == 300


def test_control_characters_as_telegram_writes_them(tmp_path: Path) -> None:
    path = export(tmp_path, chat([message(1, text="a@b"), message(2, text="c\\x0Bd")]))
    path.write_text(path.read_text().replace("a@b", "a\\x0Bb"))
    convert("telegram", path, tmp_path / "landing", "tg")
    found = by_id(read_landing(tmp_path / "landing"))
    assert found["chat77:1"]["text"] == "a\x0bb"
    assert found["chat77:2"]["text"] == "c\\x0Bd"


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        (ConvertOptions(no_names=True), ["Annie", "Bob", "Carl"], ["words 3"]),
        (ConvertOptions(no_text=True), ["words", "example.org", "Tea"], [ANN]),
        (
            ConvertOptions(no_text=True, no_names=True),
            ["Annie", "Bob", "Carl", "words", "Tea"],
            ["user1"],
        ),
    ],
)
def test_names_and_texts_stay_out(
    tmp_path: Path, options: ConvertOptions, hidden: list[str], kept: list[str]
) -> None:
    messages = [
        *GROUP,
        message(12, forwarded_from=ANN, contact_information={"phone_number": "+4912345678"}),
    ]
    if options.no_names:
        messages = [row for row in messages if row["id"] != 6]
    convert("telegram", export(tmp_path, chat(messages)), tmp_path / "landing", "tg", None, options)
    everything = json.dumps(read_landing(tmp_path / "landing"), ensure_ascii=False)
    assert [word for word in [*hidden, "+4912345678"] if word in everything] == []
    assert [word for word in kept if word not in everything] == []


def test_landed_files_are_accepted(tmp_path: Path) -> None:
    convert("telegram", export(tmp_path, chat(GROUP)), tmp_path / "landing", "tg")
    assert_accepted(tmp_path)


@pytest.mark.parametrize(
    ("text", "message_"),
    [
        ('{"messages": [', r"byte 14"),
        ('{"messages": {}}', r"byte 13: an array should be here"),
        ('{"a": 1}', r"neither messages nor chats"),
        ("[]", r"an object should be here"),
        ('{"messages": []} x', r"more after the end"),
        ('{"messages": [{"date_unixtime": "soon"}]}', r"chat 1, message 1: not as Telegram"),
        ('{"messages": [3]}', r"chat 1, message 1: not as Telegram"),
        ('{"chats": {"list": [{"id": 3}]}}', r"chats 1: no messages"),
    ],
)
def test_a_broken_export_names_the_place(tmp_path: Path, text: str, message_: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ConversionError, match=message_):
        convert("telegram", tmp_path, tmp_path / "landing", "tg")
    assert not (tmp_path / "landing").exists()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_exports_land_whole_or_not_at_all(data: st.DataObject) -> None:
    good = json.dumps(chat(GROUP), indent=data.draw(st.sampled_from([1, None]))).encode()
    assert_whole_or_nothing("telegram", "result.json", data.draw(damage(good)))


@pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the public fixtures are kept beside the checkout"
)
@pytest.mark.parametrize("name", ["result.json", "result_group.json"])
def test_every_type_of_the_public_fixtures_is_accounted_for(tmp_path: Path, name: str) -> None:
    document = json.loads((FIXTURES / name).read_text())
    records = converted(tmp_path, document)
    prefix = {"personal_chat": "user", "private_group": "chat"}[document["type"]]
    ids = {f"{prefix}{document['id']}:{row['id']}" for row in document["messages"]}
    unsupported = [row for row in document["messages"] if row["type"] == "unsupported"]
    assert len(ids - set(by_id(records))) == len(unsupported) == 1
    natives = {row["id"]: row for row in document["messages"]}
    for row in records["group/messages"]:
        if row["kind"] != "reaction":
            native = natives[int(row["message_id"].rpartition(":")[2])]
            kept = row.get("telegram", {})
            gone = set(native) - set(kept) - set(row)
            assert gone <= {
                *("id", "type", "date", "date_unixtime", "from", "from_id", "edited"),
                *("actor", "actor_id", "text_entities", "text"),
            }


@pytest.mark.skipif(
    not CHATMINER.is_dir(), reason="the public fixtures are kept beside the checkout"
)
@pytest.mark.parametrize("name", ["test_single_export.json", "test_batch_export.json"])
def test_the_parse_that_others_expect(tmp_path: Path, name: str) -> None:
    convert("telegram", CHATMINER / name, tmp_path, "tg")
    records = read_landing(tmp_path)
    names = {row["member_id"]: row["display_name"] for row in records["group/members"]}
    target = json.loads((CHATMINER / "target.json").read_text())
    assert [
        (row["occurred_at"], names[row["member_id"]], row["text"].replace("Link:", "Link: "))
        for row in records["group/messages"]
    ] == [(f"{row['timestamp']}Z", row["author"], row["message"]) for row in target]
    assert landed_files(tmp_path)
