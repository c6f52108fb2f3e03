"""DiscordChatExporter files (JSON) → group logs.

docs/connectors/discord.md has the mapping. Members belong to a server, so the server is the group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestration.connectors.base import SHAPE, Connector, Conversion, ConversionError, word
from orchestration.connectors.chats import ONLY_LINK, kind_of_file
from orchestration.connectors.json_cursor import JsonCursor

Json = dict[str, Any]

DISCORD_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
SPOKEN = {"Default", "Reply", "ChatInputCommand", "ContextMenuCommand", "20", "23"}
KNOWN_SYSTEM = {
    "Call",
    "ChannelIconChange",
    "ChannelNameChange",
    "ChannelPinnedMessage",
    "GuildMemberJoin",
    "RecipientAdd",
    "RecipientRemove",
    "ThreadCreated",
}
DIRECT = {"DirectTextChat", "DirectGroupTextChat"}
# Has a field, says nothing (empty, or how Discord draws it), or is in the member's record.
MESSAGE_FIELDS = {"id", "type", "timestamp", "content", "author", "mentions", "reactions"}
HARMLESS = {"callEndedTimestamp", "isPinned", "reference", "timestampEdited", "type", "channel"}
HARMLESS_USER = {"color", "discriminator"}
_SNOWFLAKE = re.compile(r"\d{17,20}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)")


class Discord(Connector):
    """Reads channels and threads, each a file, or cut into several."""

    name = "discord"
    title = "a DiscordChatExporter file"
    summary = "JSON file of DiscordChatExporter, or a folder of them"

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        _Export(conversion).run()


@dataclass
class _Group:
    """A server, or a direct chat, over all its files."""

    id: str
    name: str | None
    direct: bool
    created_at: str
    first_at: str | None = None
    last_at: str = ""
    leaves: bool = False
    unnamed_reactions: bool = False
    channels: dict[str, Json] = field(default_factory=dict)


class _Export:
    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.guarded = self.no_text or self.no_names
        self.place = ""
        self.latest = ""
        self.groups: dict[str, _Group] = {}
        self.members: dict[str, Json] = {}
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        conversion = self.conversion
        path = conversion.path
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ConversionError(f"{path}: no .json files in it")
        conversion.total_bytes = sum(file.stat().st_size for file in files)
        for file in files:
            self.place = "the document"
            try:
                self.read_file(file)
            except SHAPE as error:
                raise ConversionError(
                    f"{file}: {self.place}: not as DiscordChatExporter writes it "
                    f"({type(error).__name__})"
                ) from error
        self.latest = max([self.latest, *(group.last_at for group in self.groups.values())])
        try:
            for group in self.groups.values():
                self.finish_group(group)
            self.finish_members()
        except SHAPE as error:
            raise ConversionError(
                f"{path}: users: not as DiscordChatExporter writes them ({type(error).__name__})"
            ) from error

    def read_file(self, path: Path) -> None:
        conversion = self.conversion
        guild: Json | None = None
        channel: Json | None = None
        found = False
        with path.open("rb") as file:
            cursor = JsonCursor(file, str(path), lambda size: conversion.advance(size, path.name))
            for key in cursor.object():
                if key == "guild":
                    guild = cursor.value()
                elif key == "channel":
                    channel = cursor.value()
                elif key == "messages":
                    if guild is None or channel is None:
                        raise ConversionError(f"{path}: messages before their guild and channel")
                    found = True
                    self.read_messages(cursor, self.group(guild, channel), channel)
                elif key == "exportedAt":
                    self.latest = max(self.latest, discord_time(cursor.value()))
                else:
                    cursor.skip()
            cursor.end()
        if not found:
            raise ConversionError(f"{path}: no messages in it")

    def group(self, guild: Json, channel: Json) -> _Group:
        direct = channel["type"] in DIRECT
        group_id = _id(channel if direct else guild)
        self.conversion.read("channels")
        group = self.groups.get(group_id)
        if group is None:
            # A direct chat is named after its members.
            name = None if direct else str(guild["name"])
            group = _Group(group_id, name, direct, _snowflake_time(group_id) or "")
            self.groups[group_id] = group
        group.channels[_id(channel)] = channel
        return group

    def read_messages(self, cursor: JsonCursor, group: _Group, channel: Json) -> None:
        name = channel.get("name")
        topic = None if group.direct or name is None else str(name)
        number = 0
        for number, message in enumerate(cursor.items(), start=1):
            self.place = f"message {number}"
            self.on_message(group, _id(channel), topic, message)
        self.conversion.read("messages", number)

    def on_message(self, group: _Group, channel: str, topic: str | None, message: Json) -> None:
        native_kind = str(message["type"])
        spoken = native_kind in SPOKEN
        occurred_at = discord_time(message["timestamp"])
        group.first_at = min(group.first_at or occurred_at, occurred_at)
        group.last_at = max(group.last_at, occurred_at)
        message_id = _id(message)
        text = message.get("content") or ""
        record: Json = {
            "message_id": message_id,
            "group_id": group.id,
            "member_id": self.member(message["author"]),
            "occurred_at": occurred_at,
            "kind": self.kind(message, text) if spoken else "system",
            "text_length": len(text),
        }
        if topic is not None:
            record["topic"] = topic
        reference = message.get("reference") or {}
        if reference.get("messageId") and reference.get("type") != "Forward":
            record["reply_to_message_id"] = str(reference["messageId"])
        if text and not self.no_text:
            mentioned = message.get("mentions") or ()
            record["text"] = self.without_names(text, mentioned) if self.no_names else text
        mentions = [self.member(user) for user in message.get("mentions") or ()]
        if mentions:
            record["mentions"] = list(dict.fromkeys(mentions))
        if not spoken:
            self.on_system(group, record, native_kind, mentions)
        self.on_reactions(group, record, message)
        record["discord"] = self.remainder(message) | {"type": native_kind, "channel": channel}
        if not (spoken or not self.no_names):
            # What the exporter says of a system message is made of names.
            record.pop("text", None)
        self.write_message(record)

    def remainder(self, message: Json) -> Json:
        """What has no field and says something."""
        return {
            name: value
            for name, value in message.items()
            if name not in MESSAGE_FIELDS
            and value not in (None, "", [], {}, False)
            and (not self.guarded or name in HARMLESS)
        }

    def without_names(self, text: str, mentioned: Any) -> str:
        """The text with the ids of those whom it mentions in place of their names."""
        for user in mentioned:
            for name in sorted(
                {str(user.get(key) or "") for key in ("nickname", "name")}, key=len, reverse=True
            ):
                text = text.replace(f"@{name}", f"@{user['id']}") if name else text
        return text

    def kind(self, message: Json, text: str) -> str:
        attachments = message.get("attachments") or ()
        if attachments:
            return kind_of_file(str(attachments[0].get("fileName") or ""))
        if message.get("stickers"):
            return "image"
        return "link" if ONLY_LINK.fullmatch(text) else "text"

    def on_system(self, group: _Group, record: Json, native_kind: str, mentions: list[str]) -> None:
        """Take note of what a system message says about members."""
        actor = record["member_id"]
        change: Json = {
            "event_id": record["message_id"],
            "group_id": group.id,
            "member_id": actor,
            "action": "join",
            "occurred_at": record["occurred_at"],
        }
        match native_kind:
            case "GuildMemberJoin":
                self.write_membership(change)
            case "RecipientAdd" if group.direct and mentions:
                added = {"member_id": mentions[0], "inviter_member_id": actor, "via": "invite"}
                self.write_membership(change | added)
            case "RecipientRemove" if group.direct:
                group.leaves = True
                gone = mentions[0] if mentions else actor
                self.write_membership(change | {"member_id": gone, "action": "leave"})
            case _ if native_kind not in KNOWN_SYSTEM:
                self.conversion.note(f"message of unknown type {word(native_kind)} taken as system")

    def on_reactions(self, group: _Group, record: Json, message: Json) -> None:
        for reaction in message.get("reactions") or ():
            emoji = reaction["emoji"]
            what = str(emoji.get("id") or emoji["name"])
            users = reaction.get("users") or ()
            total = max(int(reaction["count"]), len(users))
            self.conversion.read("reactions", total)
            for user in users:
                member = self.member(user)
                self.write_message(
                    {
                        "message_id": f"{record['message_id']}:{what}:{member}",
                        "group_id": group.id,
                        "member_id": member,
                        "occurred_at": record["occurred_at"],
                        "kind": "reaction",
                        "reply_to_message_id": record["message_id"],
                        "discord": {
                            "reaction": str(emoji["name"]),
                            "time_is_of_the_message": True,
                        },
                    }
                )
            self.conversion.note(
                "reaction at its message's time, as Discord gives none", len(users)
            )
            if total > len(users):
                group.unnamed_reactions = True
                self.conversion.leave_out(
                    "reactions", "the export does not say whose", total - len(users)
                )

    def member(self, user: Json) -> str:
        """The id of a user, whose newest description is kept."""
        member = _id(user)
        known = self.members.get(member)
        if known is None or len(user) > len(known):
            self.members[member] = user
        return member

    def finish_group(self, group: _Group) -> None:
        if group.first_at is None:
            self.conversion.leave_out("channels", "without a message", len(group.channels))
            return
        observes = ["leave"] if group.direct else []
        if not group.unnamed_reactions:
            observes.append("reaction")
        record: Json = {
            "group_id": group.id,
            "updated_at": self.latest,
            "created_at": min(group.created_at or group.first_at, group.first_at),
            "kind": "other",
            "observes": observes,
        }
        if group.name is not None:
            record["name"] = group.name
        if not self.guarded:
            record["discord"] = {"channels": list(group.channels.values())}
        self.write_group(record)

    def finish_members(self) -> None:
        for member, user in self.members.items():
            record: Json = {"member_id": member, "updated_at": self.latest}
            name = user.get("nickname") or user.get("name")
            if name and not self.no_names:
                record["display_name"] = str(name)
            if user.get("isBot"):
                record["is_bot"] = True
            extra = {
                key: value
                for key, value in user.items()
                if key not in ("id", "isBot", "nickname")
                and value not in (None, "", [])
                and (not self.guarded or key in HARMLESS_USER)
            }
            if extra:
                record["discord"] = extra
            self.write_member(record)


def _id(record: Json) -> str:
    value = record["id"]
    if not isinstance(value, str) or not value:
        raise TypeError("id")
    return value


def discord_time(text: str) -> str:
    """ISO time in UTC of the exporter's, of which .NET may write seven digits of a second."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no time with an offset")
    micros = (found[2] or "").ljust(6, "0")
    return _utc(datetime.fromisoformat(f"{found[1]}.{micros}{found[3]}"))


def _snowflake_time(text: str) -> str | None:
    """When Discord made an id, which holds its own time."""
    if not _SNOWFLAKE.fullmatch(text):
        return None
    return _utc(DISCORD_EPOCH + timedelta(milliseconds=int(text) >> 22))


def _utc(moment: datetime) -> str:
    # Always six digits, so that texts sort as their times.
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
