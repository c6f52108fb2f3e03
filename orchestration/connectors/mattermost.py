"""Mattermost bulk export (JSONL, or the zip that holds it) → group logs.

docs/connectors/mattermost.md has the mapping. A bulk export names users by their username and has
no ids of posts: channel, time in milliseconds and author make one.
"""

from __future__ import annotations

import mimetypes
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from orchestration.connectors.base import (
    BROKEN_ZIP,
    Connector,
    Conversion,
    ConversionError,
    require_sane,
    why_broken,
    word,
)
from orchestration.connectors.reading import (
    Json,
    export_files,
    millis,
    read_lines,
    relative,
    remainder,
    shape,
    stand_in,
    text_of,
)

OBSERVES = ["leave", "reaction"]
MEDIA = {"image": "image", "video": "video", "audio": "voice"}
# System posts that change who is in a channel → (action, property that names the member).
CHANGES = {
    "system_join_channel": ("join", "username"),
    "system_guest_join_channel": ("join", "username"),
    "system_add_to_channel": ("join", "addedUsername"),
    "system_add_guest_to_chan": ("join", "addedUsername"),
    "system_leave_channel": ("leave", "username"),
    "system_remove_from_channel": ("leave", "removedUsername"),
}
SECRET = {"password", "auth_data", "profile_image"}
POST_FIELDS = {"team", "channel", "channel_members", "user", "message", "create_at", "reactions"}
POST_FIELDS |= {"replies"}
HARMLESS_POST = {"edit_at", "is_pinned", "type"}
HARMLESS_USER = {"auth_service", "delete_at", "locale", "roles"}
HARMLESS_CHANNEL = {"deleted_at", "scheme", "team", "type"}
_MENTION = re.compile(r"@([a-z0-9][a-z0-9._-]*)", re.IGNORECASE)
_ONLY_LINK = re.compile(r"\s*<?https?://[^>\s]+>?\s*")


class Mattermost(Connector):
    """Reads teams, channels, users and posts of a bulk export."""

    name = "mattermost"
    title = "a Mattermost bulk export"
    summary = "import.jsonl of a bulk export, its zip, or the folder that holds it"

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        _Server(conversion).run()


@dataclass
class _Channel:
    record: Json
    direct: bool
    listed: dict[str, str] = field(default_factory=dict)
    """Member → role"""
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """(milliseconds, join or leave, member)"""
    spoke: set[str] = field(default_factory=set)
    first: int | None = None


class _Server:
    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.channels: dict[str, _Channel] = {}
        self.users: dict[str, Json] = {}
        self.bots: dict[str, Json] = {}
        self.named: set[str] = set()
        self.latest = 0
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        lines = 0
        with self.opened() as (stream, name):
            for place, line in read_lines(self.conversion, stream, name):
                lines += 1
                kind = line.get("type") if isinstance(line, dict) else None
                if lines == 1 and kind != "version":
                    raise ConversionError(f"{self.conversion.path}: {place}: no version line")
                if not isinstance(kind, str):
                    raise ConversionError(f"{self.conversion.path}: {place}: no type")
                self.conversion.read(word(kind))
                with shape(self.conversion, place, "Mattermost"):
                    self.on_line(kind, line, place)
        if not lines:
            raise ConversionError(f"{self.conversion.path}: {name}: no version line")
        for channel_id, channel in self.channels.items():
            with shape(self.conversion, f"channel {channel.record.get('name')}", "Mattermost"):
                self.finish_channel(channel_id, channel)
        with shape(self.conversion, "users", "Mattermost"):
            self.finish_members()

    @contextmanager
    def opened(self) -> Iterator[tuple[IO[bytes], str]]:
        """The export's JSONL, out of its zip where need be."""
        path = self.conversion.path
        found = export_files(path, (".jsonl", ".zip"))
        if len(found) != 1:
            raise ConversionError(f"{path}: {len(found)} files that end in .jsonl or .zip, not one")
        (file,) = found
        if zipfile.is_zipfile(file):
            yield from self.unzipped(file)
            return
        self.conversion.total_bytes = file.stat().st_size
        with file.open("rb") as stream:
            yield stream, relative(self.conversion, file)

    def unzipped(self, file: Path) -> Iterator[tuple[IO[bytes], str]]:
        try:
            with zipfile.ZipFile(file) as archive:
                names = [info for info in archive.infolist() if info.filename.endswith(".jsonl")]
                if len(names) != 1:
                    raise ConversionError(f"{file}: {len(names)} .jsonl files in it, not one")
                require_sane(file, names[0].file_size)
                self.conversion.total_bytes = names[0].file_size
                with archive.open(names[0]) as stream:
                    yield stream, names[0].filename
        except BROKEN_ZIP as error:
            raise ConversionError(f"{file}: {why_broken(error)}") from error

    def on_line(self, kind: str, line: Json, place: str) -> None:
        conversion = self.conversion
        record = line.get(kind)
        if kind == "version":
            created = (line.get("info") or {}).get("created")
            if created:
                moment = datetime.fromisoformat(created)
                self.latest = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
            return
        if not isinstance(record, dict):
            raise ConversionError(f"{conversion.path}: {place}: no {word(kind)}")
        match kind:
            case "channel":
                team = text_of(conversion, record, "team", place)
                name = text_of(conversion, record, "name", place)
                self.channels[f"{team}/{name}"] = _Channel(record, direct=False)
            case "user":
                self.on_user(text_of(conversion, record, "username", place), record)
            case "bot":
                self.bots[text_of(conversion, record, "username", place)] = record
            case "direct_channel":
                self.on_direct_channel(record)
            case "post":
                team = text_of(conversion, record, "team", place)
                name = text_of(conversion, record, "channel", place)
                self.on_post(f"{team}/{name}", record, None)
            case "direct_post":
                self.on_post(self.direct_id(record["channel_members"]), record, None)
            case _:
                conversion.leave_out(word(kind), "no log holds them")

    def id_of(self, username: str) -> str:
        """A member's id: the username, or under --no-names its stand-in."""
        if not isinstance(username, str) or not username:
            raise TypeError("username")
        self.named.add(username)
        return stand_in(username) if self.no_names else username

    def direct_id(self, members: list[str]) -> str:
        return "direct:" + ",".join(sorted({self.id_of(name) for name in members}))

    def on_user(self, username: str, record: Json) -> None:
        self.id_of(username)
        teams = record.pop("teams", None) or []
        self.users[username] = record
        for team in teams:
            for membership in team.get("channels") or []:
                roles = membership.get("roles") or ""
                role = "admin" if "channel_admin" in roles else "member"
                channel = self.channels.get(f"{team['name']}/{membership['name']}")
                if channel is None:
                    self.conversion.note("membership of a channel that the export does not have")
                else:
                    channel.listed[username] = role
        self.conversion.read("membership", sum(len(team.get("channels") or []) for team in teams))

    def on_direct_channel(self, record: Json) -> None:
        members = record.get("members") or [
            member["username"] for member in record.get("participants") or []
        ]
        channel = _Channel(record, direct=True)
        channel.listed = dict.fromkeys(members, "member")
        self.channels[self.direct_id(members)] = channel

    def on_post(self, channel_id: str, post: Json, root_id: str | None) -> None:
        channel = self.channels.get(channel_id)
        if channel is None:
            self.conversion.note("channel known by its posts alone")
            channel = self.channels[channel_id] = _Channel({}, channel_id.startswith("direct:"))
        created = post["create_at"]
        occurred_at = millis(created)
        self.latest = max(self.latest, created)
        channel.first = created if channel.first is None else min(channel.first, created)
        sender = self.id_of(post["user"])
        kind = post.get("type") or ""
        system = kind.startswith("system_")
        message_id = f"{channel_id}:{created}:{sender}" + (f":{kind}" if kind else "")
        text = post.get("message") or ""
        record: Json = {
            "message_id": message_id,
            "group_id": channel_id,
            "member_id": sender,
            "occurred_at": occurred_at,
            "kind": "system" if system else self.kind(post, text),
            "text_length": len(text),
        }
        if root_id is not None:
            record["reply_to_message_id"] = root_id
        # Mattermost's own sentences name people in many ways.
        if text and not self.no_text and not (system and self.no_names):
            record["text"] = self.without_handles(text) if self.no_names else text
        if text and not system:
            mentions = list(dict.fromkeys(self.mentioned(text)))
            if mentions:
                record["mentions"] = mentions
        extra = remainder(self.conversion, post, POST_FIELDS, HARMLESS_POST)
        if extra:
            record["mattermost"] = extra
        self.write_message(record)
        if system:
            self.on_change(channel_id, channel, kind, post, message_id)
        else:
            channel.spoke.add(post["user"])
        for reaction in post.get("reactions") or []:
            member = self.id_of(reaction["user"])
            self.conversion.read("reaction")
            self.latest = max(self.latest, reaction["create_at"])
            self.write_message(
                {
                    "message_id": f"{message_id}:{reaction['emoji_name']}:{member}",
                    "group_id": channel_id,
                    "member_id": member,
                    "occurred_at": millis(reaction["create_at"]),
                    "kind": "reaction",
                    "reply_to_message_id": message_id,
                    "mattermost": {"emoji_name": reaction["emoji_name"]},
                }
            )
        for reply in post.get("replies") or []:
            self.conversion.read("reply")
            self.on_post(channel_id, reply, message_id)

    def mentioned(self, text: str) -> Iterator[str]:
        for match in _MENTION.finditer(text):
            name = match[1].lower()
            name = name if name in self.users else name.rstrip("._-")
            if name in self.users or name in self.bots:
                yield self.id_of(name)

    def without_handles(self, text: str) -> str:
        def hidden(match: re.Match[str]) -> str:
            return f"@{stand_in(match[1].lower().rstrip('._-'))}"

        return _MENTION.sub(hidden, text)

    def kind(self, post: Json, text: str) -> str:
        attachments = post.get("attachments") or []
        if attachments:
            media = mimetypes.guess_type(str(attachments[0].get("path")))[0] or ""
            return MEDIA.get(media.partition("/")[0], "file")
        return "link" if _ONLY_LINK.fullmatch(text) else "text"

    def on_change(
        self, channel_id: str, channel: _Channel, kind: str, post: Json, message_id: str
    ) -> None:
        """Take note of a system post that says who came or went."""
        if kind not in CHANGES:
            return
        action, name = CHANGES[kind]
        props = post.get("props") or {}
        member = props.get(name) or post["user"]
        channel.changes.append((post["create_at"], action, member))
        record: Json = {
            "event_id": f"{message_id}:{self.id_of(member)}",
            "group_id": channel_id,
            "member_id": self.id_of(member),
            "action": action,
            "occurred_at": millis(post["create_at"]),
        }
        if action == "join" and member != post["user"]:
            record |= {"inviter_member_id": self.id_of(post["user"]), "via": "invite"}
        self.write_membership(record)

    def finish_channel(self, channel_id: str, channel: _Channel) -> None:
        record = channel.record
        if channel.first is None:
            if not self.latest:
                self.conversion.leave_out("channel", "neither a post nor a time of the export")
                return
            self.conversion.note("empty channel created at the export's last moment, inferred")
        created = self.latest if channel.first is None else channel.first
        closed = record.get("deleted_at") or None
        group: Json = {
            "group_id": channel_id,
            "updated_at": millis(max(closed or 0, self.latest)),
            "created_at": millis(created),
            "kind": "other",
            "observes": OBSERVES,
        }
        if record.get("display_name") and not channel.direct:
            group["name"] = record["display_name"]
        if closed:
            group["closed_at"] = millis(closed)
        extra = remainder(
            self.conversion, record, {"name", "display_name", "members"}, HARMLESS_CHANNEL
        )
        group["mattermost"] = extra | {"created_at_inferred": True}
        self.write_group(group)
        self.reconcile(channel_id, channel, created)

    def reconcile(self, channel_id: str, channel: _Channel, created: int) -> None:
        """Add the joins and leaves without which the listed members would not come out."""
        state = {member: action for _, action, member in sorted(channel.changes)}
        for member in sorted(channel.listed):
            if state.get(member) != "join":
                at = self.latest if member in state else created
                self.infer(channel_id, member, "join", at, "listed", channel.listed[member])
            elif channel.listed[member] == "admin":
                self.infer(channel_id, member, "role", self.latest, "listed", "admin")
        if not channel.listed:
            return
        for member in sorted(channel.spoke | state.keys()):
            if member not in channel.listed and state.get(member, "join") == "join":
                gone = (self.users.get(member) or {}).get("delete_at") or self.latest
                self.infer(channel_id, member, "leave", min(gone, self.latest), "not_listed")

    def infer(
        self, channel_id: str, member: str, action: str, at: int, why: str, role: str | None = None
    ) -> None:
        record: Json = {
            "event_id": f"{channel_id}:{why}:{action}:{self.id_of(member)}",
            "group_id": channel_id,
            "member_id": self.id_of(member),
            "action": action,
            "occurred_at": millis(at),
            "mattermost": {"inferred_from": why},
        }
        if role is not None:
            record["role"] = role
        self.write_membership(record)
        self.conversion.note(f"{action} inferred from the users' channel lists")

    def finish_members(self) -> None:
        for username in sorted(self.named | self.bots.keys()):
            user = self.users.get(username) or self.bots.get(username) or {}
            updated = max(self.latest, user.get("delete_at") or 0)
            record: Json = {"member_id": self.id_of(username), "updated_at": millis(updated)}
            full = " ".join(
                part for part in (user.get("first_name"), user.get("last_name")) if part
            )
            if not self.no_names:
                record["display_name"] = (
                    user.get("nickname") or full or user.get("display_name") or username
                )
            if username in self.bots:
                record["is_bot"] = True
            taken = {"username", "nickname", "display_name", *SECRET}
            extra = remainder(self.conversion, user, taken, HARMLESS_USER)
            if extra:
                record["mattermost"] = extra
            self.write_member(record)
