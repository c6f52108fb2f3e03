"""IRC logs: the styles of several programs, and the public logs of #ubuntu."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

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

UBUNTU = SHARED_DATA / "irc_ubuntu" / "dev"

IRSSI = """\
--- Log opened Mon May 13 23:50:00 2024
23:50 -!- annie [~a@host.example] has joined #tea
23:51 <@annie> hello
23:51 < bob> annie: hi
23:52  * bob waves
23:52 -!- mode/#tea [+o bob] by annie
23:53 -!- bob is now known as bob|away
23:53 -!- carl was kicked from #tea by annie [spam]
--- Day changed Tue May 14 2024
00:01 <annie> https://example.org
00:02 -!- bob|away [~b@host.example] has quit [bye]
"""
WEECHAT = (
    "2024-05-13 23:50:00\t-->\tannie (~a@host.example) has joined #tea\n"
    "2024-05-13 23:51:00\t@annie\thello\n"
    "2024-05-13 23:51:30\tbob\tannie: hi\n"
    "2024-05-13 23:52:00\t *\tbob waves\n"
    "2024-05-13 23:53:00\t--\tbob is now known as bob|away\n"
    "2024-05-14 00:02:00\t<--\tbob|away (~b@host.example) has quit (bye)\n"
)
ZNC = """\
[23:50:00] *** Joins: annie (~a@host.example)
[23:51:00] <annie> hello
[23:51:30] <bob> annie: hi
[23:52:00] * bob waves
[00:02:00] *** Quits: bob (~b@host.example) (bye)
"""
UBUNTU_OLD = """\
=== annie [~a@host.example]  has joined #tea
[23:51] <annie> hello
=== bob is now known as bob|away
=== bob|away waves
[23:52] <bob|away> annie, hi
"""


def converted(
    tmp_path: Path, text: str, name: str = "2024-05-13.log", zone: str = "UTC", **more: str
) -> Records:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    landing = tmp_path / "landing"
    report = convert("irc", tmp_path / name, landing, "irc", zone, ConvertOptions(more=more))
    records = read_landing(landing)
    assert contract_faults(records, "irc") == []
    left_out = sum(item.records for item in report.left_out)
    assert report.records_in["lines"] == len(records["group/messages"]) + left_out
    return records


def said(records: Records) -> list[tuple[str, str | None, str, str]]:
    names = {row["member_id"]: row.get("display_name") for row in records["group/members"]}
    return [
        (row["occurred_at"][5:16], names[row["member_id"]], row["kind"], row["text"])
        for row in records["group/messages"]
    ]


def changes(records: Records) -> list[tuple[str, str | None]]:
    names = {row["member_id"]: row.get("display_name") for row in records["group/members"]}
    return [(row["action"], names[row["member_id"]]) for row in records["group/memberships"]]


def test_irssi(tmp_path: Path) -> None:
    records = converted(tmp_path, IRSSI, "tea.log")
    rows = said(records)
    assert rows[1] == ("05-13T23:51", "annie", "text", "hello")
    assert rows[3] == ("05-13T23:52", "bob", "text", "waves")
    assert rows[4][:3] == ("05-13T23:52", None, "system")
    assert rows[7] == ("05-14T00:01", "annie", "link", "https://example.org")
    assert records["group/messages"][2]["mentions"] == [records["group/messages"][1]["member_id"]]
    assert changes(records) == [
        ("join", "annie"),
        ("leave", "bob"),
        ("join", "bob|away"),
        ("leave", "carl"),
        ("leave", "bob|away"),
    ]
    (group,) = records["group/groups"]
    assert (group["group_id"], group["name"], group["observes"]) == ("#tea", "#tea", ["leave"])


def test_other_programs(tmp_path: Path) -> None:
    weechat = converted(tmp_path / "weechat", WEECHAT, "irc.net.#tea.weechatlog")
    assert [row[1:] for row in said(weechat)[1:4]] == [
        ("annie", "text", "hello"),
        ("bob", "text", "annie: hi"),
        ("bob", "text", "waves"),
    ]
    assert changes(weechat)[-1] == ("leave", "bob|away")
    znc = converted(tmp_path / "znc", ZNC, "#tea_20240513.log", channel="#Tea")
    assert said(znc)[-1][0] == "05-14T00:02", "time goes back over midnight: the next day"
    assert changes(znc) == [("join", "annie"), ("leave", "bob")]
    assert znc["group/groups"][0]["group_id"] == "#tea"


def test_lines_without_a_time_have_that_of_the_line_before(tmp_path: Path) -> None:
    records = converted(tmp_path, UBUNTU_OLD)
    rows = records["group/messages"]
    assert [row["occurred_at"][11:16] for row in rows] == ["23:51"] * 4 + ["23:52"]
    assert [row["kind"] for row in rows] == ["system", "text", "system", "text", "text"]
    assert [bool(row.get("irc", {}).get("time_is_of_the_line_before")) for row in rows] == [
        *(True, False, True, True, False),
    ]


def test_a_private_log_is_named_after_nobody(tmp_path: Path) -> None:
    records = converted(tmp_path, "[10:00] <annie> hello\n", channel="annie", bots="x, Annie")
    (group,) = records["group/groups"]
    assert group["group_id"].startswith("query:")
    assert "name" not in group
    assert group["observes"] == [], "nobody is seen coming or going"
    assert [row.get("is_bot") for row in records["group/members"]] == [True, True]


def test_zones_and_offsets(tmp_path: Path) -> None:
    line = "2024-05-13T10:00:00{} <annie> hello\n"
    shanghai = converted(tmp_path / "a", line.format(""), zone="Asia/Shanghai", channel="#x")
    offset = converted(tmp_path / "b", line.format("+08:00"), channel="#x")
    assert said(shanghai)[0][0] == said(offset)[0][0] == "05-13T02:00"


def test_overlapping_logs_give_the_same_events(tmp_path: Path) -> None:
    lines = IRSSI.splitlines(keepends=True)
    everything = events(converted(tmp_path / "all", IRSSI, "#tea.log"))
    first = events(converted(tmp_path / "first", "".join(lines[:6]), "#tea.log"))
    second = events(converted(tmp_path / "second", lines[0] + "".join(lines[2:]), "#tea.log"))
    assert set(first) | set(second) == set(everything)
    both = tmp_path / "both"
    both.mkdir()
    (both / "#tea.1.log").write_text(IRSSI)
    (both / "#tea.2.log").write_text(lines[0] + "".join(lines[4:]))
    convert("irc", both, tmp_path / "landed", "irc", "UTC")
    assert set(events(read_landing(tmp_path / "landed"))) == set(everything)


@pytest.mark.parametrize(
    ("options", "hidden", "kept"),
    [
        (ConvertOptions(no_names=True), ["annie", "bob", "carl", "host"], ["hello", "waves"]),
        (ConvertOptions(no_text=True), ["hello", "waves", "host", "spam"], ["annie", "bob"]),
    ],
)
def test_names_and_texts_stay_out(
    tmp_path: Path, options: ConvertOptions, hidden: list[str], kept: list[str]
) -> None:
    (tmp_path / "#tea.log").write_text(IRSSI)
    convert("irc", tmp_path / "#tea.log", tmp_path / "landing", "irc", "UTC", options)
    everything = json.dumps(read_landing(tmp_path / "landing"), ensure_ascii=False)
    assert [word for word in hidden if word in everything] == []
    assert [word for word in kept if word not in everything] == []


def test_landed_files_are_accepted(tmp_path: Path) -> None:
    converted(tmp_path, IRSSI)
    assert_accepted(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("#tea.log", "", "no line in a style"),
        ("#tea.log", "what is this\n", "no line in a style"),
        (
            "#tea.log",
            "[10:00] <a> x\n",
            "line 1: neither the file's name nor its lines tell the date",
        ),
        ("2024-05-13.log", "[10:00] <a> x\n", "option channel="),
        ("#tea.2024-05-13.log", "=== a has joined #tea\n", "no line with a time"),
    ],
)
def test_a_broken_log_names_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConversionError, match=message):
        convert("irc", tmp_path / name, tmp_path / "landing", "irc", "UTC")
    assert not (tmp_path / "landing").exists()


def test_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "#tea.log").write_text(IRSSI)
    with pytest.raises(ConversionUsageError, match="--zone"):
        convert("irc", tmp_path / "#tea.log", tmp_path / "landing", "irc")
    with pytest.raises(ConversionUsageError, match="YYYY"):
        converted(tmp_path, IRSSI, date="yesterday")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_logs_land_whole_or_not_at_all(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([IRSSI, WEECHAT, ZNC, UBUNTU_OLD])).encode()
    name = "#tea.2024-05-13.log"
    assert_whole_or_nothing("irc", name, data.draw(damage(good)), "Asia/Shanghai")


@pytest.mark.skipif(not UBUNTU.is_dir(), reason="the public logs are kept beside the checkout")
def test_the_public_logs_are_accounted_for(tmp_path: Path) -> None:
    options = ConvertOptions(more={"channel": "#ubuntu"})
    for path in sorted(UBUNTU.glob("*.raw.txt")):
        landing = tmp_path / path.stem
        report = convert("irc", path, landing, "freenode", "UTC", options)
        records = read_landing(landing)
        assert contract_faults(records, "irc") == []
        lines = [line for line in path.read_text().split("\n") if line.strip()]
        rows = records["group/messages"]
        assert report.left_out == ()
        assert len(rows) == len({row["message_id"] for row in rows}) == len(lines)
        kinds = Counter(row.get("irc", {}).get("what", "said") for row in rows)
        assert kinds["join"] == sum(
            "has joined #ubuntu" in line.lower() for line in lines if line.startswith("===")
        )
        assert kinds["nick"] == sum(
            " is now known as " in line for line in lines if line.startswith("===")
        )
        assert kinds["said"] == sum(line[8:9] == "<" for line in lines if line.startswith("["))
