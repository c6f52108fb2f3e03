"""The contracts against each other, and against the files written from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestration import dbt_sources
from orchestration.contracts import CORES, contracts
from orchestration.ingest.tables import raw_columns

PII = {"display_name", "phone", "email", "union_id", "device_id", "query", "text"}


def test_every_log_of_the_contract_is_there():
    by_core = {core: sum(c.core == core for c in contracts().values()) for core in CORES}
    assert by_core == {"community": 4, "group": 9, "operations": 6, "commerce": 6}


@pytest.mark.parametrize("log", sorted(contracts()))
def test_personal_fields_are_tagged_and_no_other(log: str):
    contract = contracts()[log]
    assert set(contract.pii_fields) == {f.name for f in contract.fields if f.name in PII}


@pytest.mark.parametrize("log", sorted(contracts()))
def test_references_name_a_log_and_its_key_type(log: str):
    contract = contracts()[log]
    names = {field.name for field in contract.fields}
    for field in contract.fields:
        if field.references is not None:
            assert field.references in contracts()
            assert field.type == "id"
        if field.source_field is not None:
            assert field.source_field in names
        assert field.description.zh != field.description.en


def test_written_files_agree_with_the_contracts():
    stale = [path.name for path in dbt_sources.stale_files()]
    assert not stale, f"run `python -m orchestration.dbt_sources`: {stale}"


def test_sources_name_every_raw_column_in_order():
    raw = dbt_sources.sources()["sources"][0]
    tables = {table["name"]: table for table in raw["tables"]}
    assert set(tables) == {contract.table for contract in contracts().values()}
    for contract in contracts().values():
        table = tables[contract.table]
        columns = {column["name"]: column["data_type"].upper() for column in table["columns"]}
        assert list(columns.items()) == list(raw_columns(contract).items())
        assert table["config"]["meta"]["dagster"]["asset_key"] == ["raw", contract.table]


def test_sources_tag_what_holds_personal_data():
    tagged = {
        (source["name"], table["name"], column["name"])
        for source in dbt_sources.sources()["sources"]
        for table in source["tables"]
        for column in table["columns"]
        if column.get("config", {}).get("meta", {}).get("pii")
    }
    for contract in contracts().values():
        wanted = {*contract.pii_fields, "_extra"}
        if contract.kind == "entity" and contract.pii_fields:
            wanted.add("_state_sha256")
        assert {column for _, table, column in tagged if table == contract.table} == wanted
    assert ("quarantine", "lines", "raw_text") in tagged


def test_staging_models_have_no_plain_personal_column():
    for contract in contracts().values():
        for model in dbt_sources.staging_models(contract).values():
            names = {column["name"] for column in model["models"][0]["columns"]}
            assert not names & PII
            assert {f"{name}_token" for name in contract.pii_fields} <= names


def test_check_tells_what_is_stale_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr(dbt_sources, "ROOT", tmp_path)
    monkeypatch.setattr(dbt_sources, "STAGING", tmp_path / "staging")
    monkeypatch.setattr(dbt_sources, "SEEDS", tmp_path / "seeds")
    assert dbt_sources.main(["--check"]) == 1
    assert "stale staging/_sources.yml" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert dbt_sources.main([]) == 0
    assert dbt_sources.main(["--check"]) == 0
    written = yaml.safe_load((tmp_path / "staging" / "_sources.yml").read_text("utf-8"))
    assert written == dbt_sources.sources()


def test_descriptions_have_one_form():
    words = dbt_sources.Words(zh="群成员。", en="group member")
    assert dbt_sources.describe(words) == "Group member. | 群成员。"
