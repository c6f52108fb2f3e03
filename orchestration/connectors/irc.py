"""IRC channel logs (irssi, WeeChat, ZNC, the public Ubuntu logs) → group logs.

docs/connectors/irc.md has the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from orchestration.connectors.base import (
    Connector,
    Conversion,
    ConversionError,
    ConversionUsageError,
)
from orchestration.connectors.chats import ONLY_LINK, Ordinals, digest, utc_time, zoned_time

Json = dict[str, Any]

SERVER = "irc"
LINE_BYTES = 1024 * 1024
HALF_A_DAY = timedelta(hours=12)
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# RFC 1459: these are the lower and upper case of one letter.
_CASE = str.maketrans("[]\\~", "{}|^")

_TIMED = re.compile(
    r"\[?(?:(?P<date>\d{4}-\d\d-\d\d)[T ])?(?P<time>[0-2]\d:[0-5]\d(?::[0-5]\d)?)(?:\.\d+)?"
    r"(?P<offset>Z|[+-]\d\d:?\d\d)?\]?(?=[\s<*]) ?(?P<rest>.*)",
    re.ASCII,
)
_DAY = re.compile(
    r"(?:--- (?:Day changed|Log opened|Log closed)|\*\*\*\* (?:BEGIN|ENDING) LOGGING AT) "
    r"\w{3} (?P<month>\w{3}) +(?P<day>\d{1,2}) (?:\d\d:\d\d:\d\d )?(?P<year>\d{4})",
    re.ASCII,
)
_SAID = re.compile(r"<[@+%&~! ]?(?P<nick>[^>\s]+) ?>\s?(?P<text>.*)")
_TABBED = re.compile(r"\t?(?P<nick>[^\t]*)\t(?P<text>.*)")
_DID = re.compile(r"\s*\*\s+(?P<nick>\S+)\s?(?P<text>.*)")
_MARKED = re.compile(r"\s*(?P<mark>-!-|===|\*\*\*|-->|<--|--)\s+(?P<text>.*)")
_WHO = r"(?P<nick>[^\s\[(]\S*|[\[(]\S*)(?:\s+[\[(]\S*@\S*[\])])?"
_CHANGES = [
    ("join", re.compile(rf"{_WHO}\s+has joined\b.*|Joins: (?P<also>\S+).*")),
    ("leave", re.compile(rf"{_WHO}\s+has (?:left|quit)\b.*|(?:Parts|Quits): (?P<also>\S+).*")),
    ("nick", re.compile(r"(?P<nick>\S+) is now known as (?P<new>\S+)")),
    ("kick", re.compile(r"(?P<nick>\S+) was kicked (?:from \S+ )?by (?P<by>\S+).*")),
    ("kick", re.compile(r"(?P<by>\S+) has kicked (?P<nick>\S+).*")),
]
# What `===` of an old Ubuntu log begins with when it is not somebody's action.
_SERVERS = re.compile(
    r"mode/|ServerMode/|Mode |You |Topic |Netsplit|#|Irssi|\S+ (?:sets mode|changed the topic|\[)"
)
_CHANNEL = re.compile(r"(?:^|[\s._/-])(?P<channel>[#&][^\s./\\,:\]]+)")
_IN_LINE = re.compile(r"(?:has joined|has left|mode/|topic of) ?(?P<channel>[#&][^\s,\]]+)")
_FILE_DATE = re.compile(r"(?<!\d)(\d{4})[-_./]?(\d\d)[-_./]?(\d\d)(?!\d)", re.ASCII)
_ADDRESSED = re.compile(r"@?(?P<nick>[^\s:,<>@]+)[:,](?:\s|$)")


class Irc(Connector):
    """Reads messages, actions, and who joins, leaves or takes another nick."""

    name = "irc"
    title = "an IRC log"
    summary = "log file of a channel, or a folder of them (irssi, WeeChat, ZNC, Ubuntu)"
    takes_zone = True
    options: ClassVar[Mapping[str, str]] = {
        "bots": "nicks of bots, with commas between them",
        "channel": "the channel, where neither file names nor lines tell",
        "date": "the first line's date (YYYY-MM-DD), where neither file name nor lines tell",
    }

    def convert(self, conversion: Conversion) -> None:
        """Write groups, members, memberships and messages; raises ConversionError."""
        _Logs(conversion).run()


class _Line(NamedTuple):
    """What one line says: `said`, `did`, `server`, or a change of who is there."""

    what: str
    nick: str | None
    text: str
    other: str | None = None
    day: date | None = None
    clock: time | None = None
    offset: str | None = None


@dataclass
class _Channel:
    id: str
    name: str | None
    first_at: str | None = None
    last_at: str = ""
    sees_changes: bool = False
    nicks: set[str] = field(default_factory=set)


class _Logs:
    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.zone = conversion.zone
        self.no_text = conversion.options.no_text
        self.no_names = conversion.options.no_names
        more = conversion.options.more
        self.only_channel = more.get("channel")
        self.bots = {_fold(nick.strip()) for nick in more.get("bots", "").split(",")}
        try:
            self.only_date = date.fromisoformat(more["date"]) if "date" in more else None
        except ValueError:
            raise ConversionUsageError(f"date is YYYY-MM-DD, not {more['date']!r}") from None
        self.channels: dict[str, _Channel] = {}
        self.people: dict[str, str] = {}
        self.ordinals = Ordinals()
        self.write_group = conversion.stream("group/groups")
        self.write_member = conversion.stream("group/members")
        self.write_membership = conversion.stream("group/memberships")
        self.write_message = conversion.stream("group/messages")

    def run(self) -> None:
        conversion = self.conversion
        path = conversion.path
        if path.is_dir():
            files = sorted(found for found in path.rglob("*") if _is_log(found))
            if not files:
                raise ConversionError(f"{path}: no .log, .txt or .weechatlog files in it")
        else:
            files = [path]
        if self.only_date is not None and len(files) > 1:
            raise ConversionUsageError("one date cannot be that of several files")
        conversion.total_bytes = sum(file.stat().st_size for file in files)
        for file in files:
            if self.read_file(file):
                continue
            if file == path:
                raise ConversionError(f"{path}: no line in a style of IRC logs that is known")
            conversion.note(f"{file.name} is no IRC log: passed over")
        self.finish()

    def lines(self, path: Path) -> Iterator[tuple[int, str]]:
        number = 0
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES):
                number += 1
                if len(line) == LINE_BYTES:
                    raise ConversionError(f"{path}: line {number}: too long")
                self.conversion.advance(len(line), path.name)
                line = line.rstrip(b"\r\n")
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    self.conversion.note("line that is not UTF-8 read as Latin-1")
                    yield number, line.decode("latin-1")

    def read_file(self, path: Path) -> bool:
        """Read a file, if it is a log; a line without a time has that of the line before it."""
        channel: _Channel | None = None
        # Of each file's own, so that files that overlap give the same ids.
        self.ordinals = Ordinals()
        day = self.only_date or _date_of(path)
        clock: time | None = None
        waiting: list[_Line] = []
        understood = 0
        for number, text in self.lines(path):
            if not text.strip():
                continue
            self.conversion.read("lines")
            new_day = _day(text)
            if new_day is not None:
                day, clock = new_day, None
                understood += 1
                self.conversion.leave_out("lines", "the log's own, about its day")
                continue
            line = _parse(text)
            if line is None:
                self.conversion.leave_out("lines", "in no style that is known")
                continue
            understood += 1
            channel = channel or self.channel(path)
            if line.clock is None:
                if clock is None:
                    waiting.append(line)
                else:
                    self.on_line(path, number, channel, line, day, clock, borrowed=True)
                continue
            if line.day is not None:
                day = line.day
            elif day is not None and clock is not None and _hours_back(clock, line.clock):
                day += timedelta(days=1)
            clock = line.clock
            for early in waiting:
                self.on_line(path, number, channel, early, day, clock, borrowed=True)
            waiting.clear()
            self.on_line(path, number, channel, line, day, clock, borrowed=False)
        if waiting:
            self.conversion.leave_out("lines", "no line in the file has a time", len(waiting))
        return understood > 0

    def channel(self, path: Path) -> _Channel:
        name = self.only_channel or self.named_channel(path)
        if name[0] in "#&+!":
            group_id, title = _fold(name), name
        else:
            # A private log is named after a person.
            group_id, title = f"query:{digest(_fold(name))}", None
        return self.channels.setdefault(group_id, _Channel(group_id, title))

    def named_channel(self, path: Path) -> str:
        found = _CHANNEL.search("/".join(path.absolute().parts[-3:]))
        if found:
            return found["channel"]
        with path.open("rb") as file:
            for _ in range(100_000):
                line = file.readline(LINE_BYTES)
                if not line:
                    break
                found = _IN_LINE.search(line.decode("latin-1"))
                if found:
                    return found["channel"]
        raise ConversionError(
            f"{path}: neither its name nor its lines tell the channel: say it (--option channel=)"
        )

    def on_line(
        self,
        path: Path,
        number: int,
        channel: _Channel,
        line: _Line,
        day: date | None,
        clock: time,
        *,
        borrowed: bool,
    ) -> None:
        if day is None:
            raise ConversionError(
                f"{path}: line {number}: neither the file's name nor its lines tell the date: "
                "say it (--option date=YYYY-MM-DD)"
            )
        local = datetime.combine(day, clock)
        try:
            occurred_at = self.utc(local, line.offset)
        except (ValueError, OverflowError) as error:
            raise ConversionError(f"{path}: line {number}: no such time") from error
        channel.first_at = min(channel.first_at or occurred_at, occurred_at)
        channel.last_at = max(channel.last_at, occurred_at)
        spoken = line.what in ("said", "did")
        member = self.member(line.nick) if line.nick else SERVER
        text = line.text
        key = digest(line.what, member, text, local.isoformat())
        ordinal = self.ordinals.next(day, key)
        record: Json = {
            "message_id": f"{channel.id}:{local.isoformat()}:{key}:{ordinal}",
            "group_id": channel.id,
            "member_id": member,
            "occurred_at": occurred_at,
            "kind": ("link" if ONLY_LINK.fullmatch(text) else "text") if spoken else "system",
            "text_length": len(text),
        }
        addressed = _ADDRESSED.match(text) if line.what == "said" else None
        if addressed and _fold(addressed["nick"]) in channel.nicks:
            record["mentions"] = [self.member_id(addressed["nick"])]
            if self.no_names:
                text = f"{record['mentions'][0]}{text[addressed.end('nick') :]}"
        # What the server says is made of nicks and hosts.
        if not self.no_text and (spoken or not self.no_names):
            record["text"] = text
        extra: Json = {} if spoken and line.what == "said" else {"what": line.what}
        if borrowed:
            extra["time_is_of_the_line_before"] = True
            self.conversion.note("line without a time: that of the line before")
        if extra:
            record["irc"] = extra
        self.write_message(record)
        if line.nick:
            channel.nicks.add(_fold(line.nick))
        self.on_change(channel, line, record)

    def utc(self, local: datetime, offset: str | None) -> str:
        if offset is not None:
            return utc_time(datetime.fromisoformat(f"{local.isoformat()}{offset}"))
        if self.zone is None:
            raise ConversionUsageError("times in an IRC log have no zone: say it (--zone)")
        return zoned_time(local, self.zone)

    def on_change(self, channel: _Channel, line: _Line, record: Json) -> None:
        steps = {
            "join": [("join", line.nick)],
            "leave": [("leave", line.nick)],
            "kick": [("leave", line.nick)],
            "nick": [("leave", line.nick), ("join", line.other)],
        }.get(line.what, [])
        for action, nick in steps:
            if nick is None:
                continue
            channel.nicks.add(_fold(nick))
            change: Json = {
                "event_id": f"{record['message_id']}:{action}",
                "group_id": channel.id,
                "member_id": self.member(nick),
                "action": action,
                "occurred_at": record["occurred_at"],
                "irc": {"what": line.what},
            }
            self.write_membership(change)
            if line.what != "nick":
                channel.sees_changes = True

    def member_id(self, nick: str) -> str:
        return f"nick:{digest(_fold(nick))}"

    def member(self, nick: str) -> str:
        member = self.member_id(nick)
        self.people[member] = nick
        return member

    def finish(self) -> None:
        latest = max((channel.last_at for channel in self.channels.values()), default="")
        if not latest:
            raise ConversionError(f"{self.conversion.path}: no line with a time in it")
        for channel in self.channels.values():
            if channel.first_at is None:
                continue
            record: Json = {
                "group_id": channel.id,
                "updated_at": channel.last_at,
                "created_at": channel.first_at,
                "kind": "other",
                "observes": ["leave"] if channel.sees_changes else [],
            }
            if channel.name is not None:
                record["name"] = channel.name
            self.write_group(record)
        for member, nick in self.people.items():
            row: Json = {"member_id": member, "updated_at": latest}
            if not self.no_names:
                row["display_name"] = nick
            if _fold(nick) in self.bots:
                row["is_bot"] = True
            self.write_member(row)
        self.write_member({"member_id": SERVER, "updated_at": latest, "is_bot": True})


def _parse(text: str) -> _Line | None:
    """What a line says, None for a style that is not known."""
    timed = _TIMED.match(text)
    day, clock, offset = None, None, None
    if timed:
        try:
            day = date.fromisoformat(timed["date"]) if timed["date"] else None
            clock = time.fromisoformat(timed["time"])
        except ValueError:
            return None
        offset, text = timed["offset"], timed["rest"]
    line = _body(text, timed=timed is not None)
    return None if line is None else line._replace(day=day, clock=clock, offset=offset)


def _body(text: str, *, timed: bool) -> _Line | None:
    said = _SAID.fullmatch(text)
    if said and timed:
        return _Line("said", said["nick"], said["text"])
    marked = _MARKED.fullmatch(text)
    if marked and (timed or marked["mark"] == "==="):
        return _change(marked["mark"], marked["text"])
    did = _DID.fullmatch(text)
    if did and timed:
        return _Line("did", did["nick"], did["text"])
    tabbed = _TABBED.fullmatch(text)
    nick = tabbed["nick"].lstrip("@+%&~ ") if tabbed else ""
    if tabbed and timed and nick and " " not in nick:
        return _Line("said", nick, tabbed["text"])
    return None


def _change(mark: str, text: str) -> _Line:
    for what, pattern in _CHANGES:
        found = pattern.fullmatch(text)
        if found:
            groups = found.groupdict()
            nick = groups.get("nick") or groups.get("also")
            return _Line(what, nick, text, groups.get("new"))
    if mark == "===" and not _SERVERS.match(text):
        nick, _, action = text.partition(" ")
        return _Line("did", nick, action)
    return _Line("server", None, text)


def _day(text: str) -> date | None:
    """The date that a log's own line names."""
    found = _DAY.match(text)
    if found is None or found["month"] not in MONTHS:
        return None
    try:
        return date(int(found["year"]), MONTHS.index(found["month"]) + 1, int(found["day"]))
    except ValueError:
        return None


def _date_of(path: Path) -> date | None:
    """The last date in a file's name or the two folders above it."""
    for found in reversed(_FILE_DATE.findall("/".join(path.absolute().parts[-4:]))):
        try:
            return date(*(int(part) for part in found))
        except ValueError:
            continue
    return None


def _hours_back(before: time, now: time) -> bool:
    first, second = (
        timedelta(hours=at.hour, minutes=at.minute, seconds=at.second) for at in (before, now)
    )
    return first - second > HALF_A_DAY


def _is_log(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (".log", ".txt", ".weechatlog")


def _fold(nick: str) -> str:
    return nick.lower().translate(_CASE)
