"""知识星球: the mapping on a tiny planet."""

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

EXPORT = FIXTURES / "zsxq"
TALK = "14588542545411422"


@pytest.fixture
def landed(tmp_path: Path) -> Records:
    convert("zsxq", EXPORT, tmp_path, "hive")
    return read_landing(tmp_path)


def test_topics_answers_and_comments(landed: Records) -> None:
    assert contract_faults(landed, "zsxq") == []
    contents = {row["content_id"]: row for row in landed["community/contents"]}
    talk = contents[TALK]
    assert (talk["kind"], talk["author_account_id"]) == ("post", "241888888148421")
    assert talk["published_at"] == "2024-01-02T02:00:00.123Z"
    assert talk["is_paid"] is True
    assert talk["zsxq"]["talk"]["owner"] == {"user_id": 241888888148421}
    question, answer = contents["22811851848118141"], contents["answer-22811851848118141"]
    assert (question["kind"], question["author_account_id"]) == ("question", "anonymous")
    assert answer["parent_content_id"] == "22811851848118141"
    assert answer["zsxq"]["time_is_of_the_question"] is True
    assert contents["comment-112"]["parent_content_id"] == "comment-111"
    assert contents["comment-113"]["parent_content_id"] == "55188118845855824"
    comments = [row for row in landed["community/events"] if row["event_type"] == "comment"]
    assert [row["content_id"] for row in comments].count(TALK) == 2


def test_people_and_the_planet(landed: Records) -> None:
    accounts = {row["account_id"]: row for row in landed["community/accounts"]}
    assert accounts["8442455112"]["registered_at"] == "2023-12-01T00:00:00.000Z"
    assert accounts["8442455112"]["display_name"] == "波波"
    assert accounts["241888888148421"]["zsxq"]["registered_at_inferred"] is True
    assert accounts["anonymous"]["is_bot"] is True
    nodes = {row["node_id"]: row for row in landed["community/nodes"]}
    assert nodes["group:15555411412112"]["name"] == "蜂巢"
    assert nodes["group:15555411412112"]["parent_node_id"] == "zsxq"


def test_likes_and_rewards(tmp_path: Path, landed: Records) -> None:
    likes = [row for row in landed["community/events"] if row["event_type"] == "like"]
    assert [row["event_id"] for row in likes] == [f"like-{TALK}-8442455112"]
    report = convert("zsxq", EXPORT, tmp_path / "a", "hive")
    left_out = {item.kind: item.records for item in report.left_out}
    assert left_out == {"likes": 2, "rewards": 1}
    for unit, amount in (("fen", 500), ("yuan", 50_000)):
        options = ConvertOptions(more={"reward_unit": unit})
        convert("zsxq", EXPORT, tmp_path / unit, "hive", options=options)
        (tip,) = read_landing(tmp_path / unit)["commerce/orders"]
        assert (tip["amount_minor"], tip["kind"], tip["content_id"]) == (amount, "tip", TALK)
    options = ConvertOptions(more={"reward_unit": "jiao"})
    with pytest.raises(ConversionUsageError, match="fen or yuan"):
        convert("zsxq", EXPORT, tmp_path / "b", "hive", options=options)


def test_without_text_or_names(tmp_path: Path) -> None:
    convert("zsxq", EXPORT, tmp_path / "a", "hive", options=ConvertOptions(no_names=True))
    everything = json.dumps(read_landing(tmp_path / "a"), ensure_ascii=False)
    assert [word for word in ("安安", "波波", "潜水员", "img.example") if word in everything] == []
    assert "蜜蜂会跳舞" in everything
    convert("zsxq", EXPORT, tmp_path / "b", "hive", options=ConvertOptions(no_text=True))
    everything = json.dumps(read_landing(tmp_path / "b"), ensure_ascii=False)
    words = ("跳舞", "不知道", "八字舞", "吃什么", "蜂王浆", "画")
    assert [word for word in words if word in everything] == []
    assert "波波" in everything


def test_overlapping_exports_give_the_same_records(tmp_path: Path, landed: Records) -> None:
    answer = json.loads((EXPORT / "topics.json").read_text())
    part = tmp_path / "part.jsonl"
    topics = answer["resp_data"]["topics"][:2]
    part.write_text("".join(json.dumps(topic) + "\n" for topic in topics))
    convert("zsxq", part, tmp_path / "landing", "hive")
    records = read_landing(tmp_path / "landing")
    for log, key in (("contents", "content_id"), ("events", "event_id")):
        whole = {row[key]: row for row in landed[f"community/{log}"]}
        assert all(whole[row[key]] == row for row in records[f"community/{log}"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("topics.json", '{"topics": [', r"topics\.json: after value 0: no JSON"),
        ("topics.json", "[7]", r"topics\.json: value 1: no object"),
        ("topics.json", '{"a": 1}', "nothing known in it"),
        ("topics.json", '[{"topic_id": 1, "create_time": "2024-01-02"}]', "ValueError"),
        ("comments.json", '{"comments": [{"comment_id": 1}]}', "comments of which topic"),
    ],
)
def test_a_broken_export_names_the_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    export = tmp_path / "export"
    shutil.copytree(EXPORT, export)
    (export / name).write_text(content)
    with pytest.raises(ConversionError, match=message):
        convert("zsxq", export, tmp_path / "landing", "hive")
    assert not (tmp_path / "landing").exists()
