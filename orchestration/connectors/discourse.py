"""Discourse: a backup (`dump.sql` in its tar.gz) or the JSON of its API → community logs.

docs/connectors/discourse.md has the mapping. Times in a backup have no zone and are UTC.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from orchestration.connectors.base import Connector, Conversion, ConversionError, why_broken, word
from orchestration.connectors.reading import (
    Counting,
    Json,
    bounded,
    export_files,
    read_json,
    remainder,
    shape,
    text_of,
    whole_lines,
)

SITE = "site"
ANONYMOUS = "anonymous"
# Discourse's first release: no later state can be older.
EPOCH = "2013-02-05T00:00:00.000000Z"
NUMBER_BITS = 24
REGULAR = {"1", "2"}
POST_TYPES = {"3": "a small action, by which the system speaks", "4": "a whisper among staff"}
LIKE, BOOKMARK = "2", "1"
SECRETS = {
    "auth_token",
    "email",
    "ip_address",
    "password_algorithm",
    "password_hash",
    "registration_ip_address",
    "salt",
}
NAMES = {
    "avatar_template",
    "display_username",
    "name",
    "reply_to_user",
    "user_title",
    "username",
    "username_lower",
}
POST_FIELDS = {"id", "user_id", "topic_id", "created_at", "cooked", "deleted_at"}
HARMLESS_POST = {
    "hidden",
    "like_count",
    "post_number",
    "post_type",
    "quote_count",
    "reads",
    "reply_count",
    "reply_to_post_number",
    "score",
    "updated_at",
    "version",
    "wiki",
}
HARMLESS_USER = {
    "active",
    "admin",
    "approved",
    "last_posted_at",
    "last_seen_at",
    "moderator",
    "registered_at_inferred",
    "silenced_till",
    "staged",
    "suspended_at",
    "suspended_till",
    "trust_level",
}
HARMLESS_CATEGORY = {"position", "post_count", "read_restricted", "slug", "topic_count"}
_COPY = re.compile(rb'COPY (?:public\.)?"?(\w+)"? \((.*)\) FROM stdin;\s*')
_ESCAPE = re.compile(r"\\([btnvfr\\])")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "\\": "\\"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00(?::?00)?)?")
_BROKEN = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)

Row = dict[str, Any]


class Discourse(Connector):
    """Reads a backup's dump in two passes, or topics, posts, categories and users of the API."""

    name = "discourse"
    title = "a Discourse backup or the JSON of its API"
    summary = "backup .tar.gz, dump.sql(.gz), or a folder of the API's JSON"

    def convert(self, conversion: Conversion) -> None:
        """Write accounts, nodes, contents and events; raises ConversionError."""
        forum = _Forum(conversion)
        forum.begin()
        path = conversion.path
        dumps = export_files(path, (".sql", ".sql.gz", ".tar", ".tar.gz", ".tgz"))
        if path.is_file() and path.name.lower().endswith((".json", ".jsonl", ".ndjson")):
            dumps = []
        if len(dumps) > 1:
            raise ConversionError(f"{path}: {len(dumps)} backups in it, not one")
        if dumps:
            _Backup(forum, dumps[0]).run()
        else:
            _Api(forum).run()


class _Topic(NamedTuple):
    title: str | None
    category_id: str | None
    updated_at: str
    deleted_at: str | None
    private: bool
    views: str | None


@dataclass
class _Forum:
    """What both ways of reading write."""

    conversion: Conversion
    topics: dict[int, _Topic] = field(default_factory=dict)
    tags: dict[int, list[str]] = field(default_factory=dict)
    place: Callable[[int, int], int | None] = lambda _topic, _number: None
    """Topic and post number → the post's id"""

    def begin(self) -> None:
        """Write the site and the stand-in for people who are gone."""
        conversion = self.conversion
        self.write_account = conversion.stream("community/accounts")
        self.write_node = conversion.stream("community/nodes")
        self.write_content = conversion.stream("community/contents")
        self.write_event = conversion.stream("community/events")
        self.write_account(
            {"account_id": ANONYMOUS, "updated_at": EPOCH, "registered_at": EPOCH, "is_bot": True}
        )
        self.write_node(
            {
                "node_id": SITE,
                "updated_at": EPOCH,
                "level": "platform",
                "name": conversion.source,
            }
        )

    def category(self, row: Row) -> None:
        """One category, below its parent."""
        parent = row.get("parent_category_id")
        updated = row.get("updated_at") or row.get("created_at")
        record: Json = {
            "node_id": f"category:{row['id']}",
            "updated_at": utc(updated) if updated else EPOCH,
            "level": "channel",
            "parent_node_id": f"category:{parent}" if parent else SITE,
        }
        if row.get("name"):
            record["name"] = row["name"]
        taken = {"id", "name", "parent_category_id", "subcategory_list", "topics", *NAMES}
        record["discourse"] = remainder(self.conversion, row, taken, HARMLESS_CATEGORY)
        self.write_node(record)

    def post(self, row: Row) -> str | None:
        """One post; the content's id, or None when no log holds it."""
        conversion = self.conversion
        topic_id, number = int(row["topic_id"]), int(row["post_number"])
        topic = self.topics.get(topic_id)
        kind = str(row.get("post_type") or "1")
        if topic is not None and topic.private:
            conversion.leave_out("posts", "a private message")
            return None
        if kind not in REGULAR:
            conversion.leave_out("posts", POST_TYPES.get(kind, "a type that is not known"))
            return None
        content_id = str(int(row["id"]))
        created = utc(row["created_at"])
        author = row.get("user_id")
        first = self.place(topic_id, 1)
        parent: int | None = None
        if number > 1:
            replied = row.get("reply_to_post_number")
            parent = (self.place(topic_id, int(replied)) if replied else None) or first
            if parent is None:
                conversion.note("reply whose topic's first post is not in the export")
        category = topic.category_id if topic else None
        gone = row.get("deleted_at") or (topic.deleted_at if topic else None)
        dates = [created, *(utc(row[name]) for name in ("updated_at",) if row.get(name))]
        dates += [topic.updated_at] if topic else []
        record: Json = {
            "content_id": content_id,
            "updated_at": max([*dates, *([utc(gone)] if gone else [])]),
            "author_account_id": str(author) if author is not None else ANONYMOUS,
            "node_id": f"category:{category}" if category else SITE,
            "kind": "post" if number == 1 else "comment",
            "published_at": created,
        }
        if parent is not None:
            record["parent_content_id"] = str(parent)
        if gone:
            record["deleted_at"] = utc(gone)
        tags = self.tags.get(topic_id)
        if tags:
            record["topic"] = tags[0]
        if number == 1 and topic and topic.title and not conversion.options.no_text:
            record["title"] = topic.title
        taken = POST_FIELDS | NAMES | SECRETS
        # `cooked` is rendered from `raw`, which only a backup always has.
        taken = taken if row.get("raw") else taken - {"cooked"}
        extra = remainder(conversion, row, taken, HARMLESS_POST) | {"topic_id": str(topic_id)}
        if number == 1:
            extra |= {"tags": tags} if tags else {}
            extra |= {"views": topic.views} if topic and topic.views is not None else {}
        record["discourse"] = extra
        self.write_content(record)
        if number > 1:
            event: Json = {
                "event_id": f"post-{content_id}",
                "account_id": record["author_account_id"],
                "event_type": "comment",
                "occurred_at": created,
                "properties": {"comment_id": content_id},
            }
            if first is not None:
                event["content_id"] = str(first)
            self.write_event(event)
        return content_id

    def account(self, row: Row, registered_at: str, updated_at: str, email: str | None) -> None:
        """One user; Discourse itself has ids below 1."""
        account_id = int(row["id"])
        record: Json = {
            "account_id": str(account_id),
            "updated_at": max(registered_at, updated_at),
            "registered_at": registered_at,
        }
        if not self.conversion.options.no_names:
            name = row.get("name") or row.get("username")
            record |= {"display_name": name} if name else {}
            record |= {"email": email} if email else {}
        if account_id < 1:
            record["is_bot"] = True
        elif row.get("admin") in (True, "t") or row.get("moderator") in (True, "t"):
            record["is_staff"] = True
        taken = {"id", "name", "created_at", *SECRETS}
        record["discourse"] = remainder(self.conversion, row, taken, HARMLESS_USER)
        self.write_account(record)


class _Backup:
    """Reads the dump twice: what posts need of other tables comes after them."""

    def __init__(self, forum: _Forum, path: Path) -> None:
        self.forum = forum
        self.conversion = forum.conversion
        self.path = path
        self.emails: dict[int, str] = {}
        self.tag_names: dict[str, str] = {}
        self.topic_tags: dict[int, list[str]] = {}
        self.places = array("Q")
        self.ids = array("Q")

    def run(self) -> None:
        self.conversion.total_bytes = 2 * self.path.stat().st_size
        first: dict[str, Callable[[Row], None]] = {
            "topics": self.on_topic,
            "posts": self.on_place,
            "tags": self.on_tag,
            "topic_tags": self.on_topic_tag,
        }
        if not self.conversion.options.no_names:
            first["user_emails"] = self.on_email
        tables = self.read(first, count=False)
        if "posts" not in tables or "topics" not in tables:
            raise ConversionError(f"{self.path}: no COPY of posts and topics in it")
        self.sort_places()
        for topic_id, tag_ids in self.topic_tags.items():
            names = [self.tag_names[tag] for tag in sorted(tag_ids) if tag in self.tag_names]
            self.forum.tags[topic_id] = names
        self.read(
            {
                "categories": self.forum.category,
                "users": self.on_user,
                "posts": self.forum.post,
                "post_actions": self.on_action,
                "bookmarks": self.on_bookmark,
                "topic_views": self.on_view,
            },
            count=True,
        )

    def read(self, handlers: dict[str, Callable[[Row], Any]], *, count: bool) -> set[str]:
        """Call the tables' handlers row by row; the tables that the dump has."""
        conversion = self.conversion
        tables: set[str] = set()
        table, columns = "", []
        handle: Callable[[Row], Any] | None = None
        rows = 0
        used = {*handlers, "topics", "tags", "topic_tags", "user_emails"}
        with self.opened() as stream:
            for number, line in enumerate(stream, start=1):
                if not table:
                    if line.startswith(b"COPY ") and (match := _COPY.fullmatch(line)):
                        table = match[1].decode("ascii", "replace")
                        names = match[2].decode("utf-8", "replace").split(",")
                        columns = [name.strip(' "') for name in names]
                        handle = handlers.get(table)
                        tables.add(table)
                        rows = 0
                    continue
                if line.rstrip(b"\r\n") == b"\\.":
                    if count and rows:
                        conversion.read(word(table), rows)
                        if table not in used:
                            conversion.leave_out(word(table), "no log holds this table", rows)
                    table = ""
                    continue
                rows += 1
                if handle is not None:
                    with shape(conversion, f"dump line {number}: {table}", "Discourse"):
                        handle(dict(zip(columns, _cells(line), strict=True)))
        if table:
            raise ConversionError(f"{self.path}: the dump ends inside the table {word(table)}")
        return tables

    @contextmanager
    def opened(self) -> Iterator[Iterator[bytes]]:
        """The dump's lines, out of its tar and gzip."""
        name = self.path.name.lower()
        try:
            with self.path.open("rb") as raw:
                counted: Any = Counting(raw, self.conversion, self.path.name)
                if name.endswith((".gz", ".tgz")):
                    counted = bounded(gzip.GzipFile(fileobj=counted), self.path)
                if name.endswith((".tar", ".tar.gz", ".tgz")):
                    with tarfile.open(fileobj=counted, mode="r|") as archive:
                        yield whole_lines(self.member(archive), self.path)
                elif name.endswith(".gz"):
                    yield whole_lines(counted, self.path)
                else:
                    yield iter(counted)
        except _BROKEN as error:
            raise ConversionError(f"{self.path}: {why_broken(error)}") from error

    def member(self, archive: tarfile.TarFile) -> IO[bytes]:
        for info in archive:
            if info.isfile() and info.name.rpartition("/")[2] in ("dump.sql", "dump.sql.gz"):
                found = archive.extractfile(info)
                assert found is not None
                if info.name.endswith(".gz"):
                    return bounded(gzip.GzipFile(fileobj=found), self.path)
                return found
        raise ConversionError(f"{self.path}: no dump.sql in it")

    def on_topic(self, row: Row) -> None:
        number = int(row["id"])
        if not 0 <= number < 1 << (64 - NUMBER_BITS):
            raise ValueError("id")
        self.forum.topics[number] = _Topic(
            title=row["title"],
            category_id=row["category_id"],
            updated_at=utc(row["updated_at"]),
            deleted_at=row["deleted_at"],
            private=row["archetype"] == "private_message",
            views=row.get("views"),
        )

    def on_place(self, row: Row) -> None:
        number = int(row["post_number"])
        if not 0 < number < 1 << NUMBER_BITS:
            raise ValueError("post_number")
        self.places.append((int(row["topic_id"]) << NUMBER_BITS) | number)
        self.ids.append(int(row["id"]))

    def sort_places(self) -> None:
        """Keep the public posts' places, sorted: 16 bytes a post."""
        places = np.frombuffer(self.places, dtype=np.uint64) if self.places else np.empty(0, "u8")
        ids = np.frombuffer(self.ids, dtype=np.uint64) if self.ids else np.empty(0, "u8")
        private = np.array(
            [key for key, topic in self.forum.topics.items() if topic.private], dtype=np.uint64
        )
        kept = ~np.isin(places >> np.uint64(NUMBER_BITS), private)
        places, ids = places[kept], ids[kept]
        order = np.argsort(places, kind="stable")
        keys, values = array("Q", places[order].tobytes()), array("Q", ids[order].tobytes())
        self.public = array("Q", np.sort(ids).tobytes())

        def place(topic_id: int, number: int) -> int | None:
            key = (topic_id << NUMBER_BITS) | number
            at = bisect_left(keys, key)
            return values[at] if at < len(keys) and keys[at] == key else None

        self.forum.place = place

    def on_tag(self, row: Row) -> None:
        self.tag_names[row["id"]] = row["name"]

    def on_topic_tag(self, row: Row) -> None:
        self.topic_tags.setdefault(int(row["topic_id"]), []).append(row["tag_id"])

    def on_email(self, row: Row) -> None:
        if row["primary"] == "t":
            self.emails[int(row["user_id"])] = row["email"]

    def on_user(self, row: Row) -> None:
        email = self.emails.get(int(row["id"])) or row.get("email")
        updated = utc(row.get("updated_at") or row["created_at"])
        self.forum.account(row, utc(row["created_at"]), updated, email)

    def is_public(self, post_id: int) -> bool:
        at = bisect_left(self.public, post_id)
        return at < len(self.public) and self.public[at] == post_id

    def on_action(self, row: Row) -> None:
        """A like or an old bookmark; taking a like back is an event of its own."""
        kind, post_id = row["post_action_type_id"], int(row["post_id"])
        if kind not in (LIKE, BOOKMARK):
            self.conversion.leave_out("post_actions", "a flag for the moderators")
            return
        if not self.is_public(post_id):
            self.conversion.leave_out("post_actions", "on a private message or a deleted post")
            return
        event: Json = {
            "event_id": f"action-{row['id']}",
            "account_id": row["user_id"] or ANONYMOUS,
            "event_type": "like" if kind == LIKE else "collect",
            "occurred_at": utc(row["created_at"]),
            "content_id": str(post_id),
        }
        self.forum.write_event(event)
        if row.get("deleted_at") and kind == LIKE:
            self.forum.write_event(
                event
                | {
                    "event_id": f"action-{row['id']}-undone",
                    "event_type": "unlike",
                    "occurred_at": utc(row["deleted_at"]),
                }
            )

    def on_bookmark(self, row: Row) -> None:
        kind = row.get("bookmarkable_type") or "Post"
        target = int(row.get("bookmarkable_id") or row["post_id"])
        post = target if kind == "Post" else self.forum.place(target, 1)
        if kind not in ("Post", "Topic") or post is None or not self.is_public(post):
            self.conversion.leave_out("bookmarks", "of something else than a public post")
            return
        self.forum.write_event(
            {
                "event_id": f"bookmark-{row['id']}",
                "account_id": row["user_id"],
                "event_type": "collect",
                "occurred_at": utc(row["created_at"]),
                "content_id": str(post),
            }
        )

    def on_view(self, row: Row) -> None:
        """A topic's view: Discourse keeps one a person and day."""
        first = self.forum.place(int(row["topic_id"]), 1)
        if row["user_id"] is None or first is None:
            reason = "by nobody known" if row["user_id"] is None else "of no public topic"
            self.conversion.leave_out("topic_views", reason)
            return
        day = utc(f"{row['viewed_at'][:10]} 00:00:00")
        self.forum.write_event(
            {
                "event_id": f"view-{row['topic_id']}-{row['user_id']}-{day[:10]}",
                "account_id": row["user_id"],
                "event_type": "read",
                "occurred_at": day,
                "content_id": str(first),
                "properties": {"time_precision": "day"},
            }
        )


class _Api:
    """Reads the API's answers twice: a topic's pages may come in any order."""

    def __init__(self, forum: _Forum) -> None:
        self.forum = forum
        self.conversion = forum.conversion
        self.places: dict[tuple[int, int], int] = {}
        self.users: dict[int, Json] = {}
        self.dates: dict[int, tuple[str, str]] = {}
        self.seen: set[int] = set()

    def run(self) -> None:
        files = export_files(self.conversion.path, (".json", ".jsonl", ".ndjson"))
        self.conversion.total_bytes = 2 * sum(path.stat().st_size for path in files)
        if not files:
            raise ConversionError(f"{self.conversion.path}: neither a backup nor JSON in it")
        for handle in (self.learn, self.on_value):
            for path in files:
                for place, value in read_json(self.conversion, path):
                    if not isinstance(value, dict):
                        raise ConversionError(f"{self.conversion.path}: {place}: no object")
                    with shape(self.conversion, place, "Discourse"):
                        handle(value, place)
            self.forum.place = lambda topic_id, number: self.places.get((topic_id, number))
        with shape(self.conversion, "users", "Discourse"):
            self.finish_users()

    def posts(self, value: Json) -> list[Json]:
        if "post_stream" in value:
            posts: list[Json] = value["post_stream"]["posts"]
            return posts
        if "latest_posts" in value:
            return list(value["latest_posts"])
        return [value] if "post_number" in value else []

    def learn(self, value: Json, place: str) -> None:
        """First pass: topics and the places of posts."""
        lists = [value] if "post_stream" in value and "title" in value else []
        for topic in [*lists, *(value.get("topic_list") or {}).get("topics", [])]:
            self.forum.topics[int(text_of(self.conversion, topic, "id", place))] = _Topic(
                title=topic.get("title"),
                category_id=str(topic["category_id"]) if topic.get("category_id") else None,
                updated_at=utc(topic.get("created_at") or EPOCH),
                deleted_at=topic.get("deleted_at"),
                private=topic.get("archetype") == "private_message",
                views=str(topic["views"]) if "views" in topic else None,
            )
            tags = [
                tag["name"] if isinstance(tag, dict) else tag for tag in topic.get("tags") or []
            ]
            self.forum.tags[int(topic["id"])] = tags
        for post in self.posts(value):
            topic_id = int(text_of(self.conversion, post, "topic_id", place))
            number = int(text_of(self.conversion, post, "post_number", place))
            self.places[topic_id, number] = int(text_of(self.conversion, post, "id", place))
            if topic_id not in self.forum.topics and post.get("topic_title"):
                self.forum.topics[topic_id] = _Topic(
                    post["topic_title"],
                    str(post["category_id"]) if post.get("category_id") else None,
                    EPOCH,
                    None,
                    post.get("topic_archetype") == "private_message",
                    None,
                )

    def on_value(self, value: Json, place: str) -> None:
        found = False
        for post in self.posts(value):
            found = True
            self.on_post(post)
        lists = value.get("category_list") or value
        for category in lists.get("categories") or []:
            found = True
            self.conversion.read("categories")
            self.forum.category(category)
            for inner in category.get("subcategory_list") or []:
                self.conversion.read("categories")
                self.forum.category({"parent_category_id": category["id"]} | inner)
        people = [*value.get("users", []), *([value["user"]] if "user" in value else [])]
        if "username" in value and "post_number" not in value and "id" in value:
            people.append(value)
        for user in people:
            found = True
            self.conversion.read("users")
            self.users.setdefault(int(user["id"]), {}).update(user)
        if not found and "topic_list" not in value and "post_stream" not in value:
            raise ConversionError(f"{self.conversion.path}: {place}: nothing known in it")

    def on_post(self, post: Json) -> None:
        self.conversion.read("posts")
        post_id = int(post["id"])
        if post_id in self.seen:
            self.conversion.leave_out("posts", "the same post again, on another page")
            return
        self.seen.add(post_id)
        if self.forum.post(post) is None:
            return
        user_id = post.get("user_id")
        if user_id is not None:
            created = utc(post["created_at"])
            first, last = self.dates.get(user_id, (created, created))
            self.dates[user_id] = (min(first, created), max(last, created))
            known = ("username", "name", "admin", "moderator", "trust_level")
            self.users.setdefault(user_id, {"id": user_id}).update(
                {name: post[name] for name in known if post.get(name) is not None}
            )
        for action in post.get("actions_summary") or []:
            if action.get("id") == int(LIKE) and action.get("count"):
                self.conversion.read("likes", action["count"])
                self.conversion.leave_out("likes", "the API does not say whose", action["count"])

    def finish_users(self) -> None:
        for user_id, user in sorted(self.users.items()):
            first, last = self.dates.get(user_id, (None, None))
            created = user.get("created_at")
            if not created:
                self.conversion.note("account registered at its first post in the export, inferred")
                user["registered_at_inferred"] = True
            registered = utc(created) if created else first or EPOCH
            seen = user.get("last_seen_at") or user.get("last_posted_at")
            updated = max(registered, last or registered, utc(seen) if seen else registered)
            self.forum.account(user, registered, updated, user.get("email"))


def _cells(line: bytes) -> list[str | None]:
    cells = line.rstrip(b"\r\n").decode().split("\t")
    if b"\\" not in line:
        return list(cells)
    return [
        None
        if cell == "\\N"
        else _ESCAPE.sub(lambda match: _ESCAPED[match[1]], cell)
        if "\\" in cell
        else cell
        for cell in cells
    ]


def utc(text: Any) -> str:
    """A native time in UTC as ISO text of one length, so that texts sort as their times do."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("no time")
    return f"{match[1]}T{match[2]}.{(match[3] or '').ljust(6, '0')}Z"
