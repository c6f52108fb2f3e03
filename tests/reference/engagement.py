"""Reference of `engagement.group_daily`."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from tests.reference.world import Person, Row, World, days_between

GroupKey = tuple[str, str]
_Moment = tuple[datetime, str, str]
_LOGS = ("group/memberships", "group/messages", "group/deliveries", "group/consults")


def group_daily(world: World) -> list[Row]:
    """`engagement.group_daily`."""
    if world.as_of is None:
        return []
    rows: list[Row] = []
    for key in sorted(group_keys(world)):
        first, last = first_date(world, key), last_date(world, key)
        if first is not None and last is not None:
            rows += _group_rows(world, key, first, last)
    return rows


def group_keys(world: World) -> set[GroupKey]:
    """Groups with a record, and those that a record of the group core names."""
    found = set(world.current("group/groups"))
    for log in _LOGS:
        found |= {(record["source"], record.get("group_id")) for record in world.log(log)}
    return {(source, group_id) for source, group_id in found if group_id is not None}


def first_date(world: World, key: GroupKey) -> date | None:
    """The earlier of creation and the first record that names the group, whoever acts in it."""
    moments = [record["occurred_at"] for log in _LOGS for record in _of_group(world, log, key)]
    return _earliest(world, key, moments)


def sure_first_date(world: World, key: GroupKey) -> date | None:
    """As `first_date`, from records only that no rule leaves out of measures."""
    moments = [
        record["occurred_at"]
        for record in _of_group(world, "group/memberships", key)
        if world.counts(world.person_of(record))
        and (record["action"] != "leave" or observes(world, key, "leave"))
    ]
    moments += [
        record["occurred_at"]
        for record in _of_group(world, "group/messages", key)
        if world.counts(world.person_of(record)) and record["kind"] != "system"
    ]
    return _earliest(world, key, moments)


def _earliest(world: World, key: GroupKey, moments: list[datetime]) -> date | None:
    group = world.current("group/groups").get(key)
    created = [group["created_at"]] if group else []
    return min((world.day(moment) for moment in [*created, *moments]), default=None)


def last_date(world: World, key: GroupKey) -> date | None:
    """The closing date or as_of_date, the earlier."""
    group = world.current("group/groups").get(key)
    if group is not None and group.get("closed_at") is not None and world.as_of is not None:
        return min(world.day(group["closed_at"]), world.as_of)
    return world.as_of


def observes(world: World, key: GroupKey, rung: str) -> bool:
    """Whether the group's platform lets one see the rung; all of them when it says nothing."""
    group = world.current("group/groups").get(key)
    seen = group.get("observes") if group else None
    return seen is None or rung in seen


def _of_group(world: World, log: str, key: GroupKey) -> list[dict[str, Any]]:
    return [r for r in world.log(log) if (r["source"], r.get("group_id")) == key]


def changes(world: World, key: GroupKey) -> list[tuple[datetime, Person, str]]:
    """`join`, `inferred_join` and `leave` of persons that count, each a change of state."""
    steps: dict[Person, list[tuple[_Moment, str]]] = {}
    sights: dict[Person, list[_Moment]] = {}
    for record in _of_group(world, "group/memberships", key):
        person = world.person_of(record)
        moment = (record["occurred_at"], record["source"], record["event_id"])
        if record["action"] in ("join", "leave"):
            steps.setdefault(person, []).append((moment, record["action"]))
        elif record.get("role") == "owner":
            sights.setdefault(person, []).append(moment)
    for record in _of_group(world, "group/messages", key):
        if record["kind"] != "system":
            moment = (record["occurred_at"], record["source"], record["message_id"])
            sights.setdefault(world.person_of(record), []).append(moment)
    group = world.current("group/groups").get(key)
    if group is not None and group.get("owner_member_id") is not None:
        owner = world.person(group["source"], "member", group["owner_member_id"])
        sights.setdefault(owner, []).append((group["created_at"], group["source"], ""))

    found = []
    for person in set(steps) | set(sights):
        if not world.counts(person):
            continue
        own = steps.get(person, [])
        if person in sights and not any(action == "join" for _, action in own):
            own = [*own, (min(sights[person]), "inferred_join")]
        is_member = False
        for (at, _, _), action in sorted(own):
            if action == "leave":
                if is_member and observes(world, key, "leave"):
                    found.append((at, person, "leave"))
                    is_member = False
            elif not is_member:
                found.append((at, person, action))
                is_member = True
    return found


def _group_rows(world: World, key: GroupKey, first: date, last: date) -> list[Row]:
    moves = [(world.day(at), action) for at, _, action in changes(world, key)]
    said = [
        (world.day(record["occurred_at"]), world.person_of(record), record)
        for record in _of_group(world, "group/messages", key)
        if record["kind"] != "system" and world.counts(world.person_of(record))
    ]
    messages = [item for item in said if item[2]["kind"] != "reaction"]
    rows = []
    members = 0
    for day in days_between(first, last):
        joins = moves.count((day, "join"))
        inferred = moves.count((day, "inferred_join"))
        leaves = moves.count((day, "leave"))
        today = [record for on, _, record in messages if on == day]
        reactions = sum(on == day for on, _, _ in said) - len(today)
        week = {person for on, person, _ in messages if day - timedelta(days=7) < on <= day}
        close = members + joins + inferred - leaves
        origins = [record.get("origin_declared") or "unknown" for record in today]
        rows.append(
            {
                "date": day,
                "source": key[0],
                "group_id": key[1],
                "members_open": members,
                "joins": joins,
                "inferred_joins": inferred,
                "leaves": leaves if observes(world, key, "leave") else None,
                "members_close": close,
                "speakers": len({person for on, person, _ in messages if on == day}),
                "messages": len(today),
                "reactions": reactions,
                "interactions": len(today) + reactions,
                "kol_messages": sum(_is_kol(world, record) for record in today),
                "ugc_messages": origins.count("ugc"),
                "unknown_origin_messages": origins.count("unknown"),
                "speakers_7d": len(week),
                "is_silent": len(week) * 100 < 3 * close,
            }
        )
        members = close
    return rows


def _is_kol(world: World, message: dict[str, Any]) -> bool:
    member = world.current("group/members").get((message["source"], message["member_id"]))
    return bool(member and member.get("is_kol"))


def is_before_first_event(world: World, row: Row) -> bool:
    """Whether a row lies before what the contract surely counts as the group's first event."""
    first = sure_first_date(world, (row["source"], row["group_id"]))
    return first is None or row["date"] < first
