"""WhatsApp chat export (`.txt`, or the zip of it) → group logs.

docs/connectors/whatsapp.md has the mapping. The file is read twice: for its style of dates and
times, then for its messages.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import IO, Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

from orchestration.connectors.base import (
    BROKEN_ZIP,
    Connector,
    Conversion,
    ConversionError,
    ConversionUsageError,
    require_sane,
    why_broken,
)
from orchestration.connectors.chats import ONLY_LINK, Ordinals, digest, kind_of_file, zoned_time

Json = dict[str, Any]

WHATSAPP = "whatsapp"
ORDERS = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}
"""Where year, month and day stand among a date's three numbers."""
FIRST_YEAR, LAST_YEAR = 2009, 2099
LINE_BYTES = 16 * 1024 * 1024
PM = {"p", "下午", "晚上", "오후", "午後", "م"}
NOON = {"中午"}

_MARKS = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_SEPARATOR = rf"[{_MARKS}]*(?:\. ?|/|-)[{_MARKS}]*"
_HEAD = re.compile(
    rf"[{_MARKS}]*(?P<open>\[?)[{_MARKS}]*"
    rf"(?P<a>\d{{1,4}})(?P<separator>{_SEPARATOR})(?P<b>\d{{1,2}}){_SEPARATOR}(?P<c>\d{{1,4}})"
    rf"(?P<comma>\.?[,،]?)[\s{_MARKS}]+"
    r"(?P<before>上午|下午|凌晨|早上|中午|晚上|오전|오후|午前|午後)?\s?"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d))?"
    r"(?P<after>\s?(?:[ap]\.?\s?m\.?|[صم]))?"
    rf"[{_MARKS}]*(?P<end>\] ?| - |: )",
    re.IGNORECASE,
)
_BIDI = re.compile(f"[{_MARKS}]")
_FILE = re.compile(
    r"<[^<>:]{2,30}: (?P<inner>[^<>]+\.\w{2,5})>"
    r"|(?P<outer>(?:IMG|VID|AUD|PTT|STK|DOC)-\d{8}-WA\d+\.\w{2,5}) \([^()]+\)"
)
_OMITTED = re.compile(
    r"<(?:Media omitted|Medien ausgeschlossen|Multimedia omitido|Archivo omitido|Mídia oculta"
    r"|Arquivo de mídia oculto|Médias omis|Media omessi|省略多媒体文件|媒体文件已忽略"
    r"|媒體已略去|メディアなし)>"
    r"|(?P<what>image|video|audio|sticker|GIF|document|Contact card) omitted",
    re.IGNORECASE,
)
_OMITTED_KINDS = {
    "image": "image",
    "sticker": "image",
    "video": "video",
    "gif": "video",
    "audio": "voice",
}
_DELETED = re.compile(
    r"(?:This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht"
    r"|Du hast diese Nachricht gelöscht|Se eliminó este mensaje|Eliminaste este mensaje"
    r"|Mensagem apagada|Você apagou esta mensagem|此消息已删除|你已删除此消息|您已删除此消息)\.?"
)
_EDITED = re.compile(
    rf"\s?[{_MARKS}]*<(?:This message was edited|Diese Nachricht wurde bearbeitet"
    r"|Se editó este mensaje\.?|Mensagem editada|此消息已编辑|已编辑此消息)>\s*$"
)
_MENTION = re.compile("@\u2068([^\u2069]*)\u2069")
_NUMBER = re.compile(r"\+?[\d\s().-]{7,}")
_ENCRYPTED = re.compile(
    r"(?:Messages and calls are end-to-end encrypted|Messages you send to this group are now"
    r"|Messages to this (?:chat|group) .*are now secured|Nachrichten und Anrufe sind"
    r"|Los mensajes y las llamadas están|As mensagens e (?:as )?ligações|消息和通话)"
)
_TITLED = [
    re.compile(pattern)
    for pattern in (
        r"(?P<who>.+?) created (?:this )?group [\"“](?P<title>.*)[\"”]",
        r"(?P<who>.+?) changed the (?:subject|group name) (?:from [\"“].*[\"”] )?"
        r"to [\"“](?P<title>.*)[\"”]",
        r"(?P<who>.+?) hat die Gruppe [\"„“](?P<title>.*)[\"“”] erstellt\.?",
        r"(?P<who>.+?) hat den (?:Betreff|Gruppennamen) (?:von .* )?zu "
        r"[\"„“](?P<title>.*)[\"“”] geändert\.?",
        r"(?P<who>.+?) creó el grupo [\"“](?P<title>.*)[\"”]\.?",
        r"(?P<who>.+?) criou o grupo [\"“](?P<title>.*)[\"”]\.?",
        r"(?P<who>.+?)\s?(?:创建了群组|建立了群組)\s?[\"“「](?P<title>.*)[\"”」]",
    )
]
_CREATED = re.compile(r"created|erstellt|creó|criou|创建|建立")
_CHANGES = [
    (action, re.compile(pattern))
    for action, patterns in {
        "add": (
            r"(?P<who>.+?) added (?P<whom>.+)",
            r"(?P<whom>.+?) (?:was|were) added",
            r"(?P<who>.+?) hat (?P<whom>.+) hinzugefügt\.?",
            r"(?P<whom>.+?) wurdest? hinzugefügt\.?",
            r"(?P<who>.+?) añadió a (?P<whom>.+)",
            r"(?P<who>.+?) adicionou (?P<whom>.+)",
            r"(?P<who>.+?)\s?(?:添加了|新增了)\s?(?P<whom>.+)",
        ),
        "remove": (
            r"(?P<who>.+?) removed (?P<whom>.+)",
            r"(?P<whom>.+?) (?:was|were) removed",
            r"(?P<who>.+?) hat (?P<whom>.+) entfernt\.?",
            r"(?P<who>.+?) eliminó a (?P<whom>.+)",
            r"(?P<who>.+?) removeu (?P<whom>.+)",
            r"(?P<who>.+?)\s?移除了\s?(?P<whom>.+)",
        ),
        "join": (
            r"(?P<whom>.+?) joined (?:using|via|from|the group|this group).*",
            r"(?P<whom>.+?) ist (?:der Gruppe )?(?:über|mit|mithilfe).* beigetreten\.?",
            r"(?P<whom>.+?) se unió .*enlace.*",
            r"(?P<whom>.+?) entrou usando .*",
            r"(?P<whom>.+?)\s?(?:使用|通过|透過).*(?:链接|連結)加入.*",
        ),
        "leave": (
            r"(?P<whom>.+?) left(?: the group)?\.?",
            r"(?P<whom>.+?) hat die Gruppe verlassen\.?",
            r"(?P<whom>.+?) (?:salió del grupo|ha salido|salió)\.?",
            r"(?P<whom>.+?) saiu(?: do grupo)?\.?",
            r"(?P<whom>.+?)\s?(?:退出了群组|退出了群組|离开了|已退出群组|已離開)",
        ),
        "admin": (
            r"(?P<whom>.+?)(?: is|'s|’s|'re|’re| are) now an admin\.?",
            r"(?P<whom>.+?) (?:ist|bist) jetzt (?:ein )?Admin.*",
        ),
        "plain": (r"(?P<whom>.+?)(?: is|'s|’s|'re|’re| are) no longer an admin\.?",),
    }.items()
    for pattern in patterns
]
_LIST = re.compile(r", (?:and )?| and | und | y | e |、|和")
YOU = {"you", "du", "tú", "usted", "você", "你", "您"}
_EXPORT_NAME = re.compile(
    r"(?:WhatsApp Chat (?:with|-)|WhatsApp Chat mit|Chat de WhatsApp con|Conversa do WhatsApp com"
    r"|与|WhatsApp 对话 -)\s*"
)
_COPY = re.compile(r"\s*\(\d+\)$")


class WhatsApp(Connector):
    """Reads a chat's messages, media placeholders and the lines of the system."""

    name = "whatsapp"
    title = "a WhatsApp export"
    summary = "a chat's .txt, or the zip that holds it"
    takes_zone = True
    options: ClassVar[Mapping[str, str]] = {
        "chat": "the chat's id, where parts of one chat have different file names",
        "date_order": "dmy, mdy or ymd, where the dates themselves do not tell",
        "owner": "the name of who exported the chat, whom the system lines call You",
    }

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        if conversion.zone is None:
            raise ConversionUsageError("times in a WhatsApp export have no zone: say it (--zone)")
        wanted = conversion.options.more.get("date_order")
        if wanted is not None and wanted not in ORDERS:
            raise ConversionUsageError(f"date_order is one of {', '.join(ORDERS)}, not {wanted!r}")
        _Chat(conversion, conversion.zone, wanted).run()


class _Style(NamedTuple):
    """What one export's lines have in common; a pasted line of another style is text."""

    bracket: bool
    comma: bool
    separator: str
    seconds: bool
    marker: str
    end: str


class _Head(NamedTuple):
    numbers: tuple[int, int, int]
    digits: tuple[int, int, int]
    hour: int
    minute: int
    second: int
    rest: str
    style: _Style


@dataclass
class _Order:
    """One way to read the dates, and how well it fits."""

    name: str
    broken: int | None = None
    """The first line it cannot read."""
    steps_back: int = 0
    last: date | None = None


@dataclass
class _Person:
    name: str
    spoke: bool = False


@dataclass
class _Life:
    """What the system's lines tell about the chat."""

    titles: list[tuple[str, str]] = field(default_factory=list)
    created_at: str | None = None
    owner: str | None = None
    changes: int = 0


class _Chat:
    def __init__(self, conversion: Conversion, zone: ZoneInfo, wanted: str | None) -> None:
        self.conversion = conversion
        self.zone = zone
        self.wanted = wanted
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        self.path = conversion.path
        self.style: _Style | None = None
        self.order = ORDERS["dmy"]
        stem = _COPY.sub("", self.path.stem)
        if stem.startswith("_chat"):
            stem = _COPY.sub("", self.path.absolute().parent.name)
        self.title = _EXPORT_NAME.sub("", stem)
        self.named_by_file = self.title != stem
        self.group_id = conversion.options.more.get("chat") or f"chat:{digest(_clean(self.title))}"
        self.owner = conversion.options.more.get("owner")
        self.people: dict[str, _Person] = {}
        self.ordinals = Ordinals()
        self.life = _Life()
        self.first_at: str | None = None
        self.last_at = ""
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        self.detect()
        for number, head, more in self.entries():
            self.on_entry(number, head, more)
        self.finish()

    def lines(self, report: bool) -> Iterator[tuple[int, str]]:
        """The file's lines, ended by LF alone, without their ends."""
        with ExitStack() as stack:
            file = self.open(stack)
            number = 0
            try:
                while line := file.readline(LINE_BYTES):
                    number += 1
                    if len(line) == LINE_BYTES:
                        raise ConversionError(f"{self.path}: line {number}: too long")
                    if report:
                        self.conversion.advance(len(line), self.path.name)
                    yield (
                        number,
                        line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"),
                    )
            except UnicodeDecodeError as error:
                raise ConversionError(f"{self.path}: line {number}: not UTF-8") from error
            except BROKEN_ZIP as error:
                raise ConversionError(
                    f"{self.path}: after line {number}: {why_broken(error)}"
                ) from error

    def open(self, stack: ExitStack) -> IO[bytes]:
        path = self.path
        if path.is_dir():
            found = sorted(path.glob("*.txt"))
            if len(found) != 1:
                raise ConversionError(f"{path}: {len(found)} .txt files in it, not one")
            path = found[0]
        if path.suffix.lower() != ".zip":
            self.conversion.total_bytes = path.stat().st_size
            return stack.enter_context(path.open("rb"))
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            names = [name for name in archive.namelist() if name.lower().endswith(".txt")]
            chats = [name for name in names if "chat" in name.lower()] or names
            if len(chats) != 1:
                raise ConversionError(f"{path}: {len(chats)} chats in it, not one")
            require_sane(path, archive.getinfo(chats[0]).file_size)
            self.conversion.total_bytes = archive.getinfo(chats[0]).file_size
            return stack.enter_context(archive.open(chats[0]))
        except BROKEN_ZIP as error:
            raise ConversionError(f"{path}: {why_broken(error)}") from error

    def detect(self) -> None:
        """Find the style of the lines and the one order of dates that fits them all."""
        orders = [_Order(name) for name in ORDERS if self.wanted in (None, name)]
        seen: dict[tuple[int, int, int], None] = {}
        for number, line in self.lines(report=False):
            head = _head(line)
            if self.style is None:
                if head is None and not line.strip():
                    continue
                if head is None:
                    raise ConversionError(
                        f"{self.path}: line {number}: no date and time, with which a chat begins"
                    )
                self.style = head.style
            if head is not None and head.style == self.style:
                seen[head.numbers] = None
                _step(orders, head, number)
        if self.style is None:
            raise ConversionError(f"{self.path}: no message in it")
        fit = [order for order in orders if order.broken is None]
        if not fit:
            lines = ", ".join(f"line {order.broken} is no {order.name}" for order in orders)
            raise ConversionError(f"{self.path}: its dates have no one order: {lines}")
        steady = [order for order in fit if not order.steps_back] or fit
        readings = {
            order.name: [_date(numbers, order.name) for numbers in seen] for order in steady
        }
        if any(reading != readings[steady[0].name] for reading in readings.values()):
            names = " or ".join(f"--option date_order={order.name}" for order in steady)
            raise ConversionError(f"{self.path}: every date can be read in two ways: say {names}")
        self.order = ORDERS[steady[0].name]
        self.conversion.note(f"dates read as {steady[0].name}")

    def entries(self) -> Iterator[tuple[int, _Head, list[str]]]:
        """Each head with the number of its line and the lines that belong to it."""
        at, current = 0, None
        more: list[str] = []
        for number, line in self.lines(report=True):
            head = _head(line)
            if head is None or head.style != self.style:
                if current is not None:
                    more.append(line)
                continue
            if current is not None:
                yield at, current, more
            at, current, more = number, head, []
        if current is not None:
            yield at, current, more

    def on_entry(self, number: int, head: _Head, more: list[str]) -> None:
        self.conversion.read("messages")
        year, month, day = (head.numbers[place] for place in self.order)
        try:
            local = datetime(_year(year), month, day, head.hour, head.minute, head.second)  # noqa: DTZ001
            occurred_at = zoned_time(local, self.zone)
        except (ValueError, OverflowError) as error:
            raise ConversionError(f"{self.path}: line {number}: no such date") from error
        while more and not more[-1].strip():
            more.pop()
        self.first_at = self.first_at or occurred_at
        self.last_at = max(self.last_at, occurred_at)
        stamp = local.isoformat(timespec="seconds" if head.style.seconds else "minutes")
        sender, text = _split(head.rest)
        text = "\n".join([text, *more])
        if sender is None or _is_system(text):
            self.on_system(local, stamp, occurred_at, text)
        else:
            self.on_message(local, stamp, occurred_at, sender, text)

    def on_message(
        self, local: datetime, stamp: str, occurred_at: str, sender: str, text: str
    ) -> None:
        member = self.member(sender)
        self.people[member].spoke = True
        extra: Json = {}
        edited = _EDITED.search(text)
        if edited:
            text, extra["edited"] = text[: edited.start()], True
        text = text.lstrip("\u200e\u200f\ufeff")
        first, _, rest = text.partition("\n")
        file = _FILE.fullmatch(first)
        omitted = _OMITTED.fullmatch(first)
        kind = "text"
        # The same chat exported with and without its media gives the same ids.
        identity = text
        if file or omitted:
            identity = f"\x00media\n{rest}"
            if file:
                name = file["inner"] or file["outer"]
                kind = kind_of_file(name)
                if not (self.no_text or self.no_names):
                    extra["file"] = name
            elif omitted:
                kind = _OMITTED_KINDS.get((omitted["what"] or "").lower(), "file")
                extra["media_omitted"] = True
            text = rest
        elif _DELETED.fullmatch(first) and not rest:
            text, extra["deleted"] = "", True
        elif ONLY_LINK.fullmatch(text):
            kind = "link"
        key = digest(stamp, member, identity)
        record: Json = {
            "message_id": f"{self.group_id}:{stamp}:{key}:{self.ordinals.next(local.date(), key)}",
            "group_id": self.group_id,
            "member_id": member,
            "occurred_at": occurred_at,
            "kind": kind,
            "text_length": len(text),
        }
        names = _MENTION.findall(text)
        if names:
            record["mentions"] = list(dict.fromkeys(self.member(name) for name in names))
        if text and not self.no_text:
            if self.no_names:
                text = _MENTION.sub(lambda found: f"@{_member_id(_clean(found[1]))}", text)
            record["text"] = text
        if extra:
            record["whatsapp"] = extra
        self.write_message(record)

    def on_system(self, local: datetime, stamp: str, occurred_at: str, text: str) -> None:
        """A line of the system's: a message of kind `system`, and what it says of members."""
        text = _BIDI.sub("", text)
        action, who, whom, title = _meaning(text)
        actor = None if who is None else self.person(who)
        members = [self.person(name) for name in whom]
        speaker = actor or (members[0] if len(members) == 1 else None) or WHATSAPP
        key = digest(stamp, text)
        message_id = f"{self.group_id}:{stamp}:{key}:{self.ordinals.next(local.date(), key)}"
        record: Json = {
            "message_id": message_id,
            "group_id": self.group_id,
            "member_id": speaker,
            "occurred_at": occurred_at,
            "kind": "system",
            "text_length": len(text),
        }
        # A system line is made of names.
        if not (self.no_text or self.no_names):
            record["text"] = text
        if action:
            record["whatsapp"] = {"action": action}
        self.write_message(record)
        if title is not None:
            self.life.titles.append((occurred_at, title))
        if action is None:
            self.conversion.note("system line that tells nothing of members")
        elif action == "create":
            self.life.created_at = occurred_at
            self.life.owner = actor
            members = [actor]
        for number, member in enumerate(members):
            self.change(f"{message_id}:{number}", occurred_at, action, member, actor)

    def change(
        self,
        event_id: str,
        occurred_at: str,
        action: str | None,
        member: str | None,
        by: str | None,
    ) -> None:
        if member is None:
            self.conversion.note("membership of You, who has no name here (--option owner=NAME)")
            return
        record: Json = {
            "event_id": event_id,
            "group_id": self.group_id,
            "member_id": member,
            "occurred_at": occurred_at,
        }
        match action:
            case "create":
                record |= {"action": "join", "role": "owner"}
            case "add":
                record["action"] = "join"
                if by is not None and by != member:
                    record |= {"via": "invite", "inviter_member_id": by}
            case "join":
                record |= {"action": "join", "via": "link"}
            case "remove" | "leave":
                record["action"] = "leave"
            case "admin" | "plain":
                record |= {"action": "role", "role": "admin" if action == "admin" else "member"}
            case _:
                return
        self.life.changes += 1
        self.write_membership(record)

    def member(self, name: str) -> str:
        """The stable id of a name or number, which is then known."""
        clean = _clean(name)
        member = _member_id(clean)
        if member not in self.people:
            self.people[member] = _Person(clean)
        return member

    def person(self, name: str) -> str | None:
        """As `member`; for You it is who exported the chat, if that is known."""
        if _clean(name).lower() in YOU:
            return self.member(self.owner) if self.owner else None
        return self.member(name)

    def finish(self) -> None:
        if self.first_at is None:
            raise ConversionError(f"{self.path}: no message in it")
        speakers = sum(person.spoke for person in self.people.values())
        is_group = bool(self.life.changes or self.life.titles) or speakers > 2
        base: Json = {
            "group_id": self.group_id,
            "created_at": self.life.created_at or self.first_at,
            "kind": "other",
            "observes": ["leave"] if self.life.changes else [],
        }
        if self.life.owner is not None:
            base["owner_member_id"] = self.life.owner
        states: list[tuple[str, str | None]] = [*self.life.titles]
        if not states or states[0][0] > self.first_at:
            # The file's name is a person's where the chat is of two.
            named = is_group and self.named_by_file and not states and not self.no_names
            states.insert(0, (self.first_at, self.title if named else None))
        for updated_at, title in states:
            state = base | {"updated_at": updated_at}
            if title:
                state["name"] = title
            self.write_group(state | {"whatsapp": {"is_group": is_group}})
        for member, person in self.people.items():
            record: Json = {"member_id": member, "updated_at": self.last_at}
            if not self.no_names:
                record["display_name"] = person.name
                if member.startswith("phone:"):
                    record["phone"] = person.name
            self.write_member(record)
        self.write_member({"member_id": WHATSAPP, "updated_at": self.last_at, "is_bot": True})


def _head(line: str) -> _Head | None:
    """A line's head, if it has one with a possible time of day."""
    found = _HEAD.match(line)
    if found is None:
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    after = (found["after"] or "").strip().lower()
    before = found["before"] or ""
    mark = before or after[:1]
    if mark and hour <= 12:
        hour = hour % 12 + (12 if mark in PM or (mark in NOON and hour != 11) else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    style = _Style(
        bracket=bool(found["open"]),
        comma=bool(found["comma"].strip(".")),
        separator=_BIDI.sub("", found["separator"]).strip(),
        seconds=found["second"] is not None,
        marker="before" if before else "after" if after else "",
        end=found["end"].strip(),
    )
    if style.bracket != (style.end == "]"):
        return None
    texts = (found["a"], found["b"], found["c"])
    a, b, c = (int(text) for text in texts)
    lengths = (len(texts[0]), len(texts[1]), len(texts[2]))
    return _Head((a, b, c), lengths, hour, minute, second, line[found.end() :], style)


def _step(orders: list[_Order], head: _Head, number: int) -> None:
    """See whether the orders can read one more date, and whether time goes on."""
    for order in orders:
        if order.broken is not None:
            continue
        year_place = ORDERS[order.name][0]
        read = _date(head.numbers, order.name)
        long = [place for place, digits in enumerate(head.digits) if digits > 2]
        # Nobody begins with a year of two digits, unless hyphens follow.
        odd = order.name == "ymd" and not long and head.style.separator != "-"
        if read is None or odd or long not in ([], [year_place]):
            order.broken = number
            continue
        if order.last is not None and read < order.last - timedelta(days=1):
            order.steps_back += 1
        order.last = read


def _date(numbers: tuple[int, int, int], order: str) -> date | None:
    year, month, day = (numbers[place] for place in ORDERS[order])
    try:
        read = date(_year(year), month, day)
    except (ValueError, OverflowError):
        return None
    return read if FIRST_YEAR <= read.year <= LAST_YEAR else None


def _year(number: int) -> int:
    return number + 2000 if number < 100 else number


def _split(rest: str) -> tuple[str | None, str]:
    """Sender and text; no sender where the system speaks."""
    plain = _BIDI.sub("", rest)
    if any(pattern.fullmatch(plain) for pattern in _TITLED):
        return None, rest
    sender, colon, text = rest.partition(": ")
    if colon and _clean(sender):
        return sender, text
    stripped = rest.rstrip()
    if stripped.endswith(":") and _clean(stripped[:-1]):
        return stripped[:-1], ""
    return None, rest


def _is_system(text: str) -> bool:
    """Whether the system speaks in a sender's name, as it does on iOS."""
    if _ENCRYPTED.match(_BIDI.sub("", text)):
        return True
    if not text.startswith("\u200e") or "\n" in text:
        return False
    return _meaning(_BIDI.sub("", text))[0] is not None


def _meaning(text: str) -> tuple[str | None, str | None, list[str], str | None]:
    """What a system line says: action, by whom, of whom, the new title."""
    for pattern in _TITLED:
        found = pattern.fullmatch(text)
        if found:
            action = "create" if _CREATED.search(text) else "rename"
            return action, found["who"], [], found["title"]
    for action, pattern in _CHANGES:
        found = pattern.fullmatch(text)
        if found:
            names = [name for name in _LIST.split(found["whom"]) if _clean(name)]
            return action, found.groupdict().get("who"), names, None
    return None, None, [], None


def _clean(name: str) -> str:
    """A name as it is compared: no direction marks, one kind of space, no leading tilde."""
    name = _BIDI.sub("", unicodedata.normalize("NFC", name))
    return " ".join(name.split()).lstrip("~").strip()


def _member_id(clean: str) -> str:
    if _NUMBER.fullmatch(clean):
        digits = "".join(letter for letter in clean if letter.isdigit())
        return f"phone:{digest(digits)}"
    return f"name:{digest(clean)}"
