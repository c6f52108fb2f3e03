"""Discourse: the mapping on a tiny backup, and on the API's JSON of the same topic."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestration.connectors import ConversionError, ConvertOptions, convert
from tests.unit.connectors.landing_files import FIXTURES, Records, contract_faults, read_landing

EXPORT = FIXTURES / "discourse"
DUMP = EXPORT / "dump.sql"


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("discourse", EXPORT, tmp_path, "hive")
    return read_landing(tmp_path)


def by_key(records: Records, log: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in records[f"community/{log}"]}


def test_posts(landed: Records) -> None:
    assert contract_faults(landed, "discourse") == []
    contents = by_key(landed, "contents", "content_id")
    assert set(contents) == {"10", "11", "12"}
    first = contents["10"]
    assert (first["kind"], first["title"], first["topic"]) == ("post", "Bees & dances", "dance")
    assert first["published_at"] == "2020-01-01T10:00:00.123456Z"
    assert first["node_id"] == "category:5"
    assert first["discourse"]["raw"] == "How do bees dance?\nA \\ and a\ttab."
    assert first["discourse"]["views"] == "7"
    assert contents["11"]["parent_content_id"] == "10"
    gone = contents["12"]
    assert (gone["parent_content_id"], gone["author_account_id"]) == ("11", "anonymous")
    assert gone["deleted_at"] == gone["updated_at"] == "2020-01-03T00:00:00.000000Z"


def test_events(landed: Records) -> None:
    events = by_key(landed, "events", "event_id")
    assert {key: (row["event_type"], row["content_id"]) for key, row in events.items()} == {
        "post-11": ("comment", "10"),
        "post-12": ("comment", "10"),
        "action-1": ("like", "10"),
        "action-2": ("like", "10"),
        "action-2-undone": ("unlike", "10"),
        "bookmark-1": ("collect", "11"),
        "view-1-3-2020-01-02": ("read", "10"),
    }
    assert events["action-2-undone"]["occurred_at"] == "2020-01-02T12:00:00.000000Z"


def test_people_and_categories(landed: Records) -> None:
    accounts = by_key(landed, "accounts", "account_id")
    assert (accounts["2"]["display_name"], accounts["2"]["email"]) == (
        "Ann Asker",
        "ann@example.org",
    )
    assert accounts["3"]["is_staff"] is True
    assert accounts["-1"]["is_bot"] is accounts["anonymous"]["is_bot"] is True
    nodes = by_key(landed, "nodes", "node_id")
    assert nodes["category:5"]["parent_node_id"] == "category:4"
    assert nodes["category:4"]["parent_node_id"] == "site"
    everything = json.dumps(landed)
    assert not [word for word in ("hash!", "10.1.2.3", "10.9.9.9", "psst") if word in everything]


def test_what_no_log_holds_is_counted_and_named(tmp_path: Path) -> None:
    report = convert("discourse", EXPORT, tmp_path, "hive")
    left_out = {(item.kind, item.reason): item.records for item in report.left_out}
    assert left_out == {
        ("posts", "a private message"): 1,
        ("posts", "a small action, by which the system speaks"): 1,
        ("post_actions", "a flag for the moderators"): 1,
        ("post_actions", "on a private message or a deleted post"): 1,
        ("bookmarks", "of something else than a public post"): 1,
        ("topic_views", "by nobody known"): 1,
        ("user_visits", "no log holds this table"): 1,
    }


@pytest.mark.parametrize("form", ["dump.sql.gz", "backup.tar.gz", "backup.tar"])
def test_every_wrapping_gives_the_same(tmp_path: Path, landed: Records, form: str) -> None:
    export = tmp_path / form
    packed = gzip.compress(DUMP.read_bytes())
    if form == "dump.sql.gz":
        export.write_bytes(packed)
    else:
        with tarfile.open(export, "w:gz" if form.endswith("gz") else "w") as archive:
            for name, content in (("meta.json", b"{}"), ("hive/dump.sql.gz", packed)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    convert("discourse", export, tmp_path / "landing", "hive")
    assert read_landing(tmp_path / "landing") == landed
    content = export.read_bytes()
    export.write_bytes(content[:700])
    with pytest.raises(ConversionError, match=form):
        convert("discourse", export, tmp_path / "broken", "hive")
    assert not (tmp_path / "broken").exists()


def test_without_text_or_names(tmp_path: Path) -> None:
    convert("discourse", EXPORT, tmp_path / "a", "hive", options=ConvertOptions(no_names=True))
    everything = json.dumps(read_landing(tmp_path / "a"))
    assert [word for word in ('"ann', "Ann", '"bob', "@example") if word in everything] == []
    convert("discourse", EXPORT, tmp_path / "b", "hive", options=ConvertOptions(no_text=True))
    everything = json.dumps(read_landing(tmp_path / "b"))
    assert [word for word in ("dances", "dance?", "eights", "Thanks") if word in everything] == []
    assert "Ann Asker" in everything


def api_topic() -> dict[str, Any]:
    def post(post_id: int, number: int, user: int, name: str, **more: Any) -> dict[str, Any]:
        times = {"created_at": f"2020-01-01T1{number}:00:00.000Z"}
        times["updated_at"] = times["created_at"]
        who = {"user_id": user, "username": name, "name": name.title()}
        return {"id": post_id, "topic_id": 1, "post_number": number, "post_type": 1} | (
            times | who | {"cooked": f"<p>{number}</p>"} | more
        )

    likes = [{"id": 2, "count": 4}]
    return {
        "id": 1,
        "title": "Bees & dances",
        "category_id": 5,
        "tags": ["dance"],
        "views": 7,
        "created_at": "2020-01-01T10:00:00.000Z",
        "post_stream": {
            "posts": [
                post(10, 1, 2, "ann", actions_summary=likes),
                post(11, 2, 3, "bob", reply_to_post_number=1, moderator=True),
            ]
        },
    }


def test_the_api_gives_the_same_ids(tmp_path: Path, landed: Records) -> None:
    export = tmp_path / "export"
    export.mkdir()
    (export / "t1.json").write_text(json.dumps(api_topic()))
    (export / "posts.json").write_text(
        json.dumps({"latest_posts": api_topic()["post_stream"]["posts"][1:]})
    )
    category = {"id": 4, "name": "Bees", "subcategory_list": [{"id": 5, "name": "Honey"}]}
    (export / "categories.json").write_text(
        json.dumps({"category_list": {"categories": [category]}})
    )
    report = convert("discourse", export, tmp_path / "landing", "hive")
    records = read_landing(tmp_path / "landing")
    assert contract_faults(records, "discourse") == []
    assert {row["content_id"] for row in records["community/contents"]} == {"10", "11"}
    for log, key, names in (
        ("contents", "content_id", ("kind", "author_account_id", "node_id", "title", "topic")),
        ("events", "event_id", ("event_type", "account_id", "content_id")),
    ):
        backup = by_key(landed, log, key)
        for row in records[f"community/{log}"]:
            assert [row.get(name) for name in names] == [
                backup[row[key]].get(name) for name in names
            ]
    left_out = {item.reason: item.records for item in report.left_out}
    assert left_out == {
        "the API does not say whose": 4,
        "the same post again, on another page": 1,
    }
    accounts = by_key(records, "accounts", "account_id")
    assert accounts["3"]["is_staff"] is True
    assert accounts["2"]["discourse"]["registered_at_inferred"] is True


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12:00:00\t2020-01-01 12:00:00", "noon\tnoon", r"dump line \d+: posts: .*ValueError"),
        ("\\.\n\nCOPY public.tags", "", r"dump line \d+: posts|ends inside"),
        ("public.topics (", "public.subjects (", r"no COPY of posts and topics"),
        ("\tf\t3\t", "\t3\t", r"dump line \d+: users: .*ValueError"),
    ],
)
def test_a_broken_dump_names_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    export = tmp_path / "export"
    shutil.copytree(EXPORT, export)
    text = DUMP.read_text()
    assert old in text or old == "\tf\t3\t"
    changed = text.replace(old, new, 1) if old in text else text.replace("\tt\t3\t", new, 1)
    (export / "dump.sql").write_text(changed)
    with pytest.raises(ConversionError, match=message):
        convert("discourse", export, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()
