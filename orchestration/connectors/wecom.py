"""WeCom (企业微信): archived chats, customer groups, callback events → group logs.

docs/connectors/wecom.md has the mapping. What a JSON value or an XML event is, its own keys say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import orjson
from lxml import etree

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
    millis,
    read_json,
    relative,
    remainder,
    shape,
    text_of,
)

# A state that is only inferred is older than any that WeCom itself gave.
EPOCH = "2016-01-01T00:00:00Z"
CHUNK_BYTES = 256 * 1024
KINDS = {
    "text": "text",
    "markdown": "text",
    "mixed": "text",
    "chatrecord": "text",
    "image": "image",
    "emotion": "image",
    "voice": "voice",
    "meeting_voice_call": "voice",
    "voiptext": "voice",
    "video": "video",
    "sphfeed": "video",
    "file": "file",
    "docmsg": "file",
    "qydiskfile": "file",
    "voip_doc_share": "file",
    "link": "link",
    "news": "link",
    "weapp": "link",
    "card": "link",
    "location": "link",
    "calendar": "link",
    "meeting": "link",
    "todo": "link",
    "vote": "link",
    "collect": "link",
    "redpacket": "link",
    "external_redpacket": "link",
    "revoke": "system",
    "agree": "system",
    "disagree": "system",
    "meeting_notification": "system",
}
VIA = {1: "invite", 2: "link", 3: "qr"}
JOIN_SCENES = {"0": "invite", "3": "qr"}
MESSAGE_FIELDS = {"msgid", "from", "tolist", "roomid", "msgtime", "text", "markdown", "info"}
HARMLESS_MESSAGE = {"action", "msgtype", "seq"}
HARMLESS_GROUP = {"member_version", "status"}
_OUTSIDER = re.compile(r"w[mo][A-Za-z0-9_-]{20,}")
_ROBOT = re.compile(r"wb[A-Za-z0-9_-]{20,}")


class WeCom(Connector):
    """Reads whatever of WeCom's JSON and XML a folder holds."""

    name = "wecom"
    title = "a WeCom export"
    summary = "file or folder of decrypted 会话存档, 客户群 details and callback events (JSON, XML)"
    options: ClassVar[Mapping[str, str]] = {
        "employees": "staff (unless given) or members: what the company's own people count as"
    }

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        employees = conversion.options.more.get("employees", "staff")
        if employees not in ("staff", "members"):
            raise ConversionUsageError(f"employees are staff or members, not {employees!r}")
        _Company(conversion, staff=employees == "staff").run()


@dataclass
class _Group:
    """A chat: what its detail says, and what messages and events tell of its members."""

    detail: Json | None = None
    created: int | None = None
    closed: int | None = None
    owner: str | None = None
    first: int | None = None
    listed: set[str] | None = None
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """(milliseconds, join or leave, member)"""
    seen: dict[str, int] = field(default_factory=dict)
    """Member → milliseconds of the first message that they sent or were sent"""


class _Company:
    def __init__(self, conversion: Conversion, *, staff: bool) -> None:
        self.conversion = conversion
        self.staff = staff
        self.groups: dict[str, _Group] = {}
        self.members: dict[str, Json] = {}
        self.latest = 0
        self.sees_leaves = False
        self.joins: set[str] = set()
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        conversion = self.conversion
        files = export_files(conversion.path, (".json", ".jsonl", ".ndjson", ".xml"))
        conversion.total_bytes = sum(path.stat().st_size for path in files)
        values = 0
        for path in files:
            xml = path.name.lower().endswith(".xml")
            for place, value in self.events(path) if xml else read_json(conversion, path):
                values += 1
                with shape(conversion, place, "WeCom"):
                    self.on_value(value, place)
        if not values:
            raise ConversionError(f"{conversion.path}: no JSON or XML in it")
        for group_id, group in sorted(self.groups.items()):
            with shape(conversion, f"group {group_id}", "WeCom"):
                self.finish_group(group_id, group)
        for member_id, member in sorted(self.members.items()):
            with shape(conversion, f"member {member_id}", "WeCom"):
                self.finish_member(member_id, member)

    def events(self, path: Path) -> Iterator[tuple[str, Json]]:
        """The `<xml>` elements of a file, which may hold many one after the other."""
        name = relative(self.conversion, path)
        parser = etree.XMLPullParser(
            events=("end",), resolve_entities=False, no_network=True, load_dtd=False
        )
        number = 0
        try:
            parser.feed(b"<events>")
            with path.open("rb") as stream:
                head = True
                while block := stream.read(CHUNK_BYTES):
                    self.conversion.advance(len(block), name)
                    if head:
                        block = re.sub(rb"^(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>)?", b"", block)
                        head = False
                    parser.feed(block)
                    for event in _finished(parser):
                        number += 1
                        yield f"{name}: event {number}", event
            parser.feed(b"</events>")
            parser.close()
            for event in _finished(parser):
                number += 1
                yield f"{name}: event {number}", event
        except etree.XMLSyntaxError as error:
            line = error.lineno or 0
            raise ConversionError(
                f"{self.conversion.path}: {name}: line {line}: after event {number}: no XML"
            ) from error

    def on_value(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise ConversionError(f"{self.conversion.path}: {place}: no object")
        if value.get("errcode"):
            self.conversion.read("refused answers")
            self.conversion.leave_out("refused answers", f"errcode {word(str(value['errcode']))}")
        elif "chatdata" in value:
            for item in value["chatdata"]:
                self.on_archived(item, place)
        elif "msgid" in value or "encrypt_chat_msg" in value:
            self.on_archived(value, place)
        elif "group_chat" in value:
            self.on_group_chat(value["group_chat"], place)
        elif "group_chat_list" in value:
            for chat in value["group_chat_list"]:
                self.conversion.read("group statuses")
                group = self.groups.setdefault(
                    text_of(self.conversion, chat, "chat_id", place), _Group()
                )
                group.detail = {"status": chat.get("status")} | (group.detail or {})
        elif "roomid" in value and "members" in value:
            self.on_room(value, place)
        elif "external_contact" in value:
            self.on_contact(value, place)
        elif "external_contact_list" in value:
            for contact in value["external_contact_list"]:
                self.on_contact(contact, place)
        elif "userlist" in value:
            for user in value["userlist"]:
                self.on_user(user, place)
        elif "Event" in value:
            self.on_event(value, place)
        elif "items" in value:
            self.conversion.read("statistics", len(value["items"]))
            self.conversion.leave_out(
                "statistics", "totals; the marts count the events", len(value["items"])
            )
        else:
            raise ConversionError(f"{self.conversion.path}: {place}: nothing known in it")

    def on_archived(self, item: Json, place: str) -> None:
        """A record of the archive: decrypted, wrapped in its envelope or bare, or not."""
        message = item.get("msg") or item.get("message") or item
        if isinstance(message, str):
            message = orjson.loads(message)
        self.conversion.read("messages")
        if "action" not in message:
            self.conversion.leave_out("messages", "still encrypted")
            return
        if message["action"] == "switch":
            self.conversion.leave_out("messages", "switch: somebody changed the company")
            return
        if "seq" in item and "seq" not in message:
            message = message | {"seq": item["seq"]}
        self.on_message(message, place)

    def on_message(self, message: Json, place: str) -> None:
        conversion = self.conversion
        message_id = text_of(conversion, message, "msgid", place)
        sender = text_of(conversion, message, "from", place)
        time = int(message["msgtime"])
        occurred_at = millis(time)
        receivers = message.get("tolist") or []
        people = [sender, *receivers]
        if not all(isinstance(person, str) for person in people):
            raise TypeError("tolist")
        if message.get("roomid"):
            group_id = text_of(conversion, message, "roomid", place)
        else:
            group_id = "direct:" + ",".join(sorted(set(people)))
        group = self.groups.setdefault(group_id, _Group())
        self.latest = max(self.latest, time)
        group.first = time if group.first is None else min(group.first, time)
        native = message.get("msgtype") or ""
        kind = KINDS.get(native)
        if kind is None:
            kind = "system"
            conversion.note(f"message of unknown type {word(native)} taken as system")
        if message["action"] == "recall":
            kind = "system"
        record: Json = {
            "message_id": message_id,
            "group_id": group_id,
            "member_id": sender,
            "occurred_at": occurred_at,
            "kind": kind,
        }
        if kind != "system":
            for person in people:
                if group.seen.get(person, time + 1) > time:
                    group.seen[person] = time
            text = words(message)
            record["text_length"] = len(text)
            if text and not conversion.options.no_text:
                record["text"] = text
        for person in people:
            self.member(person)
        recalled = (message.get("revoke") or {}).get("pre_msgid")
        if recalled:
            record["reply_to_message_id"] = recalled
        record["wecom"] = remainder(conversion, message, MESSAGE_FIELDS, HARMLESS_MESSAGE)
        self.write_message(record)

    def on_group_chat(self, chat: Json, place: str) -> None:
        """A customer group as `externalcontact/groupchat/get` gives it."""
        self.conversion.read("groups")
        group_id = text_of(self.conversion, chat, "chat_id", place)
        group = self.groups.setdefault(group_id, _Group())
        members = chat.pop("member_list", None) or []
        admins = {admin["userid"] for admin in chat.pop("admin_list", None) or []}
        chat.pop("chat_id")
        group.detail = (group.detail or {}) | chat
        group.created = int(chat["create_time"]) * 1000
        group.owner = chat.get("owner") or group.owner
        self.latest = max(self.latest, group.created)
        group.listed = set()
        for member in members:
            self.conversion.read("group members")
            member_id = text_of(self.conversion, member, "userid", place)
            group.listed.add(member_id)
            self.member(member_id, member, employee=member.get("type") == 1)
            role = "admin" if member_id in admins else "member"
            role = "owner" if member_id == group.owner else role
            inviter = (member.get("invitor") or {}).get("userid")
            more: Json = {"role": role}
            if inviter:
                more["inviter_member_id"] = inviter
            if member.get("join_scene") in VIA:
                more["via"] = VIA[member["join_scene"]]
            native = remainder(
                self.conversion,
                {name: member[name] for name in ("join_scene", "state") if name in member},
                (),
                {"join_scene", "state"},
            )
            if native:
                more["wecom"] = native
            self.change(group_id, member_id, "join", int(member["join_time"]) * 1000, more)

    def on_room(self, room: Json, place: str) -> None:
        """An inner group as `msgaudit/groupchat/get` gives it, with its `roomid` added."""
        self.conversion.read("groups")
        group_id = text_of(self.conversion, room, "roomid", place)
        group = self.groups.setdefault(group_id, _Group())
        members = room.pop("members")
        group.created = int(room.pop("room_create_time")) * 1000
        group.owner = room.pop("creator", None)
        self.latest = max(self.latest, group.created)
        detail = {name: value for name, value in room.items() if name not in ("roomid", "errmsg")}
        detail["name"] = detail.pop("roomname", None)
        group.detail = (group.detail or {}) | detail
        group.listed = set()
        for member in members:
            self.conversion.read("group members")
            member_id = text_of(self.conversion, member, "memberid", place)
            group.listed.add(member_id)
            self.member(member_id)
            role = "owner" if member_id == group.owner else "member"
            self.change(group_id, member_id, "join", int(member["jointime"]) * 1000, {"role": role})

    def on_contact(self, value: Json, place: str) -> None:
        """A customer as `externalcontact/get` gives it."""
        self.conversion.read("contacts")
        contact = value["external_contact"]
        member_id = text_of(self.conversion, contact, "external_userid", place)
        follows = value.get("follow_user") or value.get("follow_info") or []
        follows = follows if isinstance(follows, list) else [follows]
        phones = [phone for follow in follows for phone in follow.get("remark_mobiles") or []]
        known: Json = {name: contact[name] for name in ("name", "unionid") if contact.get(name)}
        if phones:
            known["mobile"] = phones[0]
        known["contact"] = {
            name: item
            for name, item in contact.items()
            if name not in ("name", "unionid", "external_userid")
        }
        known["follow_user"] = follows
        self.member(member_id, known)

    def on_user(self, user: Json, place: str) -> None:
        """An employee as `user/list` gives them."""
        self.conversion.read("employees")
        self.member(text_of(self.conversion, user, "userid", place), user, employee=True)

    def on_event(self, event: Json, place: str) -> None:
        """A callback: `change_external_chat` tells of groups, anything else of no log."""
        self.conversion.read("events")
        kind, change = event["Event"], event.get("ChangeType")
        if kind != "change_external_chat":
            what = f"{word(kind)} {word(change)}" if change else word(kind)
            self.conversion.leave_out("events", f"no log holds {what}")
            return
        group_id = text_of(self.conversion, event, "ChatId", place)
        group = self.groups.setdefault(group_id, _Group())
        time = int(event["CreateTime"]) * 1000
        self.latest = max(self.latest, time)
        if change == "create":
            group.created = group.created or time
        elif change == "dismiss":
            group.closed = max(group.closed or 0, time)
        elif event.get("UpdateDetail") in ("add_member", "del_member"):
            self.on_member_event(group_id, event, time)
        else:
            detail = event.get("UpdateDetail")
            self.conversion.leave_out(
                "events", f"the event does not say what came of {word(detail)}"
            )

    def on_member_event(self, group_id: str, event: Json, time: int) -> None:
        joined = event["UpdateDetail"] == "add_member"
        members = event.get("MemChangeList") or []
        members = members.get("Item", []) if isinstance(members, dict) else members
        members = [members] if isinstance(members, str) else members
        if not members:
            self.conversion.leave_out("events", "the event does not name the members")
            return
        self.sees_leaves = self.sees_leaves or not joined
        for member_id in members:
            self.member(member_id)
            more: Json = {}
            scene = str(event.get("JoinScene"))
            if joined and scene in JOIN_SCENES:
                more["via"] = JOIN_SCENES[scene]
            if not joined and "QuitScene" in event:
                more["wecom"] = {"QuitScene": event["QuitScene"]}
            self.change(group_id, member_id, "join" if joined else "leave", time, more)

    def member(self, member_id: str, known: Json | None = None, *, employee: bool = False) -> None:
        """Remember a member, and what is known of them."""
        if not isinstance(member_id, str) or not member_id:
            raise TypeError("member")
        member = self.members.setdefault(member_id, {})
        if employee:
            member["employee"] = True
        for name in ("name", "unionid", "mobile", "contact", "follow_user", "group_nickname"):
            if known and known.get(name):
                member[name] = known[name]
        for name in ("department", "position", "email", "gender", "status"):
            if known and known.get(name) is not None:
                member.setdefault("user", {})[name] = known[name]

    def change(self, group_id: str, member_id: str, action: str, time: int, more: Json) -> None:
        self.latest = max(self.latest, time)
        event_id = f"{group_id}:{action}:{member_id}:{time // 1000}"
        if event_id in self.joins:
            self.conversion.note("join told by a group's detail and by an event")
            return
        self.joins.add(event_id)
        self.groups[group_id].changes.append((time, action, member_id))
        self.write_membership(
            {
                "event_id": event_id,
                "group_id": group_id,
                "member_id": member_id,
                "action": action,
                "occurred_at": millis(time),
                **more,
            }
        )

    def finish_group(self, group_id: str, group: _Group) -> None:
        created = group.created if group.created is not None else group.first
        if created is None:
            created = min((time for time, _, _ in group.changes), default=None)
        if created is None:
            self.conversion.leave_out("group statuses", "a group without a detail or a message")
            return
        detail = group.detail or {}
        record: Json = {
            "group_id": group_id,
            "updated_at": millis(self.latest) if group.created is not None else EPOCH,
            "created_at": millis(created),
            "kind": "other",
            "observes": ["leave"] if self.sees_leaves else [],
        }
        if group.owner:
            record["owner_member_id"] = group.owner
        if detail.get("name"):
            record["name"] = detail["name"]
        if group.closed:
            record["closed_at"] = millis(group.closed)
            record["updated_at"] = millis(max(self.latest, group.closed))
        extra = remainder(
            self.conversion, detail, {"name", "owner", "create_time", "chat_id"}, HARMLESS_GROUP
        )
        if group.created is None:
            extra["created_at_inferred"] = True
            self.conversion.note("group known by its messages alone, created at the first")
        record["wecom"] = extra
        self.write_group(record)
        self.reconcile(group_id, group)

    def reconcile(self, group_id: str, group: _Group) -> None:
        """Add the joins that messages prove and the leaves that the member list proves."""
        joined = {member for _, action, member in group.changes if action == "join"}
        state = {member: action for _, action, member in sorted(group.changes)}
        for member, time in sorted(group.seen.items()):
            if member not in joined:
                self.infer(group_id, member, "join", time, "seen")
                state.setdefault(member, "join")
        if group.listed is None:
            return
        for member, action in sorted(state.items()):
            if action == "join" and member not in group.listed:
                self.infer(group_id, member, "leave", self.latest, "not_listed")

    def infer(self, group_id: str, member_id: str, action: str, time: int, why: str) -> None:
        self.write_membership(
            {
                "event_id": f"{group_id}:{why}:{member_id}",
                "group_id": group_id,
                "member_id": member_id,
                "action": action,
                "occurred_at": millis(time),
                "wecom": {"inferred_from": why},
            }
        )
        source = "messages" if action == "join" else "the member list"
        self.conversion.note(f"{action} inferred from {source}")

    def finish_member(self, member_id: str, member: Json) -> None:
        known = bool(member.keys() - {"employee"})
        record: Json = {
            "member_id": member_id,
            "updated_at": millis(self.latest) if known else EPOCH,
        }
        if not self.conversion.options.no_names:
            record |= {
                field: member[name]
                for field, name in (("display_name", "name"), ("phone", "mobile"))
                if member.get(name)
            }
        if member.get("unionid"):
            record["union_id"] = member["unionid"]
        if _ROBOT.fullmatch(member_id):
            record["is_bot"] = True
        elif self.staff and (member.get("employee") or not _OUTSIDER.fullmatch(member_id)):
            record["is_staff"] = True
        extra = remainder(self.conversion, member, {"name", "mobile", "unionid", "employee"}, ())
        if extra:
            record["wecom"] = extra
        self.write_member(record)


def _finished(parser: Any) -> Iterator[Json]:
    """The events that the parser has read to their end; it forgets them."""
    for _, element in parser.read_events():
        if element.tag == "xml":
            event = _of_xml(element)
            element.getparent().remove(element)
            yield event


def _of_xml(element: Any) -> Json:
    """An event's elements by name; a list of items as a list."""
    return {
        child.tag: [item.text or "" for item in child] if len(child) else (child.text or "")
        for child in element
    }


def words(message: Json) -> str:
    """What a message says, where it says something in words."""
    match message.get("msgtype"):
        case "text":
            text = message["text"]["content"]
        case "markdown":
            text = (message.get("info") or message.get("markdown") or {}).get("content") or ""
        case "mixed":
            parts = [
                orjson.loads(item["content"]).get("content") or ""
                for item in message["mixed"]["item"]
                if item.get("type") == "text"
            ]
            text = "\n".join(parts)
        case _:
            return ""
    if not isinstance(text, str):
        raise TypeError("text")
    return text
