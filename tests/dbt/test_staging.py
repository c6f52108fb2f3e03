"""Staging: types, defaults, tokens, current states and history, for every log."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from typing import Any

import pytest

from orchestration.contracts import LogContract, contracts
from orchestration.dbt_sources import staging_models
from orchestration.settings import Settings
from tests.dbt.scratch import query
from tests.support import KEY, build_marts, test_settings

PHONES = {
    "13800138000": "13800138000",
    "+86 138-0013-8000": "13800138000",
    "008613800138000": "13800138000",
    "00 86 138 0013 8000": "13800138000",
    "１３８００１３８０００": "13800138000",
    "＋８６　１３８００１３８０００": "13800138000",
    "86138001380": "86138001380",
    "0086138001380001": "86138001380001",
    "8613800138000 ext": "13800138000",
    "8713800138000": "8713800138000",
    "000086123456": "0086123456",
    "0086123456": "86123456",
    "1234567": "1234567",
    "001234567": "1234567",
    "123456": None,
    "00123456": None,
    "+86 12345": "8612345",
    "no digits": None,
    "": None,
}
FIRST, SECOND = "2026-01-01T00:00:00+08:00", "2026-01-02T00:00:00+08:00"


def _sample(contract: LogContract) -> dict[str, Any]:
    """A record with a value in every field."""
    values: dict[str, Any] = {
        "id": "x",
        "text": "words",
        "integer": 3,
        "boolean": True,
        "timestamp": FIRST,
        "date": "2026-01-01",
        "decimal": "7.123456789012345678",
        "currency": "CNY",
        "list": ["x"],
        "object": {"a": 1},
    }
    record = {
        field.name: field.enum[0] if field.enum else values[field.type] for field in contract.fields
    }
    return record | {"source": "s", "received_at": FIRST}


def _account(source: str, number: str, updated_at: str, **values: Any) -> dict[str, Any]:
    base = {"source": source, "account_id": number, "updated_at": updated_at}
    return base | {"registered_at": FIRST} | values


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = test_settings(tmp_path_factory.mktemp("staging"))
    logs: dict[str, list[dict[str, Any]]] = {
        log: [_sample(contract)] for log, contract in contracts().items()
    }
    accounts = logs["community/accounts"]
    accounts += [
        _account("phones", str(number), FIRST, phone=phone) for number, phone in enumerate(PHONES)
    ]
    accounts += [
        _account("late", "1", SECOND, region="new"),
        _account("late", "1", FIRST, region="old", is_bot=True),
        _account("tie", "1", FIRST, region="smaller hash"),
        _account("tie", "1", FIRST, region="greater hash"),
        _account("one", "same", FIRST, region="of one"),
        _account("two", "same", SECOND, region="of two"),
    ]
    build_marts(settings, logs, "fqn:tandem.staging resource_type:seed")
    return settings


def _columns(settings: Settings, model: str) -> list[str]:
    return [str(row[0]) for row in query(settings, f"describe staging.{model}")]


@pytest.mark.parametrize("log", sorted(contracts()))
def test_columns_are_those_on_paper(settings: Settings, log: str):
    for name, paper in staging_models(contracts()[log]).items():
        wanted = [column["name"] for column in paper["models"][0]["columns"]]
        assert _columns(settings, name) == wanted


@pytest.mark.parametrize("log", sorted(contracts()))
def test_a_full_record_comes_through(settings: Settings, log: str):
    contract = contracts()[log]
    model = f"stg_{contract.table}"
    columns = [name for name in _columns(settings, model) if not name.endswith("_token")]
    rows = query(settings, f"select {', '.join(columns)} from staging.{model} where source = 's'")
    assert len(rows) == 1
    found = dict(zip(columns, rows[0], strict=True))
    assert all(value is not None for value in found.values())
    for field in contract.fields:
        if field.type == "timestamp":
            assert found[field.name] == datetime.fromisoformat("2025-12-31T16:00:00")
        if field.type == "decimal":
            assert str(found[field.name]) == "7.123456789012345678"


def test_no_plain_personal_value_is_stored_in_a_table(settings: Settings):
    tables = query(
        settings,
        "select table_name from information_schema.tables "
        "where table_schema = 'staging' and table_type = 'BASE TABLE'",
    )
    assert len(tables) == 9
    for (table,) in tables:
        for (row,) in query(settings, f"select cast(t as varchar) from staging.{table} as t"):
            assert "13800138000" not in str(row)


def test_tokens_are_keyed_hashes_of_the_normalised_phone(settings: Settings):
    found = dict(
        query(
            settings,
            "select account_id, phone_token from staging.stg_community__accounts "
            "where source = 'phones'",
        )
    )
    for number, (phone, normalised) in enumerate(PHONES.items()):
        wanted = normalised and hmac.new(KEY.encode(), normalised.encode(), hashlib.sha256)
        assert found[str(number)] == (wanted and wanted.hexdigest()), phone


def test_the_greatest_updated_at_is_current_whenever_it_came(settings: Settings):
    accounts = "from staging.stg_community__accounts"
    assert query(settings, f"select region, is_bot {accounts} where source = 'late'") == [
        ("new", False)
    ]
    history = query(
        settings,
        "select region, is_bot, version, valid_from, valid_to "
        "from staging.stg_community__accounts_history where source = 'late' order by version",
    )
    first, second = (
        datetime.fromisoformat(text).replace(tzinfo=None)
        for text in (
            "2025-12-31T16:00:00",
            "2026-01-01T16:00:00",
        )
    )
    assert history == [("old", True, 1, first, second), ("new", False, 2, second, None)]


def test_of_two_states_of_one_moment_the_greater_hash_wins(settings: Settings):
    accounts = "from staging.stg_community__accounts where source = 'tie'"
    assert query(settings, f"select region {accounts}") == [("greater hash",)]
    history = query(
        settings,
        "select region, valid_from = valid_to from staging.stg_community__accounts_history "
        "where source = 'tie' order by version",
    )
    assert history == [("smaller hash", True), ("greater hash", None)]


def test_one_id_in_two_sources_is_two_entities(settings: Settings):
    found = query(
        settings,
        "select source, region from staging.stg_community__accounts "
        "where account_id = 'same' order by source",
    )
    assert found == [("one", "of one"), ("two", "of two")]


def test_missing_flags_are_false(settings: Settings):
    flags = [f.name for f in contracts()["community/accounts"].fields if f.default is not None]
    assert len(flags) == 4
    found = query(
        settings,
        f"select {', '.join(flags)} from staging.stg_community__accounts where source = 'one'",
    )
    assert found == [(False,) * 4]


def test_every_entity_has_one_current_state(settings: Settings):
    for contract in contracts().values():
        if contract.kind == "entity":
            table = f"staging.stg_{contract.table}"
            keys = f"select distinct source, {contract.key} from raw.{contract.table}"
            assert query(settings, f"select count(*) from {table}") == query(
                settings, f"select count(*) from ({keys})"
            )


def test_a_session_without_the_key_gets_no_tokens(settings: Settings):
    with pytest.raises(Exception, match="no tokenisation key"):
        query(settings, "select query_token from staging.stg_community__events")


def test_the_expected_phones_are_normalised():
    assert all(re.fullmatch("[0-9]{7,}", phone) for phone in PHONES.values() if phone)
