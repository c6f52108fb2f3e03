"""A small landing zone in which two persons stand in every field that can hold an id."""

from __future__ import annotations

from typing import Any

from orchestration.contracts import LogContract, LogField, contracts
from orchestration.ingest import ingest
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import WRITERS, put

GONE = {"account": "acct-000001", "member": "memb-000001"}
STAYS = {"account": "acct-000002", "member": "memb-000002"}
PHONE, NAME = "13800138000", "Alice Example"
TIME = "2026-05-01T08:00:00Z"


def record(contract: LogContract, ids: dict[str, str], number: int, **more: Any) -> dict[str, Any]:
    """A record with every field given, and `ids` in each that holds persons' ids."""
    values = {field.name: _value(field, number) for field in contract.all_fields}
    values["source"] = "app"
    for field in contract.person_fields:
        if field.kind == "unit":
            values[field.name] = ids["account"]
        elif field.is_list:
            values[field.name] = ["memb-000009", ids[field.kind]]
        else:
            values[field.name] = ids[field.kind]
        if field.source_field != "source":
            values[field.source_field] = "app"
    if not any(item.name == contract.key for item in contract.person_fields):
        values[contract.key] = f"{contract.log.split('/')[1]}-{number}"
    if "experiment_id" in values:
        values["experiment_id"] = "exp-1"
    values.pop("erased_at", None)
    return values | more


def _value(field: LogField, number: int) -> Any:
    match field.type:
        case "timestamp":
            return TIME
        case "date":
            return "2026-05-01"
        case "integer":
            return max(field.min or 0, 1990) if field.name == "birth_year" else field.min or 1
        case "boolean":
            return False
        case "decimal":
            return "1.5"
        case "enum":
            return (field.enum or ("",))[0]
        case "currency":
            return "CNY"
        case "list":
            return []
        case "object":
            return {"control": 1}
        case _:
            return f"{field.name} value {number}"


def fill(settings: Settings) -> None:
    """Land two persons' records of every log, a log a format in turn, and take them in."""
    suffixes = list(WRITERS)
    for place, contract in enumerate(contracts().values()):
        gone = record(contract, GONE, 1)
        if any(field.is_own for field in contract.person_fields):
            gone["shadow"] = "secret of the first"
        stays = record(contract, STAYS, 2)
        for values, phone, name in ((gone, PHONE, NAME), (stays, "13900139000", "Bob Example")):
            if "phone" in values:
                values |= {"phone": phone, "display_name": name, "union_id": f"union-{phone}"}
        elsewhere = record(contract, GONE, 3, source="elsewhere")
        if "account_source" in elsewhere:
            elsewhere |= {"account_source": "elsewhere", "member_source": "elsewhere"}
        if "phone" in elsewhere:
            elsewhere |= {"phone": "13700137000", "display_name": "Carol", "union_id": "union-c"}
        for values in (gone, stays, elsewhere):
            values |= {name: None for name in ("parent_content_id",) if name in values}
        if "text" in stays:
            stays["text"] = f"call {PHONE}, {NAME}!"
        records = [gone, stays, elsewhere]
        suffix = suffixes[place % len(suffixes)]
        put(settings, contract.log, f"day.{suffix}", WRITERS[suffix](records))
    bad = record(contracts()["group/messages"], GONE, 9, kind="nonsense", text=f"mail {NAME}")
    put(
        settings,
        "group/messages",
        "bad.jsonl",
        WRITERS["jsonl"]([bad]) + b'{"member_id":"memb-000001\n',
    )
    put(
        settings,
        "community/events",
        "bad.csv",
        WRITERS["csv"]([bad | {"account_id": "acct-000001"}]),
    )
    ingest(settings)
    identify(settings)


def identify(settings: Settings) -> None:
    """What a build would make of the ids: account and member of one number are one person."""
    with open_warehouse(settings) as connection:
        connection.execute("create schema if not exists intermediate")
        connection.execute(
            """
            create or replace table intermediate.int_identities as
            select
                id_kind, source, id,
                md5(string_agg(id_kind || source || id, ',' order by id_kind, id) over (
                    partition by source, right(id, 6)
                    order by id_kind rows between unbounded preceding and unbounded following
                )) as person_id
            from (
                select distinct 'account' as id_kind, source, account_id as id
                from raw.community__accounts
                union
                select 'member', source, member_id from raw.group__members
            )
            """
        )
        connection.execute(
            "insert into control.builds (build_id, started_at, batch_id, state) "
            "select uuid()::varchar, now()::timestamp, max(batch_id), 'published' "
            "from control.batches"
        )
