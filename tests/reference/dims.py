"""Reference of `dim.*`."""

from __future__ import annotations

from datetime import date

from tests.reference.world import OPEN, Row, World, days_between, monday, month_of

# The State Council's notices for 2024 and 2025.
_HOLIDAYS = [
    (date(2024, 1, 1), date(2024, 1, 1)),
    (date(2024, 2, 10), date(2024, 2, 17)),
    (date(2024, 4, 4), date(2024, 4, 6)),
    (date(2024, 5, 1), date(2024, 5, 5)),
    (date(2024, 6, 10), date(2024, 6, 10)),
    (date(2024, 9, 15), date(2024, 9, 17)),
    (date(2024, 10, 1), date(2024, 10, 7)),
    (date(2025, 1, 1), date(2025, 1, 1)),
    (date(2025, 1, 28), date(2025, 2, 4)),
    (date(2025, 4, 4), date(2025, 4, 6)),
    (date(2025, 5, 1), date(2025, 5, 5)),
    (date(2025, 5, 31), date(2025, 6, 2)),
    (date(2025, 10, 1), date(2025, 10, 8)),
]
_MAKEUP = {
    *(date(2024, 2, 4), date(2024, 2, 18), date(2024, 4, 7), date(2024, 4, 28)),
    *(date(2024, 5, 11), date(2024, 9, 14), date(2024, 9, 29), date(2024, 10, 12)),
    *(date(2025, 1, 26), date(2025, 2, 8), date(2025, 4, 27), date(2025, 9, 28)),
    date(2025, 10, 11),
}


def day_type(day: date) -> str:
    """`holiday`, `makeup_workday`, `weekend` or `workday`."""
    if any(first <= day <= last for first, last in _HOLIDAYS):
        return "holiday"
    if day in _MAKEUP:
        return "makeup_workday"
    return "weekend" if day.weekday() >= 5 else "workday"


def dates(world: World) -> list[Row]:
    """`dim.dates` for the dates from the first active one to as_of_date."""
    if world.first_active_date is None or world.as_of is None:
        return []
    return [
        {
            "date": day,
            "week_start": monday(day),
            "month": month_of(day),
            "day_type": day_type(day) if day.year in (2024, 2025) else OPEN,
            "is_complete": True,
        }
        for day in days_between(world.first_active_date, world.as_of)
    ]


def persons(world: World) -> list[Row]:
    """`dim.persons`: every person that is not erased.

    Open: first dates of persons who do not count or that lie after as_of_date; the channel and
    region where a person's accounts disagree.
    """
    rows = []
    for person in world.persons:
        if world.is_erased(person):
            continue
        row: Row = {"person_id": person, "is_staff": world.is_staff(person)}
        for column, core in (
            ("first_active_date", "all"),
            ("community_first_date", "community"),
            ("group_first_date", "group"),
        ):
            first = world.first_days[core].get(person)
            late = first is not None and (world.as_of is None or first > world.as_of)
            row[column] = OPEN if late or not world.counts(person) else first
        states = [world.recorded_ids.get(place, {}) for place in person]
        for column in ("acquisition_channel", "region"):
            values = {state.get(column) for state in states} - {None}
            row[column] = OPEN if len(values) > 1 else next(iter(values), None)
        rows.append(row)
    return rows


def identities(world: World) -> list[Row]:
    """`dim.identities`: ids with a record or that act; of excluded persons too, not of erased."""
    rows = []
    for place in world.acting_ids | set(world.recorded_ids):
        source, kind, key = place
        person = world.person(*place)
        if not world.is_erased(person):
            rows.append({"source": source, "id": key, "id_kind": kind, "person_id": person})
    return rows


def all_identities(world: World) -> list[Row]:
    """`intermediate.int_identities`: as `dim.identities`, with erased persons and the flags."""
    rows = []
    for place in world.acting_ids | set(world.recorded_ids):
        source, kind, key = place
        person = world.person(*place)
        rows.append(
            {
                "source": source,
                "id": key,
                "id_kind": kind,
                "person_id": person,
                "is_excluded": world.is_excluded(person),
                "is_staff": world.is_staff(person),
                "is_erased": world.is_erased(person),
            }
        )
    return rows


def nodes(world: World) -> list[Row]:
    """`dim.nodes`: a recorded node with its nearest ancestor (itself included) of each level."""
    rows = []
    for (source, node_id), state in world.current("community/nodes").items():
        row = {
            "source": source,
            "node_id": node_id,
            "level": state["level"],
            "name": state.get("name"),
        }
        for level in ("platform", "channel", "circle"):
            row[f"{level}_id"] = None
            for ancestor in reversed(world.chain(source, node_id)):
                found = world.current("community/nodes").get((source, ancestor))
                if found is not None and found["level"] == level:
                    row[f"{level}_id"] = ancestor
        rows.append(row)
    return rows


def contents(world: World) -> list[Row]:
    """`dim.contents`, as far as the contract names its columns."""
    return [
        {"source": source, "content_id": content_id, "origin": world.origin(state)}
        for (source, content_id), state in world.current("community/contents").items()
    ]
