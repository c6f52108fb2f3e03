"""Reference of `engagement.live_board`, as a full build leaves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.reference.world import Person, Row, World, in_order

SPAN = timedelta(minutes=5)
BOARD = timedelta(hours=48)
_LOGS = (
    *("community/events", "group/messages", "group/attendance", "group/consults"),
    *("group/deliveries", "commerce/orders", "community/contents"),
)
Key = tuple[datetime, str, str]


def live_board(world: World) -> list[Row]:
    """`engagement.live_board`."""
    newest = _newest(world)
    if newest is None or world.as_of is None:
        return []
    last = floor_of(newest)
    first = last + SPAN - BOARD
    rows: dict[Key, Row] = {}
    persons: dict[Key, set[Person]] = {}

    def row_of(at: datetime, source: str, core: str) -> Row:
        empty = {"events": 0, "messages": 0, "consults_open": 0, "orders": 0}
        return rows.setdefault((floor_of(at), source, core), empty)

    def is_shown(at: datetime) -> bool:
        return first <= at < last + SPAN

    for event in world.activity:
        if is_shown(event.at):
            row = row_of(event.at, event.source, event.core)
            row["events"] += 1
            row["messages"] += event.action == "message"
            persons.setdefault((floor_of(event.at), event.source, event.core), set()).add(
                event.person
            )
    for order in world.orders:
        if is_shown(order.at):
            row_of(order.at, order.source, order.core)["orders"] += 1
    for source, spans in _open_spans(world):
        start = first
        while start <= last:
            if any(
                since < start + SPAN and (to is None or to >= start + SPAN) for since, to in spans
            ):
                row_of(start, source, "group")["consults_open"] += 1
            start += SPAN
    return [
        {
            "five_minute_start": start.replace(tzinfo=None),
            "source": source,
            "core": core,
            "persons": len(persons.get((start, source, core), ())),
            "provisional": start == last or world.day(start) > world.as_of,
        }
        | row
        for (start, source, core), row in rows.items()
    ]


def floor_of(moment: datetime) -> datetime:
    """The start of a moment's five minutes, UTC."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // SPAN * SPAN


def _newest(world: World) -> datetime | None:
    moments = []
    for log in _LOGS:
        for record in world.log(log):
            at = record.get("occurred_at") or record.get("paid_at") or record["published_at"]
            moments.append(min(at, record.get("received_at") or at))
    return max(moments, default=None)


def _open_spans(world: World) -> list[tuple[str, list[tuple[datetime, datetime | None]]]]:
    """Per session of a person that counts: its source, and from when to when it was open."""
    sessions: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in in_order(world.log("group/consults"), "event_id"):
        sessions.setdefault((record["source"], record["session_id"]), []).append(record)
    found = []
    for (source, _), records in sessions.items():
        asked = [n for n, record in enumerate(records) if record["action"] == "question"]
        if not asked or not world.counts(world.person_of(records[asked[0]])):
            continue
        spans: list[tuple[datetime, datetime | None]] = []
        since: datetime | None = records[asked[0]]["occurred_at"]
        for record in records[asked[0] :]:
            if record["action"] == "close" and since is not None:
                spans.append((since, record["occurred_at"]))
                since = None
            elif record["action"] == "reopen" and since is None:
                since = record["occurred_at"]
        if since is not None:
            spans.append((since, None))
        found.append((source, spans))
    return found
