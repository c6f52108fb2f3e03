"""WeCom: the mapping on a tiny company."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestration.connectors import (
    ConversionError,
    ConversionUsageError,
    ConvertOptions,
    convert,
)
from tests.unit.connectors.landing_files import FIXTURES, Records, contract_faults, read_landing

EXPORT = FIXTURES / "wecom"
ANN, BOB, ROOM = "wmAnnAnnAnnAnnAnnAnnAnnA", "wmBobBobBobBobBobBobBobB", "wrHiveHiveHiveHiveHive"


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("wecom", EXPORT, tmp_path, "hive")
    return read_landing(tmp_path)


def test_messages(landed: Records) -> None:
    assert contract_faults(landed, "wecom") == []
    found = {row["message_id"]: row for row in landed["group/messages"]}
    assert set(found) == {"m1_external", "m2_external", "m3_external", "m4", "m7_external"}
    first = found["m1_external"]
    assert (first["text"], first["text_length"]) == ("大家好，蜂蜜到了", 8)
    assert first["occurred_at"] == "2023-11-14T22:13:20.123Z"
    assert first["wecom"]["seq"] == 1
    assert found["m2_external"]["kind"] == "image"
    recall = found["m3_external"]
    assert (recall["kind"], recall["reply_to_message_id"]) == ("system", "m2_external")
    assert (found["m4"]["group_id"], found["m4"]["text"]) == ("direct:lisi,zhangsan", "看这个")
    assert found["m7_external"]["kind"] == "system"


def test_groups_members_and_memberships(landed: Records) -> None:
    groups = {row["group_id"]: row for row in landed["group/groups"]}
    assert set(groups) == {ROOM, "direct:lisi,zhangsan"}
    assert (groups[ROOM]["name"], groups[ROOM]["owner_member_id"]) == ("蜂友群", "zhangsan")
    assert groups[ROOM]["observes"] == ["leave"], "events name who leaves"
    members = {row["member_id"]: row for row in landed["group/members"]}
    ann = members[ANN]
    assert (ann["display_name"], ann["union_id"], ann["phone"]) == ("安安", "o-ann", "13800138000")
    assert "is_staff" not in ann
    assert members["zhangsan"]["is_staff"] is members["lisi"]["is_staff"] is True
    assert members["wbRobotRobotRobotRobotRob"]["is_bot"] is True
    changes = [row for row in landed["group/memberships"] if row["group_id"] == ROOM]
    by_member = {
        member: [row for row in changes if row["member_id"] == member] for member in (ANN, BOB)
    }
    (joined,) = by_member[ANN]
    assert (joined["via"], joined["occurred_at"]) == ("qr", "2023-11-03T08:28:20.000Z")
    assert [(row["action"], "wecom" in row) for row in by_member[BOB]] == [
        ("leave", True),
        ("join", True),
    ]
    assert by_member[BOB][1]["wecom"] == {"inferred_from": "seen"}


def test_without_events_leaving_is_not_observed(tmp_path: Path) -> None:
    convert("wecom", EXPORT / "chat.jsonl", tmp_path, "hive")
    groups = read_landing(tmp_path)["group/groups"]
    assert {tuple(row["observes"]) for row in groups} == {()}
    assert {row["updated_at"] for row in groups} == {"2016-01-01T00:00:00Z"}


def test_employees_may_be_members(tmp_path: Path) -> None:
    options = ConvertOptions(more={"employees": "members"})
    convert("wecom", EXPORT, tmp_path / "a", "hive", options=options)
    assert not [row for row in read_landing(tmp_path / "a")["group/members"] if "is_staff" in row]
    options = ConvertOptions(more={"employees": "robots"})
    with pytest.raises(ConversionUsageError, match="staff or members"):
        convert("wecom", EXPORT, tmp_path / "b", "hive", options=options)


def test_what_no_log_holds_is_counted_and_named(tmp_path: Path) -> None:
    report = convert("wecom", EXPORT, tmp_path, "hive")
    left_out = {(item.kind, item.reason): item.records for item in report.left_out}
    assert left_out == {
        ("messages", "still encrypted"): 1,
        ("messages", "switch: somebody changed the company"): 1,
        ("events", "the event does not say what came of change_notice"): 1,
        ("events", "no log holds change_external_contact add_external_contact"): 1,
        ("statistics", "totals; the marts count the events"): 1,
        ("group statuses", "a group without a detail or a message"): 1,
    }
    assert report.notes["join told by a group's detail and by an event"] == 1


def test_without_text_or_names(tmp_path: Path) -> None:
    convert("wecom", EXPORT, tmp_path / "a", "hive", options=ConvertOptions(no_names=True))
    everything = json.dumps(read_landing(tmp_path / "a"), ensure_ascii=False)
    assert [word for word in ("张三", "安", "13800138000") if word in everything] == []
    assert "蜂蜜到了" in everything
    convert("wecom", EXPORT, tmp_path / "b", "hive", options=ConvertOptions(no_text=True))
    everything = json.dumps(read_landing(tmp_path / "b"), ensure_ascii=False)
    assert [word for word in ("蜂蜜", "看这个", "面罩") if word in everything] == []
    assert "安安" in everything


def test_overlapping_exports_give_the_same_messages(tmp_path: Path, landed: Records) -> None:
    part = tmp_path / "part.json"
    lines = (EXPORT / "chat.jsonl").read_text().splitlines()[1:4]
    part.write_text(json.dumps([json.loads(line) for line in lines]))
    convert("wecom", part, tmp_path / "landing", "hive")
    whole = {row["message_id"]: row for row in landed["group/messages"]}
    rows = read_landing(tmp_path / "landing")["group/messages"]
    assert len(rows) == 3
    assert all(whole[row["message_id"]] == row for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("chat.jsonl", '{"a": 1}\n{"b"', r"chat\.jsonl: line 1: nothing known"),
        ("chat.jsonl", "{}\n{", r"nothing known"),
        (
            "chat.jsonl",
            '{"msgid": "1", "action": "send", "msgtime": 1}',
            "value 1: no from|no from",
        ),
        ("chat.jsonl", "[3]", r"value 1: no object"),
        ("callbacks.xml", "<xml><Event>", r"callbacks\.xml: line 1: after event 0: no XML"),
        ("callbacks.xml", "<!DOCTYPE a><xml/>", r"no XML"),
        ("callbacks.xml", "<xml><Event>change_external_chat</Event></xml>", "event 1: no ChatId"),
    ],
)
def test_a_broken_export_names_the_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    export = tmp_path / "export"
    shutil.copytree(EXPORT, export)
    (export / name).write_text(content)
    with pytest.raises(ConversionError, match=message):
        convert("wecom", export, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()
