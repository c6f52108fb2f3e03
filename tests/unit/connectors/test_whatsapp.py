"""WhatsApp exports: the styles of lines, what is read in them, and the public fixtures."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.connectors import (
    ConversionError,
    ConversionUsageError,
    ConvertOptions,
    convert,
)
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

CHATMINER = SHARED_DATA / "chatminer_fixtures" / "whatsapp"
POKEMON = SHARED_DATA / "whatsapp_whatstk" / "pokemon.txt"

ANDROID = """\
13/05/2024, 10:00 - Messages and calls are end-to-end encrypted. Tap to learn more.
13/05/2024, 10:00 - Annie created group "Tea: the club"
13/05/2024, 10:01 - Annie added Bob and +49 170 1234567
13/05/2024, 10:02 - Annie: Hello
second line

third: line
13/05/2024, 10:03 - Bob: <Media omitted>
13/05/2024, 10:03 - Bob: IMG-20240513-WA0001.jpg (file attached)
a caption
13/05/2024, 10:04 - Bob: ok
13/05/2024, 10:04 - Bob: ok
13/05/2024, 10:05 - +49 170 1234567: https://example.org/x
13/05/2024, 10:06 - Annie: This message was deleted
13/05/2024, 10:07 - Annie: hi @\u2068Bob\u2069 <This message was edited>
13/05/2024, 10:08 - Annie changed the subject from "Tea: the club" to "Coffee: now"
13/05/2024, 10:09 - You're now an admin
13/05/2024, 10:10 - +49 170 1234567 left
13/05/2024, 10:11 - Annie removed Bob
"""
IOS = """\
\ufeff[5/13/24, 1:02:03\u202fPM] Tea club: \u200eMessages and calls are end-to-end encrypted.
\u200e[5/13/24, 1:02:04\u202fPM] Tea club: \u200eAnnie joined using this group's invite link
[5/13/24, 12:00:05\u202fAM] ~\u202fAnnie: midnight
\u200e[5/13/24, 12:00:06\u202fPM] Annie: \u200e<attached: 00000007-PHOTO-2024-05-13-12-00-06.jpg>
[5/13/24, 12:00:07\u202fPM] Bob: \u200eaudio omitted
[5/13/24, 12:00:08\u202fPM] Bob: Annie left
[5/13/24, 12:00:09\u202fPM] Bob: [5/13/2024 10:00] Eve: a pasted line
"""


def converted(
    tmp_path: Path, text: str, zone: str = "Europe/Berlin", name: str = "chat.txt", **more: str
) -> Records:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, newline="")
    landing = tmp_path / "landing"
    report = convert("whatsapp", tmp_path / name, landing, "wa", zone, ConvertOptions(more=more))
    records = read_landing(landing)
    assert contract_faults(records, "whatsapp") == []
    assert report.records_in["messages"] == len(records["group/messages"])
    assert report.left_out == ()
    return records


def said(records: Records) -> list[tuple[Any, ...]]:
    names = {row["member_id"]: row.get("display_name") for row in records["group/members"]}
    return [
        (row["occurred_at"], names[row["member_id"]], row["kind"], row.get("text"))
        for row in records["group/messages"]
    ]


def test_android(tmp_path: Path) -> None:
    records = converted(tmp_path, ANDROID, name="WhatsApp Chat with Tea.txt")
    rows = said(records)
    assert [row[2] for row in rows] == [
        *["system"] * 3,
        *["text", "file", "image", "text", "text", "link", "text", "text"],
        *["system"] * 4,
    ]
    assert rows[3] == ("2024-05-13T08:02:00Z", "Annie", "text", "Hello\nsecond line\n\nthird: line")
    assert rows[5] == ("2024-05-13T08:03:00Z", "Bob", "image", "a caption")
    assert rows[10][3] == "hi @\u2068Bob\u2069"
    messages = records["group/messages"]
    assert messages[5]["whatsapp"] == {"file": "IMG-20240513-WA0001.jpg"}
    assert messages[9]["whatsapp"] == {"deleted": True}
    assert messages[9]["text_length"] == 0
    assert messages[10]["whatsapp"] == {"edited": True}
    assert len({row["message_id"] for row in messages}) == len(messages)
    names = {row["member_id"]: row.get("display_name") for row in records["group/members"]}
    assert [names[member] for member in messages[10]["mentions"]] == ["Bob"]
    assert [
        (row["action"], names[row["member_id"]], names.get(row.get("inviter_member_id", "")))
        for row in records["group/memberships"]
    ] == [
        ("join", "Annie", None),
        ("join", "Bob", "Annie"),
        ("join", "+49 170 1234567", "Annie"),
        ("leave", "+49 170 1234567", None),
        ("leave", "Bob", None),
    ]
    groups = records["group/groups"]
    assert [row.get("name") for row in groups] == [None, "Tea: the club", "Coffee: now"][
        -len(groups) :
    ]
    assert {tuple(row["observes"]) for row in groups} == {("leave",)}
    phones = {row["phone"] for row in records["group/members"] if "phone" in row}
    assert phones == {"+49 170 1234567"}


def test_you_are_who_exported_it(tmp_path: Path) -> None:
    records = converted(tmp_path, ANDROID, owner="Carla")
    roles = [row for row in records["group/memberships"] if row["action"] == "role"]
    names = {row["member_id"]: row.get("display_name") for row in records["group/members"]}
    assert [(names[row["member_id"]], row["role"]) for row in roles] == [("Carla", "admin")]


def test_ios(tmp_path: Path) -> None:
    rows = said(converted(tmp_path, IOS, zone="UTC"))
    assert rows[1][:3] == ("2024-05-13T13:02:04Z", "Annie", "system")
    assert rows[2] == ("2024-05-13T00:00:05Z", "Annie", "text", "midnight")
    assert rows[3][:3] == ("2024-05-13T12:00:06Z", "Annie", "image")
    assert rows[4][2] == "voice"
    assert rows[5] == ("2024-05-13T12:00:08Z", "Bob", "text", "Annie left")
    assert rows[6][3] == "[5/13/2024 10:00] Eve: a pasted line"


@pytest.mark.parametrize(
    ("lines", "times"),
    [
        ("2024-05-13 10:20 - A: x", "2024-05-13T10:20:00Z"),
        ("2024/5/13 下午3:20 - A: x", "2024-05-13T15:20:00Z"),
        ("2024. 5. 13. 오전 12:20 - A: x", "2024-05-13T00:20:00Z"),
        ("13.05.24, 10:20 - A: x", "2024-05-13T10:20:00Z"),
        ("[24-05-13 10:20:30] A: x\n[24-06-01 10:20:30] A: x", "2024-05-13T10:20:30Z"),
        ("5/13/24, 12:20 p. m. - A: x", "2024-05-13T12:20:00Z"),
        ("13.05.24 10.20.30: A: x", "2024-05-13T10:20:30Z"),
        ("٠٥‏/١٣‏/٢٠٢٤، ١٠:٢٠ ص - A: x", "2024-05-13T10:20:00Z"),
        # Neither number is above 12, but only as day and month does time go on.
        ("01/02/24, 10:00 - A: x\n03/01/24, 10:00 - A: x", "2024-01-02T10:00:00Z"),
        ("05/05/24, 10:00 - A: x", "2024-05-05T10:00:00Z"),
    ],
)
def test_dates_and_times(tmp_path: Path, lines: str, times: str) -> None:
    assert said(converted(tmp_path, lines, zone="UTC"))[0][0] == times


def test_dates_that_do_not_tell_are_asked_for(tmp_path: Path) -> None:
    text = "01/02/24, 10:00 - A: x\n04/05/24, 10:00 - A: x"
    (tmp_path / "chat.txt").write_text(text)
    with pytest.raises(ConversionError, match=r"date_order=dmy or --option date_order=mdy"):
        convert("whatsapp", tmp_path / "chat.txt", tmp_path / "landing", "wa", "UTC")
    assert not (tmp_path / "landing").exists()
    rows = said(converted(tmp_path, text, zone="UTC", date_order="dmy"))
    assert [row[0] for row in rows] == ["2024-02-01T10:00:00Z", "2024-05-04T10:00:00Z"]


def test_overlapping_exports_give_the_same_events(tmp_path: Path) -> None:
    lines = ANDROID.splitlines(keepends=True)
    everything = events(converted(tmp_path / "all", ANDROID, chat="tea"))
    first = events(converted(tmp_path / "first", "".join(lines[:13]), chat="tea"))
    second = events(converted(tmp_path / "second", "".join(lines[3:]), chat="tea"))
    assert set(first) & set(second)
    assert first | second == everything
    with_media = events(
        converted(
            tmp_path / "media",
            ANDROID.replace("<Media omitted>", "IMG-20240513-WA0000.jpg (file attached)"),
            chat="tea",
        )
    )
    assert set(with_media) == set(everything)


def test_a_zip_and_a_folder_hold_the_same_chat(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Tea.zip", "w") as archive:
        archive.writestr("_chat.txt", IOS)
        archive.writestr("00000007-PHOTO.jpg", b"x")
    folder = tmp_path / "WhatsApp Chat - Tea"
    folder.mkdir()
    (folder / "_chat.txt").write_text(IOS)
    landed = []
    for number, export in enumerate(
        [tmp_path / "WhatsApp Chat - Tea.zip", folder, folder / "_chat.txt"]
    ):
        convert("whatsapp", export, tmp_path / str(number), "wa", "UTC")
        landed.append(read_landing(tmp_path / str(number)))
    assert landed[0] == landed[1] == landed[2]
    assert landed[0]["group/groups"][0]["name"] == "Tea"


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        (ConvertOptions(no_names=True), ["Annie", "Bob", "1234567"], ["Hello", "Coffee"]),
        (ConvertOptions(no_text=True), ["Hello", "caption", "example"], ["Annie", "Bob"]),
    ],
)
def test_names_and_texts_stay_out(
    tmp_path: Path, options: ConvertOptions, hidden: list[str], kept: list[str]
) -> None:
    (tmp_path / "chat.txt").write_text(ANDROID)
    convert("whatsapp", tmp_path / "chat.txt", tmp_path / "landing", "wa", "UTC", options)
    everything = json.dumps(read_landing(tmp_path / "landing"), ensure_ascii=False)
    assert [word for word in hidden if word in everything] == []
    assert [word for word in kept if word not in everything] == []


def test_landed_files_are_accepted(tmp_path: Path) -> None:
    converted(tmp_path, ANDROID)
    assert_accepted(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no message in it"),
        (b"hello\n", "line 1: no date and time"),
        (
            b"13/05/2024, 10:00 - A: x\n05/13/2024, 10:00 - A: y\n",
            "line 2 is no dmy, line 1 is no mdy",
        ),
        (b"13/05/2024, 10:00 - A: x\n\xff\n", "line 2: not UTF-8"),
    ],
)
def test_a_broken_export_names_the_place(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "chat.txt").write_bytes(text)
    with pytest.raises(ConversionError, match=message):
        convert("whatsapp", tmp_path / "chat.txt", tmp_path / "landing", "wa", "UTC")
    assert not (tmp_path / "landing").exists()


def test_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text(ANDROID)
    with pytest.raises(ConversionUsageError, match="--zone"):
        convert("whatsapp", tmp_path / "chat.txt", tmp_path / "landing", "wa")
    with pytest.raises(ConversionUsageError, match="date_order"):
        converted(tmp_path, ANDROID, date_order="ydm")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_exports_land_whole_or_not_at_all(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([ANDROID, IOS])).encode()
    assert_whole_or_nothing("whatsapp", "chat.txt", data.draw(damage(good)), "Asia/Shanghai")


@pytest.mark.skipif(
    not CHATMINER.is_dir(), reason="the public fixtures are kept beside the checkout"
)
@pytest.mark.parametrize("path", sorted(CHATMINER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_parse_that_others_expect(tmp_path: Path, path: Path) -> None:
    records = converted(tmp_path, path.read_text(), zone="UTC")
    target = json.loads((CHATMINER / "target.json").read_text())
    spoken = [row for row in said(records) if row[2] != "system"]
    assert [(at, name, text.replace("\n", " ")) for at, name, _, text in spoken] == [
        (f"{row['timestamp']}Z", row["author"], row["message"]) for row in reversed(target)
    ]
    assert len(records["group/messages"]) == len(target) + 3


@pytest.mark.skipif(
    not POKEMON.is_file(), reason="the public fixtures are kept beside the checkout"
)
def test_a_public_chat_with_system_lines(tmp_path: Path) -> None:
    records = converted(tmp_path, POKEMON.read_text())
    kinds = [row["kind"] for row in records["group/messages"]]
    assert (kinds.count("system"), kinds.count("text")) == (2, 18)
    names = {row.get("display_name") for row in records["group/members"]}
    assert len(names) == 9
    assert {"Jessie & James", "Prof. Oak"} < names
    assert "group/memberships" not in records, "nobody is seen joining: the marts infer it"
