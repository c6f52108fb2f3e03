"""Stack Exchange dumps: the mapping on a tiny dump, the sums of two whole sites."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orchestration.connectors import ConversionError, ConvertOptions, convert
from tests.unit.connectors.landing_files import (
    FIXTURES,
    SHARED_DATA,
    Records,
    contract_faults,
    landed_files,
    read_landing,
)

DUMP = FIXTURES / "stackexchange"
SITES = ("se_french_meta", "se_conlang_meta")


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("stackexchange", DUMP, tmp_path, "bees")
    return read_landing(tmp_path)


def by_key(records: Records, log: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in records[log]}


def rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    for element in ElementTree.parse(folder / f"{name}.xml").getroot():
        yield dict(element.attrib)


def test_every_record_keeps_the_contract(landed: Records) -> None:
    assert contract_faults(landed, "stackexchange") == []


def test_questions_answers_and_wikis(landed: Records) -> None:
    contents = by_key(landed, "community/contents", "content_id")
    question = contents["1"]
    assert question["kind"] == "question"
    assert question["author_account_id"] == "5"
    assert question["title"] == "Bees & dances"
    assert question["topic"] == "bees"
    assert question["node_id"] == "tag:bees"
    assert question["published_at"] == "2020-01-01T10:00:00.123Z"
    assert question["updated_at"] == "2020-02-01T00:00:00.000Z"
    assert question["stackexchange"]["Tags"] == "<bees><dance>"
    assert question["stackexchange"]["Body"] == "<p>How do bees dance?</p>\n"
    answer = contents["2"]
    assert (answer["kind"], answer["parent_content_id"]) == ("answer", "1")
    assert answer["node_id"] == "tag:bees"
    # An answer follows its question's tags, so a retagged question makes a newer state of it.
    assert answer["updated_at"] == "2020-02-01T00:00:00.000Z"
    assert contents["3"]["node_id"] == "tag:wasps"
    assert contents["4"]["updated_at"] == "2020-01-05T00:00:00.000Z"
    assert (contents["5"]["kind"], contents["5"]["node_id"]) == ("article", "tag:bees")
    assert contents["6"]["author_account_id"] == "anonymous"
    assert contents["9007199254740993"]["node_id"] == "site"


def test_a_deleted_author_is_one_stand_in_everywhere(landed: Records) -> None:
    contents = by_key(landed, "community/contents", "content_id")
    authors = {contents[key]["author_account_id"] for key in ("3", "4", "comment-2")}
    assert len(authors) == 1
    assert re.fullmatch("name:[0-9a-f]{16}", authors.pop())


def test_comments_are_contents_and_events(landed: Records) -> None:
    comment = by_key(landed, "community/contents", "content_id")["comment-1"]
    assert (comment["kind"], comment["parent_content_id"]) == ("comment", "1")
    assert comment["stackexchange"]["Text"] == "Which bees?"
    event = by_key(landed, "community/events", "event_id")["comment-1"]
    assert (event["event_type"], event["content_id"], event["account_id"]) == ("comment", "1", "7")
    assert event["occurred_at"] == comment["published_at"]


def test_votes(landed: Records) -> None:
    events = by_key(landed, "community/events", "event_id")
    up = events["vote-1"]
    assert (up["event_type"], up["account_id"]) == ("vote", "anonymous")
    assert up["properties"] == {"vote_type": "up", "value": 1, "time_precision": "day"}
    assert events["vote-4"]["properties"]["value"] == -1
    assert events["vote-5"]["account_id"] == "5", "only the asker can accept"
    assert (events["vote-6"]["event_type"], events["vote-6"]["account_id"]) == ("collect", "7")
    assert events["vote-7"]["properties"]["bounty_amount"] == 50
    assert events["vote-7"]["account_id"] == "5"
    assert events["vote-8"]["properties"]["vote_type"] == "deletion"
    anonymous = by_key(landed, "community/accounts", "account_id")["anonymous"]
    assert anonymous["is_bot"] is True


def test_accounts_and_nodes(landed: Records) -> None:
    accounts = by_key(landed, "community/accounts", "account_id")
    assert accounts["-1"]["is_bot"] is True
    assert "union_id" not in accounts["-1"]
    ann = accounts["5"]
    assert ann["registered_at"] == "2019-12-02T08:00:00.000Z"
    assert ann["updated_at"] == "2020-03-05T00:00:00.000Z"
    assert ann["union_id"] == "stackexchange:123456789012345678"
    assert ann["display_name"] == "Ann Asker"
    nodes = by_key(landed, "community/nodes", "node_id")
    assert set(nodes) == {"site", "tag:bees", "tag:dance", "tag:wasps"}
    assert nodes["site"]["level"] == "platform"
    assert nodes["tag:wasps"]["parent_node_id"] == "site"


def test_what_no_log_holds_is_counted_and_named(tmp_path: Path) -> None:
    report = convert("stackexchange", DUMP, tmp_path, "bees")
    assert {(item.kind, item.records) for item in report.left_out} == {
        ("Badges", 1),
        ("PostLinks", 1),
        ("PostHistory", 1),
    }
    assert sum(report.records_in.values()) == 26
    assert report.notes == {"answer whose question is not in the export: node is the site": 1}


def test_without_text_and_names(tmp_path: Path) -> None:
    options = ConvertOptions(no_text=True, no_names=True)
    convert("stackexchange", DUMP, tmp_path, "bees", options=options)
    records = read_landing(tmp_path)
    assert contract_faults(records, "stackexchange") == []
    everything = str(records)
    for secret in ("Ann", "Bob", "Zaphod", "Lyon", "ann.example", "dance?", "Thanks", "I ask"):
        assert secret not in everything
    assert "tag:bees" in everything
    plain = tmp_path / "plain"
    convert("stackexchange", DUMP, plain, "bees")
    for log, kept in read_landing(plain).items():
        assert len(kept) == len(records[log])


def test_a_dump_may_lack_all_but_the_posts(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    shutil.copy(DUMP / "Posts.xml", export)
    (export / "Notes.xml").write_text("<notes/>")
    report = convert("stackexchange", export, tmp_path / "landing", "bees")
    assert report.notes["Votes.xml is not in the export"] == 1
    assert report.notes["Notes.xml is no file of a dump: passed over"] == 1
    assert report.records_out["community/contents"] == 7


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("Posts.xml", 'PostTypeId="2" ParentId="1"', 'ParentId="1"', r"row 2: no PostTypeId"),
        ("Posts.xml", "</posts>", "", r"ERR_[A-Z_]+.* line 11"),
        ("Users.xml", "<users>", "<posts>", r"<posts> where <users> should be"),
        ("Votes.xml", "<row Id", "<vote Id", r"row 1: <vote> where a <row> should be"),
        ("Votes.xml", '"50"', '"much"', r"row 7: "),
        ("Tags.xml", "<tags>", "<!DOCTYPE tags [<!ENTITY a 'b'>]><tags>", "a document type"),
        ("Comments.xml", "Thanks!", "Than\x00ks!", r"Comments.xml: .*line 4"),
    ],
)
def test_a_broken_dump_names_the_place_and_lands_nothing(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    export = tmp_path / "export"
    shutil.copytree(DUMP, export)
    text = (export / name).read_text()
    assert old in text
    (export / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ConversionError, match=message) as caught:
        convert("stackexchange", export, tmp_path / "landing", "bees")
    assert name in str(caught.value)
    assert not (tmp_path / "landing").exists()


def test_entities_that_would_multiply_are_refused_unread(tmp_path: Path) -> None:
    export = tmp_path / "export"
    shutil.copytree(DUMP, export)
    levels = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    (export / "Tags.xml").write_text(
        f"<!DOCTYPE tags [<!ENTITY a0 'aaaaaaaaaa'>{levels}]><tags><row TagName='&a11;' /></tags>"
    )
    with pytest.raises(ConversionError, match="a document type"):
        convert("stackexchange", export, tmp_path / "landing", "bees")


def test_an_archive_or_an_empty_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="unpack"):
        convert("stackexchange", DUMP / "Posts.xml", tmp_path / "landing", "bees")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionError, match=r"no Posts\.xml"):
        convert("stackexchange", tmp_path / "empty", tmp_path / "landing", "bees")
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize("site", SITES)
def test_a_whole_site_adds_up_to_its_own_figures(tmp_path: Path, site: str) -> None:
    dump = SHARED_DATA / site
    if not dump.is_dir():
        pytest.skip(f"{site} is a public dump that is kept beside the checkout, not in it")
    landing = tmp_path / "landing"
    convert("stackexchange", dump, landing, site)
    records = read_landing(landing)
    assert contract_faults(records, "stackexchange") == []
    contents, events = records["community/contents"], records["community/events"]
    score: Counter[str] = Counter()
    for event in events:
        score[event["content_id"]] += event.get("properties", {}).get("value", 0)
    comments = Counter(row["parent_content_id"] for row in contents if row["kind"] == "comment")
    comment_events = Counter(
        event["content_id"] for event in events if event["event_type"] == "comment"
    )
    answers = Counter(row["parent_content_id"] for row in contents if row["kind"] == "answer")
    tags: Counter[str] = Counter()
    for row in contents:
        tags.update(re.findall(r"[^<>|]+", row.get("stackexchange", {}).get("Tags", "")))
    posts = list(rows(dump, "Posts"))
    assert len(posts) > 100
    landed_posts = {row["content_id"]: row for row in contents}
    for post in posts:
        key = post["Id"]
        assert landed_posts[key].get("title") == post.get("Title")
        assert landed_posts[key]["stackexchange"]["Body"] == post["Body"]
        assert score[key] == int(post["Score"])
        assert comments[key] == comment_events[key] == int(post["CommentCount"])
        assert answers[key] == int(post.get("AnswerCount", 0))
    for tag in rows(dump, "Tags"):
        assert tags[tag["TagName"]] == int(tag["Count"])
    accounts = {row["account_id"] for row in records["community/accounts"]}
    assert {user["Id"] for user in rows(dump, "Users")} == accounts - {"anonymous"}
    assert landed_files(landing)
