"""Slack workspace export (a folder or its zip) → group logs.

docs/connectors/slack.md has the mapping. A message's `ts` is its time and, with its channel,
its id.
"""

from __future__ import annotations

import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from orchestration.connectors.base import (
    BROKEN_ZIP,
    FREE_EXPANSION,
    SHAPE,
    Connector,
    Conversion,
    ConversionError,
    require_sane,
    why_broken,
    word,
)

Json = dict[str, Any]

LISTS = {"channels": "public", "groups": "private", "mpims": "multi_person_dm", "dms": "dm"}
USER_LISTS = ("users", "org_users")
SLACKBOT = "USLACKBOT"
OBSERVES = ["leave", "reaction"]
JOINS = {"channel_join", "group_join"}
LEAVES = {"channel_leave", "group_leave"}
NAMED = {"channel_name", "group_name"}
ARCHIVED = {"channel_archive", "group_archive"}
UNARCHIVED = {"channel_unarchive", "group_unarchive"}
# What a person or bot says; every other subtype is the system speaking.
SPOKEN = {
    "",
    "bot_message",
    "file_comment",
    "file_mention",
    "file_share",
    "me_message",
    "reply_broadcast",
    "slackbot_response",
    "thread_broadcast",
}
KNOWN_SYSTEM = {
    "assistant_app_thread",
    "bot_add",
    "bot_disable",
    "bot_enable",
    "bot_remove",
    "channel_canvas_updated",
    "channel_convert_to_private",
    "channel_posting_permissions",
    "channel_purpose",
    "channel_topic",
    "ekm_access_denied",
    "group_purpose",
    "group_topic",
    "huddle_thread",
    "joiner_notification",
    "joiner_notification_for_inviter",
    "message_changed",
    "message_deleted",
    "pinned_item",
    "reminder_add",
    "reminder_delete",
    "sh_room_created",
    "sh_room_shared",
    "tombstone",
    "unpinned_item",
}
MEDIA = {"image": "image", "video": "video", "audio": "voice"}
MESSAGE_FIELDS = {"ts", "user", "text", "reactions", "type", "thread_ts"}
# All that is left of a message's or user's other fields under --no-text or --no-names: a list of
# what is harmless, since Slack adds fields that hold words and names now and then.
HARMLESS_MESSAGE = {
    "app_id",
    "bot_id",
    "client_msg_id",
    "edited",
    "hidden",
    "inviter",
    "is_locked",
    "latest_reply",
    "parent_user_id",
    "reply_count",
    "reply_users",
    "reply_users_count",
    "subtype",
    "subscribed",
    "team",
    "upload",
}
HARMLESS_USER = {
    "deleted",
    "is_admin",
    "is_app_user",
    "is_owner",
    "is_primary_owner",
    "is_restricted",
    "is_ultra_restricted",
    "team_id",
    "tz",
    "tz_offset",
    "updated",
}
HARMLESS_CHANNEL = {"is_archived", "is_general", "type"}
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_MENTION_NAME = re.compile(r"(<@[UW][A-Z0-9]+)\|[^>]*>")
_ONLY_LINK = re.compile(r"\s*<https?://[^>\s]+>\s*")
_TS = re.compile(r"(\d{10})(?:\.(\d{1,6}))?")
_TOKEN = re.compile(r"[?&]t=xox[a-z]-[\w-]+")


class Slack(Connector):
    """Reads users, channels of every kind, and their messages of every day."""

    name = "slack"
    title = "a Slack export"
    summary = "folder or zip of a workspace export: channels.json, users.json, a folder a channel"

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        with closing(_open(conversion.path)) as files:
            _Workspace(conversion, files).run()


class _Files(ABC):
    """The export's files by their path inside it, as `name → size`."""

    sizes: dict[str, int]

    @abstractmethod
    def read(self, name: str) -> bytes: ...

    @abstractmethod
    def close(self) -> None: ...

    def stem_names(self) -> dict[str, str]:
        """Stem of each JSON file at the top → its name."""
        return {
            name.removesuffix(".json"): name
            for name in self.sizes
            if "/" not in name and name.endswith(".json")
        }

    def folders(self) -> dict[str, list[str]]:
        """Each folder's files, oldest first."""
        found: dict[str, list[str]] = {}
        for name in self.sizes:
            folder, slash, _ = name.rpartition("/")
            if slash:
                found.setdefault(folder, []).append(name)
        return found


class _Folder(_Files):
    def __init__(self, root: Path) -> None:
        self._root = root
        found = sorted(path for path in root.rglob("*.json") if path.is_file())
        self.sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in found}

    def read(self, name: str) -> bytes:
        _require_small(self._root, name, self.sizes[name])
        return (self._root / name).read_bytes()

    def close(self) -> None:
        """A folder needs no closing."""


class _Zip(_Files):
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except BROKEN_ZIP as error:
            raise ConversionError(f"{path}: {why_broken(error)}") from error
        infos = {
            info.filename: info
            for info in self._zip.infolist()
            if info.filename.endswith(".json") and not info.filename.startswith("__MACOSX/")
        }
        tops = [name for name in infos if name.rpartition("/")[2] == "channels.json"]
        # A zip made by hand may hold the export one folder down.
        prefix = min(tops, key=len).removesuffix("channels.json") if tops else ""
        self._infos = {
            name.removeprefix(prefix): infos[name]
            for name in sorted(infos)
            if name.startswith(prefix)
        }
        self.sizes = {name: info.file_size for name, info in self._infos.items()}
        require_sane(path, sum(self.sizes.values()))

    def read(self, name: str) -> bytes:
        _require_small(self._path, name, self.sizes[name])
        try:
            return self._zip.read(self._infos[name])
        except BROKEN_ZIP as error:
            raise ConversionError(f"{self._path}: {name}: {why_broken(error)}") from error

    def close(self) -> None:
        self._zip.close()


def _require_small(path: Path, name: str, size: int) -> None:
    """A day of one channel is read whole, so that it may not be of any size."""
    if size > FREE_EXPANSION:
        raise ConversionError(f"{path}: {name}: larger than {FREE_EXPANSION} bytes")


def _open(path: Path) -> _Files:
    return _Folder(path) if path.is_dir() else _Zip(path)


@dataclass
class _Channel:
    """A channel and what its messages tell about its life, in time order once sorted."""

    record: Json
    kind: str
    folder: str
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    """(ts, `join` or `leave`, member id)"""
    life: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(ts, `name`, `archive` or `unarchive`, the name before)"""
    spoke: dict[str, str] = field(default_factory=dict)
    """Member id → ts of the first message"""
    first_ts: str | None = None
    last_ts: str | None = None

    @property
    def id(self) -> str:
        return str(self.record["id"])


class _Workspace:
    def __init__(self, conversion: Conversion, files: _Files) -> None:
        self.conversion = conversion
        self.files = files
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.users: dict[str, Json] = {}
        self.bots: dict[str, str | None] = {}
        self.latest_ts = "0000000000.000000"
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        self.conversion.total_bytes = sum(self.files.sizes.values())
        tops = self.files.stem_names()
        if not LISTS.keys() & tops.keys():
            raise ConversionError(f"{self.conversion.path}: no channels.json in it")
        for stem in USER_LISTS:
            for place, user in self.entries(tops.pop(stem, None), "users"):
                self.users[self.text(user, "id", place)] = user
        channels = [
            _Channel(record, kind, str(record["id" if kind == "dm" else "name"]))
            for stem, kind in LISTS.items()
            for record in self.channel_records(tops.pop(stem, None))
        ]
        folders = self.files.folders()
        for channel in channels:
            for name in folders.pop(channel.folder, ()):
                self.read_day(channel, name)
        for channel in channels:
            with self.shape(f"channel {channel.id}"):
                self.finish_channel(channel)
        for user_id, user in self.users.items():
            with self.shape(f"user {user_id}"):
                self.finish_user(user_id, user)
        self.write_bots()
        for stem, name in sorted(tops.items()):
            for _ in self.entries(name, word(stem)):
                self.conversion.leave_out(word(stem), "no log holds them")
        for folder, names in folders.items():
            for name in names:
                for _ in self.entries(name, "messages"):
                    self.conversion.leave_out(
                        "messages", f"no channel is listed for {word(folder)}/"
                    )

    @contextmanager
    def shape(self, place: str) -> Iterator[None]:
        """Turn a surprise in the JSON's shape into an error that names the place.

        The surprise's own text may quote the record; its kind says enough.
        """
        try:
            yield
        except SHAPE as error:
            raise ConversionError(
                f"{self.conversion.path}: {place}: not as Slack writes it ({type(error).__name__})"
            ) from error

    def entries(self, name: str | None, kind: str) -> Iterator[tuple[str, Json]]:
        """The objects of one JSON list, each with its place for error texts."""
        if name is None:
            return
        try:
            parsed = orjson.loads(self.files.read(name))
        except orjson.JSONDecodeError as error:
            raise ConversionError(
                f"{self.conversion.path}: {name}: line {error.lineno}, column {error.colno}: "
                f"{error.msg}"
            ) from error
        if isinstance(parsed, dict) and kind not in ("users", "channels", "messages"):
            parsed = [parsed]
        if not isinstance(parsed, list):
            raise ConversionError(f"{self.conversion.path}: {name}: no list")
        for number, entry in enumerate(parsed, start=1):
            place = f"{name}: entry {number}"
            if not isinstance(entry, dict):
                raise ConversionError(f"{self.conversion.path}: {place}: no object")
            yield place, entry
        self.conversion.read(kind, len(parsed))
        self.conversion.advance(self.files.sizes[name], name)

    def text(self, record: Json, name: str, place: str) -> str:
        """A field that must hold text."""
        value = record.get(name)
        if not isinstance(value, str) or not value:
            raise ConversionError(f"{self.conversion.path}: {place}: no {name}")
        return value

    def channel_records(self, name: str | None) -> Iterator[Json]:
        for place, record in self.entries(name, "channels"):
            self.text(record, "id", place)
            if name != "dms.json":
                self.text(record, "name", place)
            if record.get("created"):
                with self.shape(place):
                    self.latest_ts = max(self.latest_ts, _whole_ts(record["created"]))
            yield record

    def read_day(self, channel: _Channel, name: str) -> None:
        for place, message in self.entries(name, "messages"):
            ts = self.text(message, "ts", place)
            with self.shape(place):
                self.on_message(channel, ts, message)

    def on_message(self, channel: _Channel, ts: str, message: Json) -> None:
        occurred_at = slack_time(ts)
        self.latest_ts = max(self.latest_ts, ts)
        channel.first_ts = min(channel.first_ts or ts, ts)
        channel.last_ts = max(channel.last_ts or ts, ts)
        subtype = message.get("subtype") or ""
        sender = self.sender(message)
        spoken = subtype in SPOKEN
        message_id = f"{channel.id}:{ts}"
        record: Json = {
            "message_id": message_id,
            "group_id": channel.id,
            "member_id": sender,
            "occurred_at": occurred_at,
            "kind": self.kind(message) if spoken else "system",
        }
        thread = message.get("thread_ts")
        if thread is not None and thread != ts:
            record["reply_to_message_id"] = f"{channel.id}:{thread}"
        elif subtype == "message_deleted" and "deleted_ts" in message:
            record["reply_to_message_id"] = f"{channel.id}:{message['deleted_ts']}"
        text = self.own_text(message, subtype)
        if text:
            record["text_length"] = len(text)
            if not self.no_text:
                record["text"] = _MENTION_NAME.sub(r"\1>", text) if self.no_names else text
            if spoken:
                mentions = list(dict.fromkeys(_MENTION.findall(text)))
                if mentions:
                    record["mentions"] = mentions
        elif spoken:
            record["text_length"] = 0
        extra = self.remainder(message, MESSAGE_FIELDS, HARMLESS_MESSAGE)
        if text != message.get("text") and not (self.no_text or self.no_names):
            extra["text"] = message.get("text")
        if extra:
            record["slack"] = extra
        self.write_message(record)
        if spoken and sender in self.users:
            first = channel.spoke.get(sender, ts)
            channel.spoke[sender] = min(first, ts)
        self.on_subtype(channel, ts, subtype, sender, message)
        self.on_reactions(channel, ts, occurred_at, message)

    def on_subtype(
        self, channel: _Channel, ts: str, subtype: str, sender: str, message: Json
    ) -> None:
        """Take note of what a system message says about members and the channel."""
        if subtype in JOINS or subtype in LEAVES:
            action = "join" if subtype in JOINS else "leave"
            channel.changes.append((ts, action, sender))
            record: Json = {
                "event_id": f"{channel.id}:{ts}",
                "group_id": channel.id,
                "member_id": sender,
                "action": action,
                "occurred_at": slack_time(ts),
            }
            if action == "join" and message.get("inviter"):
                record |= {"inviter_member_id": message["inviter"], "via": "invite"}
            self.write_membership(record)
        elif subtype in NAMED:
            channel.life.append((ts, "name", message.get("old_name")))
        elif subtype in ARCHIVED:
            channel.life.append((ts, "archive", None))
        elif subtype in UNARCHIVED:
            channel.life.append((ts, "unarchive", None))
        elif subtype not in SPOKEN and subtype not in KNOWN_SYSTEM:
            self.conversion.note(f"message of unknown subtype {word(subtype)} taken as system")

    def on_reactions(self, channel: _Channel, ts: str, occurred_at: str, message: Json) -> None:
        for reaction in message.get("reactions") or ():
            users = reaction.get("users") or ()
            for user in users:
                self.write_message(
                    {
                        "message_id": f"{channel.id}:{ts}:{reaction['name']}:{user}",
                        "group_id": channel.id,
                        "member_id": user,
                        "occurred_at": occurred_at,
                        "kind": "reaction",
                        "reply_to_message_id": f"{channel.id}:{ts}",
                        "slack": {"reaction": reaction["name"], "time_is_of_the_message": True},
                    }
                )
            self.conversion.read("reactions", max(reaction.get("count", 0), len(users)))
            self.conversion.note("reaction at its message's time, as Slack gives none", len(users))
            unnamed = reaction.get("count", 0) - len(users)
            if unnamed > 0:
                self.conversion.leave_out("reactions", "the export does not say whose", unnamed)

    def sender(self, message: Json) -> str:
        """The member who wrote it: a user, a bot, or Slack itself."""
        inner = message.get("comment") or message.get("message") or {}
        user = message.get("user") or inner.get("user")
        if user:
            if user == SLACKBOT:
                self.bots.setdefault(SLACKBOT, None)
            return str(user)
        bot = message.get("bot_id")
        if bot:
            profile = message.get("bot_profile") or {}
            self.bots.setdefault(str(bot), profile.get("name") or message.get("username"))
            return str(bot)
        self.conversion.note("message without a sender taken as Slack's own")
        self.bots.setdefault(SLACKBOT, None)
        return SLACKBOT

    def kind(self, message: Json) -> str:
        files = message.get("files") or [message.get("file")]
        if message.get("subtype") != "file_comment" and isinstance(files[0], dict):
            media = str(files[0].get("mimetype") or "").partition("/")[0]
            return MEDIA.get(media, "file")
        return "link" if _ONLY_LINK.fullmatch(message.get("text") or "") else "text"

    def own_text(self, message: Json, subtype: str) -> str | None:
        """What the sender wrote; old exports wrap it into a sentence of Slack's about the file."""
        if subtype == "file_comment":
            text = (message.get("comment") or {}).get("comment")
        elif subtype == "file_share" and "file" in message:
            text = ((message["file"] or {}).get("initial_comment") or {}).get("comment")
        else:
            text = message.get("text")
        if text is not None and not isinstance(text, str):
            raise TypeError("text")
        return text

    def remainder(self, record: Json, taken: set[str], harmless: set[str]) -> Json:
        """The native fields that no contract field holds, without download tokens."""
        if self.no_text or self.no_names:
            return {name: value for name, value in record.items() if name in harmless}
        return {
            name: _without_tokens(value)
            for name, value in record.items()
            if name not in taken and value not in (None, "", [], {})
        }

    def finish_channel(self, channel: _Channel) -> None:
        record = channel.record
        created = record.get("created")
        ts = _whole_ts(created) if created not in (None, "", 0) else channel.first_ts
        if ts is None:
            self.conversion.leave_out("channels", "neither a creation time nor a message")
            return
        channel.life.sort()
        channel.changes.sort()
        self.reconcile_members(channel, ts)
        self.write_groups(channel, ts)

    def reconcile_members(self, channel: _Channel, created_ts: str) -> None:
        """Add the joins and leaves without which the export's own member list would not come out.

        An archived channel's list is empty in an export, so nothing is concluded from it.
        """
        creator = channel.record.get("creator")
        first: dict[str, str] = {}
        state: dict[str, str] = {}
        for _, action, member in channel.changes:
            first.setdefault(member, action)
            state[member] = action
        if creator and first.get(creator) != "join":
            self.add_membership(channel, creator, "join", created_ts, "creator", "owner")
            state.setdefault(creator, "join")
        for member in channel.spoke:
            # The marts count a speaker without any join from the first message on.
            state.setdefault(member, "join")
        listed = channel.record.get("members")
        if not listed or channel.record.get("is_archived"):
            return
        for member in listed:
            if state.get(member) == "join":
                continue
            left_before = member in state
            ts = self.latest_ts if left_before else created_ts
            self.add_membership(channel, member, "join", ts, "listed")
            self.conversion.note("join inferred from a channel's member list")
        for member in sorted(name for name, last in state.items() if last == "join"):
            if member not in listed:
                ts = self.departure(member)
                self.add_membership(channel, member, "leave", ts, "not_listed")
                self.conversion.note("leave inferred from a channel's member list")

    def departure(self, member: str) -> str:
        """When a member went without a word: at their deactivation, else by the export's end."""
        user = self.users.get(member, {})
        if user.get("deleted") and user.get("updated"):
            return min(_whole_ts(user["updated"]), self.latest_ts)
        return self.latest_ts

    def add_membership(
        self,
        channel: _Channel,
        member: str,
        action: str,
        ts: str,
        reason: str,
        role: str | None = None,
    ) -> None:
        record: Json = {
            "event_id": f"{channel.id}:{ts}:{reason}:{member}",
            "group_id": channel.id,
            "member_id": member,
            "action": action,
            "occurred_at": slack_time(ts),
            "slack": {"inferred_from": reason},
        }
        if role is not None:
            record["role"] = role
        self.write_membership(record)

    def write_groups(self, channel: _Channel, created_ts: str) -> None:
        """A state for the creation and for each change of name or archiving."""
        record = channel.record
        # Names of direct messages are made of their members' names.
        named = channel.kind in ("public", "private")
        final_name = record.get("name") if named else None
        renames = [name for _, what, name in channel.life if what == "name"]
        name = renames[0] if renames and named else final_name
        extra = self.remainder(
            record | {"type": channel.kind},
            {"id", "name", "created", "creator", "members"},
            HARMLESS_CHANNEL,
        )
        base: Json = {
            "group_id": channel.id,
            "created_at": slack_time(created_ts),
            "kind": "other",
            "observes": OBSERVES,
        }
        if record.get("creator"):
            base["owner_member_id"] = record["creator"]
        closed_at: str | None = None
        states = [(created_ts, name, closed_at)]
        rest = renames[1:]
        for ts, what, _ in channel.life:
            if what == "name":
                name = (rest.pop(0) if rest else final_name) if named else None
            else:
                closed_at = slack_time(ts) if what == "archive" else None
            states.append((ts, name, closed_at))
        archived = bool(record.get("is_archived"))
        if archived != (closed_at is not None) or name != final_name:
            if archived and closed_at is None:
                closed_at = slack_time(channel.last_ts or created_ts)
                self.conversion.note("archived channel closed at its last message, inferred")
            elif not archived:
                closed_at = None
            states.append((max(self.latest_ts, created_ts), final_name, closed_at))
        for number, (ts, state_name, state_closed_at) in enumerate(states, start=1):
            state = base | {"updated_at": slack_time(ts)}
            if state_name is not None:
                state["name"] = state_name
            if state_closed_at is not None:
                state["closed_at"] = state_closed_at
            if number == len(states):
                state["slack"] = extra
            self.write_group(state)

    def finish_user(self, user_id: str, user: Json) -> None:
        """A user's state: dated by Slack, else as the export's last moment knows it."""
        profile = user.get("profile") or {}
        updated = _whole_ts(user["updated"]) if user.get("updated") else self.latest_ts
        record: Json = {"member_id": user_id, "updated_at": slack_time(updated)}
        if not self.no_names:
            record["display_name"] = (
                profile.get("display_name") or user.get("real_name") or user.get("name")
            )
            record["phone"] = profile.get("phone")
        if user.get("is_bot") or user_id == SLACKBOT:
            record["is_bot"] = True
        record["slack"] = self.remainder(user, {"id"}, HARMLESS_USER)
        self.write_member({name: value for name, value in record.items() if value})

    def write_bots(self) -> None:
        """The bots that wrote without being listed as users."""
        for bot_id, name in sorted(self.bots.items()):
            if bot_id not in self.users:
                record: Json = {
                    "member_id": bot_id,
                    "updated_at": slack_time(self.latest_ts),
                    "is_bot": True,
                }
                if name and not self.no_names:
                    record["display_name"] = name
                self.write_member(record)


def slack_time(ts: str) -> str:
    """ISO time in UTC of a `ts` (`seconds.micros`), exact; ValueError for any other text."""
    match = _TS.fullmatch(ts)
    if match is None:
        raise ValueError("no Slack time")
    moment = datetime.fromtimestamp(int(match[1]), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{(match[2] or '').ljust(6, '0')}Z"


def _whole_ts(seconds: Any) -> str:
    return f"{int(seconds)}.000000"


def _without_tokens(value: Any) -> Any:
    if isinstance(value, str):
        return _TOKEN.sub("", value) if "xox" in value else value
    if isinstance(value, list):
        return [_without_tokens(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_tokens(item) for name, item in value.items()}
    return value
