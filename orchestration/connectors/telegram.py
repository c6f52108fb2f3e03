"""Telegram Desktop export (`result.json` of one chat or a whole account) → group logs.

docs/connectors/telegram.md has the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.connectors.base import SHAPE, Connector, Conversion, ConversionError, word
from orchestration.connectors.chats import (
    Ordinals,
    digest,
    kind_of_mime,
    unix_time,
    zoned_time,
)
from orchestration.connectors.json_cursor import JsonCursor

Json = dict[str, Any]

# A chat's id in the form that Telegram itself gives senders, so that a user, a basic group and a
# channel of one number never meet.
PEERS = {
    "saved_messages": "user",
    "personal_chat": "user",
    "bot_chat": "user",
    "verification_codes": "user",
    "replies": "user",
    "private_group": "chat",
    "private_supergroup": "channel",
    "public_supergroup": "channel",
    "private_channel": "channel",
    "public_channel": "channel",
}
DIRECT = {kind for kind, peer in PEERS.items() if peer == "user"}
OLD_PEERS = {0: "user", 1: "chat", 2: "channel"}
TELEGRAM = "telegram"
MEDIA = {
    "voice_message": "voice",
    "audio_file": "voice",
    "video_message": "video",
    "video_file": "video",
    "animation": "video",
    "sticker": "image",
}
LISTS = {
    "frequent_contacts": "no log holds them",
    "other_data": "no log holds them",
    "profile_pictures": "no log holds them",
    "sessions": "no log holds them",
    "stories": "no log holds them",
    "web_sessions": "no log holds them",
}
# All that is left of a message's other fields under --no-text or --no-names: a list of what is
# harmless, since Telegram adds fields that hold words and names now and then.
HARMLESS = {
    "action",
    "amount",
    "boosts",
    "currency",
    "days",
    "discard_reason",
    "duration",
    "duration_seconds",
    "edited_unixtime",
    "file_size",
    "forwarded_from_id",
    "game_message_id",
    "height",
    "invoice_message_id",
    "is_active",
    "is_missed",
    "live_location_period_seconds",
    "media_spoiler",
    "media_type",
    "message_id",
    "messages_count",
    "mime_type",
    "months",
    "paid_stars_amount",
    "period",
    "photo_file_size",
    "reactions",
    "recurring",
    "reply_to_peer_id",
    "schedule_date",
    "score",
    "self_destruct_period_seconds",
    "thumbnail_file_size",
    "width",
}
_ONLY_LINK = {"link", "text_link"}
_BAD_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\x([0-9A-Fa-f]{2})")
_UNIX = re.compile(r"-?\d{1,12}")
_PEER = re.compile(r"(?:user|chat|channel)\d{1,20}")


def _mend(text: bytes) -> bytes:
    r"""Telegram Desktop writes control characters as `\x0B`, which is no JSON."""
    return _BAD_ESCAPE.sub(rb"\1\\u00\2", text) if rb"\x" in text else text


class Telegram(Connector):
    """Reads chats with their messages of every kind, and the account's contacts."""

    name = "telegram"
    title = "a Telegram Desktop export"
    summary = "result.json, or the folder of it: one chat or the whole account"
    takes_zone = True

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        path = conversion.path
        if path.is_dir():
            path = path / "result.json"
            if not path.is_file():
                raise ConversionError(f"{path.parent}: no result.json in it")
        _Export(conversion, path).run()


@dataclass
class _Chat:
    """A chat and what its messages tell about its life."""

    kind: str
    id: str
    place: str
    name: str | None
    extra: Json
    titles: list[tuple[int, str]] = field(default_factory=list)
    named: list[_Named] = field(default_factory=list)
    """Changes of membership whose person is only known by name."""
    first: int | None = None
    last: int = 0
    founder: str | None = None
    migrated_at: int | None = None
    leaves: bool = False
    unnamed_reactions: bool = False
    messages: int = 0
    ids: dict[str, set[str]] = field(default_factory=dict)
    """Display name → ids of its senders."""


@dataclass
class _Named:
    name: str
    record: Json
    actor: str | None
    actor_name: str | None


class _Export:
    def __init__(self, conversion: Conversion, path: Path) -> None:
        self.conversion = conversion
        self.path = path
        self.zone = conversion.zone
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.guarded = self.no_text or self.no_names
        self.place = "the document"
        self.number = 0
        """Of the message that is being read, 0 outside of a chat."""
        self.latest = 0
        self.names: dict[str, str | None] = {}
        self.profiles: dict[str, Json] = {}
        self.bots: set[str] = set()
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        conversion = self.conversion
        conversion.total_bytes = self.path.stat().st_size
        with self.path.open("rb") as file:
            cursor = JsonCursor(
                file,
                str(self.path),
                lambda size: conversion.advance(size, self.path.name),
                _mend,
            )
            try:
                self.read_document(cursor)
                self.place = "members"
                self.write_members()
            except SHAPE as error:
                raise ConversionError(
                    f"{self.path}: {self.where}: not as Telegram writes it ({type(error).__name__})"
                ) from error

    @property
    def where(self) -> str:
        """The place in the export, for an error's text."""
        return f"{self.place}, message {self.number}" if self.number else self.place

    def read_document(self, cursor: JsonCursor) -> None:
        head: Json = {}
        found = False
        for key in cursor.object():
            if key == "messages":
                found = True
                self.read_chat(cursor, head, "chat 1")
            elif key in ("chats", "left_chats"):
                found = True
                self.read_chats(cursor, key)
            elif key == "personal_information":
                self.on_profile(cursor.value(), "accounts")
            elif key == "contacts":
                for contact in self.listed(cursor):
                    self.on_profile(contact, "contacts")
            elif key in LISTS:
                self.leave_list(cursor, key)
            elif cursor.peek() in (b"{", b"["):
                conversion = self.conversion
                records = cursor.skip()
                conversion.read(word(key), records)
                conversion.leave_out(word(key), "no list that Telegram is known to write", records)
            else:
                head[key] = cursor.value()
        cursor.end()
        if not found:
            raise ConversionError(f"{self.path}: neither messages nor chats in it")

    def listed(self, cursor: JsonCursor) -> Iterator[Any]:
        """The items of `{"about": …, "list": […]}`, or of a plain list."""
        if cursor.peek() == b"[":
            yield from cursor.items()
            return
        for key in cursor.object():
            if key == "list":
                yield from cursor.items()
            else:
                cursor.value()

    def leave_list(self, cursor: JsonCursor, key: str) -> None:
        records = 0
        if cursor.peek() == b"{":
            for inner in cursor.object():
                counted = cursor.peek() == b"["
                records += cursor.skip() if counted or inner != "about" else 0 * cursor.skip()
        else:
            records = cursor.skip()
        self.conversion.read(key, records)
        self.conversion.leave_out(key, LISTS[key], records)

    def read_chats(self, cursor: JsonCursor, kind: str) -> None:
        for key in cursor.object():
            if key != "list":
                cursor.value()
                continue
            for number, _ in enumerate(cursor.walk(), start=1):
                head: Json = {}
                place = f"{kind} {number}"
                if kind == "left_chats":
                    head["left"] = True
                read = False
                for name in cursor.object():
                    if name == "messages":
                        self.read_chat(cursor, head, place)
                        read = True
                    else:
                        head[name] = cursor.value()
                if not read:
                    raise ConversionError(f"{self.path}: {place}: no messages")

    def read_chat(self, cursor: JsonCursor, head: Json, place: str) -> None:
        self.place = place
        chat = self.chat(head, place)
        ordinals = Ordinals()
        self.conversion.read("chats")
        for block in cursor.blocks():
            for message in block:
                self.number += 1
                self.on_message(chat, message, ordinals)
        chat.messages, self.number = self.number, 0
        self.conversion.read("messages", chat.messages)
        self.finish_chat(chat)

    def chat(self, head: Json, place: str) -> _Chat:
        kind = str(head.pop("type", None) or "unknown")
        native = head.pop("id", None)
        name = head.pop("name", None)
        if name is not None and not isinstance(name, str):
            raise TypeError("name")
        if native is None:
            # A cut-down export: only its name tells it from others.
            chat_id = f"name:{digest(name or '')}"
            self.conversion.note("chat without an id: a digest of its name stands for it")
        else:
            chat_id = f"{PEERS.get(kind, kind)}{int(native)}"
        if kind == "bot_chat":
            self.bots.add(chat_id)
        if kind in DIRECT and native is not None and kind != "saved_messages":
            self.names.setdefault(chat_id, name)
        head.pop("about", None)
        extra = {"type": kind} | ({} if self.guarded else head)
        return _Chat(kind, chat_id, place, name, extra)

    def on_message(self, chat: _Chat, message: Json, ordinals: Ordinals) -> None:
        """Write a message; takes out of it what has a field, so that the rest goes to extra."""
        take = message.pop
        number = take("id", None)
        native_kind = take("type", "message")
        local = take("date", None)
        unix = take("date_unixtime", None)
        if unix is None and local is None:
            self.conversion.leave_out(
                "messages", f"{word(native_kind)}, without a time or a sender"
            )
            return
        at = int(unix) if unix is not None else self.unix(local)
        occurred_at = unix_time(at)
        spoken = native_kind == "message"
        sender_name = take("from" if spoken else "actor", None)
        sender = take("from_id" if spoken else "actor_id", None)
        member = self.member(chat, sender, sender_name)
        names = self.names
        if names.get(member) is None or sender_name != names[member]:
            self.name(member, sender_name)
        if sender_name is not None:
            known = chat.ids.get(sender_name)
            if known is None:
                chat.ids[sender_name] = {member}
            else:
                known.add(member)
        text, entities = self.text(take("text", ""), take("text_entities", None))
        if number is None:
            key = digest(occurred_at, member, text)
            day = datetime.fromtimestamp(at, UTC).date()
            message_id = f"{chat.id}:{occurred_at}:{key}:{ordinals.next(day, key)}"
        else:
            message_id = f"{chat.id}:{int(number)}"
        record: Json = {
            "message_id": message_id,
            "group_id": chat.id,
            "member_id": member,
            "occurred_at": occurred_at,
            "kind": self.kind(message, entities) if spoken else "system",
        }
        if chat.first is None or at < chat.first:
            chat.first = at
        if at > chat.last:
            chat.last = at
        reply = take("reply_to_message_id", None)
        if reply is not None:
            peer = message.get("reply_to_peer_id")
            where = peer if isinstance(peer, str) and _PEER.fullmatch(peer) else chat.id
            record["reply_to_message_id"] = f"{where}:{int(reply)}"
        if not text and "poll" in message:
            text = str(message["poll"]["question"])
        if text or spoken:
            record["text_length"] = len(text)
        if text and not self.no_text:
            record["text"] = text
        if entities is not None:
            mentions = [
                f"user{int(part['user_id'])}"
                for part in entities
                if part["type"] == "mention_name" and part.get("user_id")
            ]
            if mentions:
                record["mentions"] = list(dict.fromkeys(mentions))
        if not spoken:
            self.on_action(chat, record, at, member, sender_name, message)
        if "reactions" in message:
            self.on_reactions(chat, record, at, local, message)
        if "edited" in message and "edited_unixtime" in message:
            del message["edited"]
        if self.guarded:
            message = {name: value for name, value in message.items() if name in HARMLESS}
        elif entities is not None and any(part["type"] != "plain" for part in entities):
            message["text_entities"] = entities
        if message:
            record["telegram"] = message
        self.write_message(record)

    def unix(self, local: str) -> int:
        """Seconds since 1970 of an export's wall clock."""
        if self.zone is None:
            raise ConversionError(
                f"{self.path}: {self.where}: an old export, whose times are of a wall clock only: "
                "say in which zone it was made (--zone)"
            )
        moment = datetime.fromisoformat(local)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return int(moment.timestamp())

    def member(self, chat: _Chat, sender: Any, name: str | None) -> str:
        """The sender's id in Telegram's own form, or a stable stand-in."""
        if isinstance(sender, str) and sender:
            return sender
        if isinstance(sender, int):
            return f"{OLD_PEERS[sender >> 32]}{sender & 0xFFFFFFFF}"
        if sender is not None:
            raise TypeError("from_id")
        if name is not None:
            self.conversion.note("sender without an id: a digest of the name stands for it")
            return f"name:{digest(name)}"
        if chat.kind.endswith("channel"):
            return chat.id
        self.conversion.note("message without a sender taken as Telegram's own")
        return TELEGRAM

    def name(self, member: str, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError("from")
        if name is not None or member not in self.names:
            self.names[member] = name

    def text(self, text: Any, entities: Any) -> tuple[str, list[Json] | None]:
        """The words, and their parts where they are more than plain words."""
        if type(text) is str:
            if not entities or (len(entities) == 1 and entities[0]["type"] == "plain"):
                return text, None
            return text, entities
        parts = [part if type(part) is dict else {"type": "plain", "text": part} for part in text]
        words = "".join([part["text"] for part in parts])
        return words, entities or parts

    def kind(self, message: Json, entities: list[Json] | None) -> str:
        if "photo" in message:
            return "image"
        if "file" in message or "media_type" in message:
            media = message.get("media_type")
            if media is not None:
                return MEDIA.get(media, "file")
            return kind_of_mime(message.get("mime_type") or "")
        if entities is not None and any(part["type"] in _ONLY_LINK for part in entities):
            rest = [part for part in entities if part["type"] not in _ONLY_LINK]
            return "text" if any(part["text"].strip() for part in rest) else "link"
        return "text"

    def on_action(
        self, chat: _Chat, record: Json, at: int, actor: str, actor_name: str | None, message: Json
    ) -> None:
        """Take note of what a service message says about members and the chat."""
        action = message.get("action")
        if action in ("pin_message", "set_same_chat_wallpaper") and "message_id" in message:
            record["reply_to_message_id"] = f"{chat.id}:{int(message['message_id'])}"
        title = message.get("title")
        if action in ("create_group", "create_channel", "edit_group_title") and title:
            chat.titles.append((at, str(title)))
        change: Json = {
            "event_id": record["message_id"],
            "group_id": chat.id,
            "member_id": actor,
            "action": "join",
            "occurred_at": record["occurred_at"],
        }
        person = not actor.startswith(("channel", "chat")) and actor != TELEGRAM
        match action:
            case "create_group" | "create_channel" if person:
                chat.founder = actor
                self.write_membership(change | {"role": "owner"})
                self.by_name(chat, change, message, actor, actor_name)
            case "invite_members":
                self.by_name(chat, change, message, actor if person else None, actor_name)
            case "join_group_by_link" if person:
                inviter = message.get("inviter")
                change["via"] = "link"
                if inviter:
                    chat.named.append(_Named(str(inviter), change, actor, None))
                else:
                    self.write_membership(change)
            case "join_group_by_request" if person:
                self.write_membership(change | {"via": "link"})
            case "remove_members":
                chat.leaves = True
                change["action"] = "leave"
                self.by_name(chat, change, message, actor if person else None, actor_name)
            case "migrate_to_supergroup":
                chat.migrated_at = at

    def by_name(
        self, chat: _Chat, change: Json, message: Json, actor: str | None, actor_name: str | None
    ) -> None:
        """Keep a change of members that the export names but does not number, till all is read."""
        for number, name in enumerate(message.get("members") or ()):
            record = change | {"event_id": f"{change['event_id']}:{number}"}
            if name is None:
                self.conversion.note("membership of a deleted account that has no name: not known")
            else:
                chat.named.append(_Named(str(name), record, actor, actor_name))

    def on_reactions(self, chat: _Chat, record: Json, at: int, local: Any, message: Json) -> None:
        counts = []
        for reaction in message["reactions"]:
            what = reaction.get("emoji") or reaction.get("document_id") or reaction["type"]
            recent = reaction.pop("recent", None) or ()
            total = max(int(reaction.get("count") or 0), len(recent))
            self.conversion.read("reactions", total)
            for entry in recent:
                member = self.member(chat, entry["from_id"], entry.get("from"))
                self.name(member, entry.get("from"))
                extra: Json = {"reaction": what}
                when, exact = self.reaction_time(at, local, entry.get("date"))
                if not exact:
                    extra["time_is_of_the_message"] = True
                self.write_message(
                    {
                        "message_id": f"{record['message_id']}:{what}:{member}",
                        "group_id": chat.id,
                        "member_id": member,
                        "occurred_at": when,
                        "kind": "reaction",
                        "reply_to_message_id": record["message_id"],
                        "telegram": extra,
                    }
                )
            unnamed = total - len(recent)
            if unnamed:
                chat.unnamed_reactions = True
                self.conversion.leave_out("reactions", "the export does not say whose", unnamed)
            counts.append(reaction)
        message["reactions"] = counts

    def reaction_time(self, at: int, local: Any, own: Any) -> tuple[str, bool]:
        """A reaction's time: its wall clock, less the offset that its message shows."""
        if own is None:
            return unix_time(at), False
        if self.zone is not None:
            return zoned_time(datetime.fromisoformat(own), self.zone), True
        if local is None:
            return unix_time(at), False
        self.conversion.note("reaction timed by its message's offset from UTC")
        seconds = datetime.fromisoformat(own) - datetime.fromisoformat(local)
        return unix_time(at + int(seconds.total_seconds())), True

    def finish_chat(self, chat: _Chat) -> None:
        if chat.first is None:
            self.conversion.leave_out("chats", "without a message")
            return
        self.latest = max(self.latest, chat.last)
        for change in chat.named:
            self.place_by_name(chat, change)
        self.write_groups(chat, chat.first)

    def place_by_name(self, chat: _Chat, change: _Named) -> None:
        """Write a change of membership; the name's only sender in the chat is who is meant."""
        record = change.record
        found = chat.ids.get(change.name, set())
        if record.get("via") == "link":
            if len(found) == 1:
                record["inviter_member_id"] = next(iter(found))
            self.write_membership(record)
            return
        if change.actor is not None and change.name == change.actor_name:
            member = change.actor
        elif len(found) == 1:
            member = next(iter(found))
        elif found:
            self.conversion.note("membership of a name that several senders have: not known")
            return
        else:
            member = f"name:{digest(change.name)}"
            self.names.setdefault(member, change.name)
            self.conversion.note("member known by name only: a digest of the name stands for it")
        record["member_id"] = member
        if change.actor is not None and change.actor != member and record["action"] == "join":
            record |= {"inviter_member_id": change.actor, "via": "invite"}
        self.write_membership(record | {"telegram": {"identified_by": "name"}})

    def write_groups(self, chat: _Chat, first: int) -> None:
        """A state for the first message, one for each title, one for the export's last moment."""
        observes = []
        if chat.kind == "private_group" or chat.leaves:
            observes.append("leave")
        if not (chat.kind.endswith("channel") or chat.unnamed_reactions):
            observes.append("reaction")
        base: Json = {
            "group_id": chat.id,
            "created_at": unix_time(first),
            "kind": "other",
            "observes": observes,
        }
        if chat.founder is not None:
            base["owner_member_id"] = chat.founder
        # A direct chat is named after a person.
        named = chat.kind not in DIRECT and not chat.id.startswith("name:")
        states: list[tuple[int, str | None]] = [*sorted(chat.titles)] if named else []
        if not states or states[0][0] > first:
            states.insert(0, (first, chat.name if not states and named else None))
        closed = chat.kind == "private_group" and chat.migrated_at == chat.last
        if closed or (named and chat.name != states[-1][1]):
            states.append((chat.last, chat.name))
        for number, (at, title) in enumerate(states, start=1):
            state = base | {"updated_at": unix_time(at)}
            if title is not None:
                state["name"] = title
            if number == len(states):
                if closed:
                    state["closed_at"] = unix_time(chat.last)
                state["telegram"] = chat.extra
            self.write_group(state)

    def on_profile(self, profile: Json, kind: str) -> None:
        """The account's owner, or a contact."""
        self.place = kind
        self.conversion.read(kind)
        user = profile.pop("user_id", None)
        if not user:
            self.conversion.leave_out(kind, "without a user id")
            return
        self.latest = max(self.latest, int(profile.get("date_unixtime") or 0))
        self.profiles[f"user{int(user)}"] = profile

    def write_members(self) -> None:
        """Everyone seen, as the export's last moment knows them."""
        if not self.latest:
            self.conversion.leave_out("accounts", "no moment is known", len(self.profiles))
            return
        updated_at = unix_time(self.latest)
        for member in self.profiles:
            self.names.setdefault(member, None)
        for member, name in self.names.items():
            profile = self.profiles.pop(member, {})
            record: Json = {"member_id": member, "updated_at": updated_at}
            if not self.no_names:
                full = f"{profile.pop('first_name', '')} {profile.pop('last_name', '')}".strip()
                record["display_name"] = full or name
                record["phone"] = profile.pop("phone_number", None)
            if member in self.bots or member == TELEGRAM or not member.startswith(("user", "name")):
                record["is_bot"] = True
            if not self.guarded:
                record["telegram"] = profile
            self.write_member({key: value for key, value in record.items() if value})
