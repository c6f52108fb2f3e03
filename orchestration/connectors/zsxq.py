"""知识星球 (zsxq): the JSON of its topics, comments, members and groups → community logs.

docs/connectors/zsxq.md has the mapping. Times carry their offset (+0800).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from orchestration.connectors.base import (
    Connector,
    Conversion,
    ConversionError,
    ConversionUsageError,
    word,
)
from orchestration.connectors.reading import (
    Json,
    export_files,
    read_json,
    remainder,
    shape,
    text_of,
)

PLATFORM = "zsxq"
ANONYMOUS = "anonymous"
# Before the service existed: no later state can be older.
EPOCH = "2015-01-01T00:00:00Z"
KINDS = {"talk": "post", "q&a": "question", "task": "post", "solution": "post"}
PARTS = ("talk", "question", "task", "solution")
UNITS = {"fen": 1, "yuan": 100}
TOPIC_FIELDS = {"topic_id", "topic_uid", "create_time", "title", "group", "answer"}
TOPIC_FIELDS |= {"show_comments", "comments", "latest_likes", "rewards", "likes_detail"}
HARMLESS = {
    "annotation",
    "answered",
    "comments_count",
    "digested",
    "likes_count",
    "modify_time",
    "readers_count",
    "reading_count",
    "rewards_count",
    "sticky",
    "type",
}
HARMLESS_COMMENT = {"likes_count", "parent_comment_id", "replies_count", "rewards_count", "sticky"}
HARMLESS_GROUP = {"category", "statistics", "type"}
_TOPIC_IN_NAME = re.compile(r"\d{10,}")


class Zsxq(Connector):
    """Reads answers of the web API as they are, or bare lists of topics."""

    name = "zsxq"
    title = "a 知识星球 export"
    summary = "JSON of topics (also comments, members, groups): a file or a folder of them"
    options: ClassVar[Mapping[str, str]] = {
        "reward_unit": "fen or yuan: what a reward's amount counts; rewards are left out without it"
    }

    def convert(self, conversion: Conversion) -> None:
        """Write accounts, nodes, contents, events and tips; raises ConversionError."""
        unit = conversion.options.more.get("reward_unit")
        if unit is not None and unit not in UNITS:
            raise ConversionUsageError(f"reward_unit is fen or yuan, not {unit!r}")
        _Planet(conversion, UNITS.get(unit or "")).run()


@dataclass
class _Account:
    """What the export says of a person, and when it first and last saw them."""

    record: Json = field(default_factory=dict)
    joined: str | None = None
    first: str | None = None
    last: str | None = None


class _Planet:
    def __init__(self, conversion: Conversion, unit: int | None) -> None:
        self.conversion = conversion
        self.unit = unit
        self.accounts: dict[str, _Account] = {}
        self.groups: dict[str, Json] = {}
        self.write_account = conversion.stream("community/accounts")
        self.write_node = conversion.stream("community/nodes")
        self.write_content = conversion.stream("community/contents")
        self.write_event = conversion.stream("community/events")

    def run(self) -> None:
        conversion = self.conversion
        files = export_files(conversion.path, (".json", ".jsonl", ".ndjson"))
        conversion.total_bytes = sum(path.stat().st_size for path in files)
        self.write_account(
            {"account_id": ANONYMOUS, "updated_at": EPOCH, "registered_at": EPOCH, "is_bot": True}
        )
        self.write_node(
            {
                "node_id": PLATFORM,
                "updated_at": EPOCH,
                "level": "platform",
                "name": conversion.source,
            }
        )
        found = False
        for path in files:
            named = _TOPIC_IN_NAME.search(path.stem)
            for place, value in read_json(conversion, path):
                with shape(conversion, place, "知识星球"):
                    self.on_value(value, place, named[0] if named else None)
                found = True
        if not found:
            raise ConversionError(f"{conversion.path}: no JSON in it")
        for group_id, group in sorted(self.groups.items()):
            with shape(conversion, f"group {group_id}", "知识星球"):
                self.finish_group(group_id, group)
        for account_id, account in sorted(self.accounts.items()):
            with shape(conversion, f"user {account_id}", "知识星球"):
                self.finish_account(account_id, account)

    def on_value(self, value: Any, place: str, named: str | None) -> None:
        """One JSON value: a topic, or an answer of the API in its wrapping or without."""
        if not isinstance(value, dict):
            raise ConversionError(f"{self.conversion.path}: {place}: no object")
        if value.get("succeeded") is False:
            self.conversion.read("refused answers")
            self.conversion.leave_out("refused answers", "the API said no")
            return
        data = value.get("resp_data", value)
        known = False
        for topic in data.get("topics") or ([data["topic"]] if "topic" in data else []):
            self.on_topic(topic, place)
            known = True
        if "topic_id" in data:
            self.on_topic(data, place)
            return
        if "user_id" in data and "comment_id" not in data:
            self.on_member(data)
            return
        for comment in data.get("comments") or []:
            if named is None:
                raise ConversionError(
                    f"{self.conversion.path}: {place}: comments of which topic? "
                    "Put its id into the file's name"
                )
            self.on_comment(comment, named, None, place)
        for member in data.get("members") or []:
            self.on_member(member)
        for group in [*(data.get("groups") or []), *([data["group"]] if "group" in data else [])]:
            self.conversion.read("groups")
            self.groups.setdefault(str(group["group_id"]), {}).update(group)
        if not known and not data.keys() & {"topics", "comments", "members", "groups", "group"}:
            raise ConversionError(f"{self.conversion.path}: {place}: nothing known in it")

    def person(self, owner: Json | None, at: str) -> str:
        """The account of an acting person, remembered with when it acted."""
        if not owner:
            return ANONYMOUS
        account_id = str(owner["user_id"])
        account = self.accounts.setdefault(account_id, _Account())
        account.record.update(owner)
        account.first = min(account.first or at, at)
        account.last = max(account.last or at, at)
        return account_id

    def on_member(self, member: Json) -> None:
        self.conversion.read("members")
        account = self.accounts.setdefault(str(member["user_id"]), _Account())
        account.record.update(member)
        joined = member.get("join_time") or (member.get("user_specific") or {}).get("join_time")
        if joined:
            moment = utc(joined)
            account.joined = min(account.joined or moment, moment)

    def on_topic(self, topic: Json, place: str) -> None:
        conversion = self.conversion
        conversion.read("topics")
        topic_id = text_of(conversion, topic, "topic_id", place)
        created = utc(topic["create_time"])
        kind = topic.get("type")
        parts = [topic[name] for name in PARTS if isinstance(topic.get(name), dict)]
        part = parts[0] if parts else {}
        group = topic.get("group") or {}
        group_id = text_of(conversion, group, "group_id", place)
        self.groups.setdefault(group_id, {}).update(group)
        if kind not in KINDS:
            conversion.note(f"topic of unknown type {word(kind)} taken as a post")
        owner = part.get("owner") or topic.get("owner")
        if part.get("anonymous"):
            owner = None
        content = KINDS.get(str(kind), "post")
        if kind == "talk" and part.get("article"):
            content = "article"
        updated = utc(topic["modify_time"]) if topic.get("modify_time") else created
        record: Json = {
            "content_id": topic_id,
            "updated_at": max(created, updated),
            "author_account_id": self.person(owner, created),
            "node_id": f"group:{group_id}",
            "kind": content,
            "published_at": created,
            "is_paid": group.get("type") == "pay",
        }
        title = topic.get("title") or (part.get("article") or {}).get("title")
        if title and not conversion.options.no_text:
            record["title"] = title
        extra = remainder(conversion, topic, TOPIC_FIELDS, HARMLESS)
        record["zsxq"] = without_persons(extra)
        self.write_content(record)
        if topic.get("answer"):
            self.on_answer(topic["answer"], topic_id, record)
        for comment in topic.get("show_comments") or topic.get("comments") or []:
            self.on_comment(comment, topic_id, record["node_id"], place)
        self.on_likes(topic, topic_id)
        self.on_rewards(topic, topic_id)

    def on_answer(self, answer: Json, topic_id: str, question: Json) -> None:
        """The one answer of a question; its own time is seldom given."""
        self.conversion.read("answers")
        given = answer.get("create_time")
        if not given:
            self.conversion.note("answer without a time takes its question's")
        at = utc(given) if given else question["published_at"]
        extra: Json = {} if given else {"time_is_of_the_question": True}
        extra |= remainder(self.conversion, answer, {"owner", "create_time"}, ())
        self.write_content(
            {
                "content_id": f"answer-{topic_id}",
                "updated_at": max(at, question["updated_at"]),
                "author_account_id": self.person(answer.get("owner"), at),
                "node_id": question["node_id"],
                "kind": "answer",
                "published_at": at,
                "parent_content_id": topic_id,
                "is_paid": question["is_paid"],
                "zsxq": without_persons(extra),
            }
        )

    def on_comment(self, comment: Json, topic_id: str, node_id: str | None, place: str) -> None:
        self.conversion.read("comments")
        comment_id = f"comment-{text_of(self.conversion, comment, 'comment_id', place)}"
        at = utc(comment["create_time"])
        author = self.person(comment.get("owner"), at)
        parent = comment.get("parent_comment_id")
        extra = remainder(
            self.conversion,
            comment,
            {"comment_id", "create_time", "owner", "replied_comments"},
            HARMLESS_COMMENT,
        )
        self.write_content(
            {
                "content_id": comment_id,
                "updated_at": at,
                "author_account_id": author,
                # A list of comments does not say its topic's group.
                "node_id": node_id or PLATFORM,
                "kind": "comment",
                "published_at": at,
                "parent_content_id": f"comment-{parent}" if parent else topic_id,
                "zsxq": without_persons(extra),
            }
        )
        self.write_event(
            {
                "event_id": comment_id,
                "account_id": author,
                "event_type": "comment",
                "occurred_at": at,
                "content_id": topic_id,
                "properties": {"comment_id": comment_id},
            }
        )
        for reply in comment.get("replied_comments") or []:
            self.on_comment(
                {"parent_comment_id": comment["comment_id"]} | reply, topic_id, node_id, place
            )

    def on_likes(self, topic: Json, topic_id: str) -> None:
        named = topic.get("latest_likes") or []
        total = max(topic.get("likes_count") or 0, len(named))
        self.conversion.read("likes", total)
        if total > len(named):
            unnamed = total - len(named)
            self.conversion.leave_out("likes", "the API does not say whose", unnamed)
        for like in named:
            at = utc(like["create_time"])
            account_id = self.person(like["owner"], at)
            self.write_event(
                {
                    "event_id": f"like-{topic_id}-{account_id}",
                    "account_id": account_id,
                    "event_type": "like",
                    "occurred_at": at,
                    "content_id": topic_id,
                }
            )

    def on_rewards(self, topic: Json, topic_id: str) -> None:
        """Tips with an amount, when the user says what the amount counts."""
        named = topic.get("rewards") or []
        total = max(topic.get("rewards_count") or 0, len(named))
        self.conversion.read("rewards", total)
        if self.unit is None or not named:
            if total:
                self.conversion.leave_out("rewards", "no amount, or no reward_unit given", total)
            return
        if total > len(named):
            self.conversion.leave_out(
                "rewards", "no amount, or no reward_unit given", total - len(named)
            )
        for reward in named:
            at = utc(reward["create_time"])
            account_id = self.person(reward["owner"], at)
            amount = reward["amount"]
            if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
                raise TypeError("amount")
            self.conversion.stream("commerce/orders")(
                {
                    "order_id": f"reward-{topic_id}-{account_id}-{at}",
                    "kind": "tip",
                    "amount_minor": amount * self.unit,
                    "currency": "CNY",
                    "paid_at": at,
                    "account_id": account_id,
                    "content_id": topic_id,
                }
            )

    def finish_group(self, group_id: str, group: Json) -> None:
        extra = remainder(self.conversion, group, {"group_id", "name"}, HARMLESS_GROUP)
        record: Json = {
            "node_id": f"group:{group_id}",
            "updated_at": utc(group["update_time"]) if group.get("update_time") else EPOCH,
            "level": "circle",
            "parent_node_id": PLATFORM,
            "zsxq": without_persons(extra),
        }
        if group.get("name"):
            record["name"] = group["name"]
        self.write_node(record)

    def finish_account(self, account_id: str, account: _Account) -> None:
        known = [moment for moment in (account.joined, account.first, account.last) if moment]
        if not known:
            self.conversion.note("member without any time dated to the service's beginning")
            known = [EPOCH]
        if account.joined is None:
            self.conversion.note("account registered at its first act in the export, inferred")
        record: Json = {
            "account_id": account_id,
            "updated_at": max(known),
            "registered_at": min(known),
        }
        if account.record.get("name") and not self.conversion.options.no_names:
            record["display_name"] = account.record["name"]
        extra = remainder(self.conversion, account.record, {"user_id", "name"}, ())
        if account.joined is None:
            extra["registered_at_inferred"] = True
        if extra:
            record["zsxq"] = extra
        self.write_account(record)


def utc(text: Any) -> str:
    """A native time (`2020-01-01T10:00:00.123+0800`) in UTC; ValueError for any other."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def without_persons(value: Any) -> Any:
    """Reduce every person in a native value to the id: names belong to accounts alone."""
    if isinstance(value, list):
        return [without_persons(item) for item in value]
    if isinstance(value, dict):
        if "user_id" in value:
            return {"user_id": value["user_id"]}
        return {name: without_persons(item) for name, item in value.items()}
    return value
