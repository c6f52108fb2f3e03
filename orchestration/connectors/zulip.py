"""Zulip export (the unpacked folder, or its archive) → group logs.

docs/connectors/zulip.md has the mapping.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import orjson

from orchestration.connectors.base import (
    BROKEN_ZIP,
    SHAPE,
    Connector,
    Conversion,
    ConversionError,
    why_broken,
    word,
)
from orchestration.connectors.chats import ONLY_LINK, kind_of_file, utc_time
from orchestration.connectors.json_cursor import JsonCursor
from orchestration.connectors.reading import bounded

Json = dict[str, Any]

PERSONAL, STREAM, HUDDLE = 1, 2, 3
MENTIONED = 8
SUBSCRIBED, UNSUBSCRIBED = {301, 302}, {303}
CLOSED, REOPENED, RENAMED = {602}, {604}, {603}
STAFF = {100, 200, 300}
"""Roles of owners, administrators and moderators."""
USER_TABLES = (
    "zerver_userprofile",
    "zerver_userprofile_mirrordummy",
    "zerver_userprofile_crossrealm",
)
TAKEN = {
    *USER_TABLES,
    "zerver_stream",
    "zerver_recipient",
    "zerver_subscription",
    "zerver_reaction",
}
# Sent by Zulip in the name of a user or a bot: a topic was resolved or moved, a channel changed.
NOTIFIER = "notification-bot"
MESSAGE_FIELDS = {"id", "sender", "recipient", "content", "date_sent", "subject", "realm"}
MESSAGE_NOISE = {"rendered_content", "rendered_content_version", "search_tsvector"}
HARMLESS_MESSAGE = {"has_attachment", "has_image", "has_link", "last_edit_time", "type"}
USER_SECRETS = {"password", "api_key", "uuid", "tos_version"}
HARMLESS_USER = {"bot_type", "is_active", "role", "timezone"}
_FILE = re.compile(r"\[[^\]]*\]\(/user_uploads/[^)\s]*?([^/)\s]+)\)")
_ONLY_FILE = re.compile(r"\s*!?\[[^\]]*\]\(/user_uploads/[^)\s]+\)\s*")
_MENTION = re.compile(r"@(_?)\*\*([^*|]+)(?:\|(\d+))?\*\*")
_MESSAGES = re.compile(r"messages-\d+\.json")


class Zulip(Connector):
    """Reads an organisation's users, streams, subscriptions, messages and reactions."""

    name = "zulip"
    title = "a Zulip export"
    summary = "folder or .tar.gz of an organisation's export: realm.json, messages-000001.json, …"

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        path = conversion.path
        if path.is_dir() or path.name == "realm.json":
            _Realm(conversion, path if path.is_dir() else path.parent).run()
            return
        with tempfile.TemporaryDirectory() as folder:
            _unpack(path, Path(folder))
            _Realm(conversion, Path(folder)).run()


def _unpack(path: Path, folder: Path) -> None:
    """Take the archive's JSON tables out of it; uploads stay where they are."""
    try:
        with (
            _decompressed(path) as stream,
            tarfile.open(fileobj=bounded(stream, path), mode="r|") as archive,
        ):
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and (name == "realm.json" or _MESSAGES.fullmatch(name)):
                    source = archive.extractfile(member)
                    target = folder / name
                    with target.open("wb") as file:
                        while source is not None and (block := source.read(1024 * 1024)):
                            file.write(block)
    except (tarfile.TarError, *BROKEN_ZIP) as error:
        raise ConversionError(f"{path}: {why_broken(error)}") from error
    except OSError as error:
        # gzip and bz2 say so of what is no such stream.
        if error.errno is not None:
            raise
        raise ConversionError(f"{path}: {why_broken(error)}") from error


def _decompressed(path: Path) -> IO[bytes]:
    """The archive's tar, by how it begins."""
    with path.open("rb") as file:
        head = file.read(6)
    for magic, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if head.startswith(magic):
            return cast("IO[bytes]", opened(path, "rb"))
    return path.open("rb")


@dataclass
class _Group:
    """A recipient: a stream, or those of a direct conversation."""

    id: str
    record: Json
    direct: bool
    first_at: float | None = None
    last_at: float = 0
    listed: dict[str, bool] = field(default_factory=dict)
    """Member → whether the subscription is active."""
    changes: list[tuple[float, str, str, str]] = field(default_factory=list)
    """(time, `join` or `leave`, member, the audit record's id)"""
    life: list[tuple[float, str, str | None]] = field(default_factory=list)


class _Realm:
    def __init__(self, conversion: Conversion, folder: Path) -> None:
        self.conversion = conversion
        self.folder = folder
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.guarded = self.no_text or self.no_names
        self.latest = 0.0
        self.users: dict[str, Json] = {}
        self.by_name: dict[str, list[str]] = {}
        self.groups: dict[int, _Group] = {}
        self.pairs: dict[str, _Group] = {}
        self.reactions: dict[int, list[tuple[str, str]]] = {}
        self.where = ""
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        place = "realm.json"
        path = self.folder / place
        if not path.is_file():
            raise ConversionError(f"{self.conversion.path}: no realm.json in it")
        files = sorted(
            (found for found in self.folder.iterdir() if _MESSAGES.fullmatch(found.name)),
            key=lambda found: found.name,
        )
        self.conversion.total_bytes = sum(found.stat().st_size for found in [path, *files])
        try:
            self.read_realm(path)
            for file in files:
                place = file.name
                self.read_messages(file)
            place = "realm.json"
            left = sum(len(found) for found in self.reactions.values())
            if left:
                self.conversion.leave_out("reactions", "their message is not in the export", left)
            for group in [*self.groups.values(), *self.pairs.values()]:
                self.finish_group(group)
            self.write_members()
        except SHAPE as error:
            raise ConversionError(
                f"{self.conversion.path}: {place}: not as Zulip writes it "
                f"({type(error).__name__}{self.where})"
            ) from error

    def tables(self, path: Path) -> Iterator[tuple[str, Iterator[Any]]]:
        """The tables of a file, each with its rows; a table is passed over unless it is read."""
        with path.open("rb") as file:
            cursor = JsonCursor(
                file,
                f"{self.conversion.path}: {path.name}",
                lambda size: self.conversion.advance(size, path.name),
            )
            for table in cursor.object():
                if cursor.peek() != b"[":
                    cursor.skip()
                    continue
                rows = cursor.items()
                yield table, rows
                left = sum(1 for _ in rows)
                if left:
                    self.conversion.read(word(table), left)
                    self.conversion.leave_out(word(table), "no log holds them", left)
            cursor.end()

    def read_realm(self, path: Path) -> None:
        """Read the organisation; of long tables only what is needed stays in memory."""
        streams: dict[int, Json] = {}
        recipients: dict[int, tuple[int, int]] = {}
        subscriptions: list[tuple[int, str, bool]] = []
        audit: list[tuple[int, int, float, str, str | None, Any]] = []
        found = set()
        for table, rows in self.tables(path):
            found.add(table)
            if table in USER_TABLES:
                for user in rows:
                    self.conversion.read("users")
                    known = self.users.setdefault(_id(user), user)
                    if table.endswith("crossrealm"):
                        known["is_bot"] = True
            elif table == "zerver_stream":
                streams = {int(row["id"]): row for row in rows}
                self.conversion.read("streams", len(streams))
            elif table == "zerver_recipient":
                recipients = {
                    int(row["id"]): (int(row["type"]), int(row["type_id"])) for row in rows
                }
            elif table == "zerver_subscription":
                subscriptions = [
                    (
                        int(row["recipient"]),
                        _number(row["user_profile"]),
                        row.get("active") is not False,
                    )
                    for row in rows
                ]
                self.conversion.read("subscriptions", len(subscriptions))
            elif table == "zerver_reaction":
                for row in rows:
                    self.conversion.read("reactions")
                    reaction = (_number(row["user_profile"]), sys.intern(str(row["emoji_name"])))
                    self.reactions.setdefault(int(row["message"]), []).append(reaction)
            elif table == "zerver_realmauditlog":
                for row in rows:
                    self.take_audit(row, audit)
        missing = {"zerver_stream", "zerver_recipient"} - found
        if missing:
            raise ConversionError(f"{self.conversion.path}: realm.json: no {min(missing)}")
        for member, user in self.users.items():
            self.by_name.setdefault(str(user.get("full_name")), []).append(member)
        self.make_groups(streams, recipients, subscriptions)
        by_stream = {
            int(group.record["id"]): group for group in self.groups.values() if group.record
        }
        for record in sorted(audit, key=lambda record: record[0]):
            self.on_audit(by_stream, *record)

    def make_groups(
        self,
        streams: dict[int, Json],
        recipients: dict[int, tuple[int, int]],
        subscriptions: list[tuple[int, str, bool]],
    ) -> None:
        for key, (kind, target) in recipients.items():
            if kind == STREAM:
                self.groups[key] = _Group(f"stream:{target}", streams[target], direct=False)
            else:
                name = "direct" if kind == PERSONAL else "huddle"
                self.groups[key] = _Group(f"{name}:{target}", {}, direct=True)
        for recipient, member, active in subscriptions:
            group = self.groups.get(recipient)
            if group is None:
                self.conversion.leave_out("subscriptions", "of no recipient in the export")
            else:
                group.listed[member] = active

    def take_audit(
        self, row: Json, audit: list[tuple[int, int, float, str, str | None, Any]]
    ) -> None:
        self.conversion.read("audit records")
        event = int(row["event_type"])
        stream, member = row.get("modified_stream"), row.get("modified_user")
        of_member = event in SUBSCRIBED | UNSUBSCRIBED and member is not None
        if stream is None or not (of_member or event in CLOSED | REOPENED | RENAMED):
            self.conversion.leave_out("audit records", "not about a stream's members or life")
            return
        who = _number(member) if member is not None else None
        extra = row.get("extra_data") if event in RENAMED else None
        at = float(row["event_time"])
        audit.append((int(row["id"]), event, at, _number(stream), who, extra))

    def on_audit(
        self,
        by_stream: dict[int, _Group],
        number: int,
        event: int,
        at: float,
        stream: str,
        member: str | None,
        extra: Any,
    ) -> None:
        """Take note of what the audit log says about subscriptions and streams."""
        group = by_stream.get(int(stream))
        if group is None:
            self.conversion.leave_out("audit records", "of no stream in the export")
        elif event in RENAMED:
            extra = orjson.loads(extra) if isinstance(extra, str) else extra or {}
            group.life.append((at, "name", extra.get("1")))
        elif event in CLOSED | REOPENED:
            group.life.append((at, "close" if event in CLOSED else "open", None))
        elif member is not None:
            action = "join" if event in SUBSCRIBED else "leave"
            group.changes.append((at, action, member, str(number)))

    def read_messages(self, path: Path) -> None:
        mentioned: dict[int, list[str]] = {}
        messages: list[Json] | None = None
        for table, rows in self.tables(path):
            if table == "zerver_message":
                messages = list(rows)
            elif table == "zerver_usermessage":
                read = 0
                for row in rows:
                    read += 1
                    if int(row["flags_mask"]) & MENTIONED:
                        member = _number(row["user_profile"])
                        mentioned.setdefault(int(row["message"]), []).append(member)
                self.conversion.read("user messages", read)
                self.conversion.leave_out("user messages", "who read what has no time", read)
        if messages is None:
            raise ConversionError(f"{self.conversion.path}: {path.name}: no zerver_message")
        for number, message in enumerate(messages, start=1):
            self.where = f", message {number}"
            self.on_message(message, mentioned)
        self.where = ""
        self.conversion.read("messages", len(messages))

    def on_message(self, message: Json, mentioned: dict[int, list[str]]) -> None:
        number = int(message["id"])
        sender = str(int(message["sender"]))
        group = self.groups[int(message["recipient"])]
        at = float(message["date_sent"])
        self.latest = max(self.latest, at)
        if group.id.startswith("direct:"):
            group = self.direct(group, sender)
        group.first_at = at if group.first_at is None else min(group.first_at, at)
        group.last_at = max(group.last_at, at)
        text = message["content"]
        if not isinstance(text, str):
            raise TypeError("content")
        message_id = str(number)
        system = self.is_notifier(sender) or int(message.get("type") or 1) != 1
        record: Json = {
            "message_id": message_id,
            "group_id": group.id,
            "member_id": sender,
            "occurred_at": zulip_time(at),
            "kind": "system" if system else _kind(text),
            "text_length": len(text),
        }
        subject = message.get("subject")
        if subject and not group.direct and not self.no_text:
            record["topic"] = str(subject)
        mentions = mentioned.get(number) or self.named(text)
        if mentions:
            record["mentions"] = list(dict.fromkeys(mentions))
        if not self.no_text and not (system and self.no_names):
            record["text"] = _MENTION.sub(self.nameless, text) if self.no_names else text
        extra = {
            name: value
            for name, value in message.items()
            if name not in MESSAGE_FIELDS | MESSAGE_NOISE
            and value not in (None, "", [], {}, False)
            and (not self.guarded or name in HARMLESS_MESSAGE)
        }
        if extra:
            record["zulip"] = extra
        self.write_message(record)
        for reaction in self.reactions.pop(number, ()):
            self.on_reaction(record, *reaction)

    def direct(self, group: _Group, sender: str) -> _Group:
        """The conversation of two: a personal recipient is only the one who got it."""
        receiver = group.id.partition(":")[2]
        pair = ":".join(sorted({sender, receiver}, key=int))
        found = self.pairs.get(pair)
        if found is None:
            found = self.pairs[pair] = _Group(f"direct:{pair}", {}, direct=True)
        return found

    def on_reaction(self, record: Json, member: str, emoji: str) -> None:
        self.write_message(
            {
                "message_id": f"{record['message_id']}:{emoji}:{member}",
                "group_id": record["group_id"],
                "member_id": member,
                "occurred_at": record["occurred_at"],
                "kind": "reaction",
                "reply_to_message_id": record["message_id"],
                "zulip": {"reaction": emoji, "time_is_of_the_message": True},
            }
        )
        self.conversion.note("reaction at its message's time, as Zulip gives none")

    def is_notifier(self, member: str) -> bool:
        email = str(self.users.get(member, {}).get("email") or "")
        return email.startswith(NOTIFIER)

    def named(self, text: str) -> list[str]:
        """Those whom the text mentions aloud, where the export does not say it."""
        found = []
        for silent, name, number in _MENTION.findall(text):
            members = [number] if number else self.by_name.get(name, [])
            if not silent and len(members) == 1:
                found.append(members[0])
        return found

    def nameless(self, found: re.Match[str]) -> str:
        members = [found[3]] if found[3] else self.by_name.get(found[2], [])
        return f"@{found[1]}**{members[0] if len(members) == 1 else '?'}**"

    def finish_group(self, group: _Group) -> None:
        if group.direct:
            if group.first_at is not None:
                self.write_direct(group, group.first_at)
            return
        record = group.record
        created = record.get("date_created")
        first = float(created) if created is not None else group.first_at
        if first is None:
            self.conversion.leave_out("streams", "neither a creation time nor a message")
            return
        self.latest = max(self.latest, first)
        self.write_changes(group, first)
        self.write_stream(group, first)

    def write_direct(self, group: _Group, first: float) -> None:
        self.write_group(
            {
                "group_id": group.id,
                "updated_at": zulip_time(group.last_at),
                "created_at": zulip_time(first),
                "kind": "other",
                "observes": ["reaction"],
            }
        )

    def write_changes(self, group: _Group, first: float) -> None:
        """The audit log's joins and leaves, and those without which the list would not come out."""
        group.changes.sort()
        state: dict[str, str] = {}
        for at, action, member, number in group.changes:
            state[member] = action
            self.add_change(group, at, action, member, f"audit:{number}", None)
        for member, active in sorted(group.listed.items()):
            known = state.get(member)
            if active and known != "join":
                at = max(self.latest, first)
                if known is None:
                    at = max(first, float(self.users.get(member, {}).get("date_joined") or 0))
                key = f"{group.id}:listed:{member}:{int(at)}"
                self.add_change(group, at, "join", member, key, "listed")
                self.conversion.note("join inferred from a stream's subscriptions")
            elif not active and known == "join":
                at = max(self.latest, group.changes[-1][0])
                key = f"{group.id}:not_listed:{member}:{int(at)}"
                self.add_change(group, at, "leave", member, key, "not_listed")
                self.conversion.note("leave inferred from a stream's subscriptions")

    def add_change(
        self, group: _Group, at: float, action: str, member: str, key: str, reason: str | None
    ) -> None:
        change: Json = {
            "event_id": key,
            "group_id": group.id,
            "member_id": member,
            "action": action,
            "occurred_at": zulip_time(at),
        }
        if reason is not None:
            change["zulip"] = {"inferred_from": reason}
        self.write_membership(change)

    def write_stream(self, group: _Group, first: float) -> None:
        """A state for the creation and for each renaming, closing and reopening."""
        record = group.record
        base: Json = {
            "group_id": group.id,
            "created_at": zulip_time(first),
            "kind": "other",
            "observes": ["leave", "reaction"] if group.changes else ["reaction"],
        }
        creator = record.get("creator")
        if creator is not None:
            base["owner_member_id"] = str(int(creator))
        group.life.sort(key=lambda step: step[0])
        names = [name for _, what, name in group.life if what == "name"]
        final = str(record["name"])
        name = (names.pop(0) if names else final) or final
        closed: float | None = None
        states = [(first, name, closed)]
        for at, what, _ in group.life:
            if what == "name":
                name = (names.pop(0) if names else final) or final
            else:
                closed = at if what == "close" else None
            states.append((at, name, closed))
        if bool(record.get("deactivated")) != (closed is not None):
            closed = max(group.last_at, first) if record.get("deactivated") else None
            states.append((max(self.latest, states[-1][0]), final, closed))
            self.conversion.note("stream closed at its last message, inferred")
        for number, (at, state_name, closed_at) in enumerate(states, start=1):
            state = base | {"updated_at": zulip_time(at), "name": state_name}
            if closed_at is not None:
                state["closed_at"] = zulip_time(closed_at)
            if number == len(states) and not self.guarded:
                taken = {"id", "name", "date_created", "creator", "deactivated", "realm"}
                state["zulip"] = {
                    key: value
                    for key, value in record.items()
                    if key not in taken and value not in (None, "", [], {}, False)
                }
            self.write_group(state)

    def write_members(self) -> None:
        for member, user in self.users.items():
            joined = float(user.get("date_joined") or 0)
            updated = max(float(user.get("last_login") or 0), joined, self.latest)
            if not updated:
                self.conversion.leave_out("users", "no moment is known")
                continue
            record: Json = {"member_id": member, "updated_at": zulip_time(updated)}
            if user.get("full_name") and not self.no_names:
                record["display_name"] = str(user["full_name"])
            if user.get("is_bot"):
                record["is_bot"] = True
            elif user.get("role") in STAFF:
                record["is_staff"] = True
            kept = {
                key: value
                for key, value in user.items()
                if key not in USER_SECRETS | {"id", "full_name", "is_bot", "realm"}
                and value not in (None, "", [], {}, False)
                and (key in HARMLESS_USER or not self.guarded)
            }
            if kept:
                record["zulip"] = kept
            self.write_member(record)


def zulip_time(seconds: float) -> str:
    """ISO time in UTC of Zulip's float seconds, to the microsecond."""
    return utc_time(datetime.fromtimestamp(round(seconds, 6), UTC))


def _id(row: Json) -> str:
    return _number(row["id"])


def _number(value: Any) -> str:
    return str(int(value))


def _kind(text: str) -> str:
    files = _FILE.findall(text)
    if files and _ONLY_FILE.fullmatch(text):
        return kind_of_file(files[0])
    return "link" if ONLY_LINK.fullmatch(text) else "text"
