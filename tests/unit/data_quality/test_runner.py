from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data_quality import catalogue, duckdb_readonly, runner
from data_quality.catalogue import CANARY, Stage, Suite
from data_quality.fingerprint import TableKey
from data_quality.report import render
from data_quality.runner import TABLE_MISSING, Outcome, judge, run_suites
from data_quality.verdicts import gate, record, require
from orchestration.errors import GateError, TandemError
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

PLANTED = ("13912345678", "planted@example.org", "张三 Planted", "planted-device")
TABLE = "raw.community__accounts"


@pytest.fixture
def warehouse(tmp_path: Path) -> Settings:
    settings = test_settings(tmp_path)
    account = {
        "source": "zhihu",
        "account_id": PLANTED[2],
        "updated_at": "2026-01-01T00:00:00Z",
        "registered_at": "2026-01-01T00:00:00Z",
        "phone": PLANTED[0],
        "email": PLANTED[1],
        "display_name": PLANTED[2],
        "gender": "f",
    }
    with open_warehouse(settings) as connection:
        fill_raw(connection, {"community/accounts": [account]})
        connection.execute(
            """
            insert into control.files values
            (1, 'community/accounts', 'a.jsonl', 'x', 1, 0, 'jsonl', 'loaded', null, 1, 1, 0, 0, 1,
            ?)
            """,
            [datetime.now(UTC).replace(tzinfo=None)],
        )
    return settings


def _run(settings: Settings, run_id: str = "r", **more: Any) -> list[Outcome]:
    return run_suites(settings, "raw", run_id=run_id, tables=[TABLE], reuse=False, **more)


def _failed(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.expectation: outcome.observed for outcome in outcomes if not outcome.success}


def _suite(query: str) -> Suite:
    rule = {
        "type": "unexpected_rows_expectation",
        "kwargs": {"unexpected_rows_query": query},
        "severity": "info",
        "meta": {"id": "ours", "description": {"zh": "规则", "en": "rule"}, "faults": ["any"]},
    }
    return Suite.model_validate({"stage": "raw", "table": TABLE, "rules": [rule]})


@pytest.fixture
def one_rule(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(query: str) -> None:
        monkeypatch.setattr(runner, "suites", lambda _: (_suite(query),))

    return use


def test_good_rows_pass_and_the_canary_counts_them(warehouse: Settings) -> None:
    outcomes = _run(warehouse)
    assert _failed(outcomes) == {}
    assert outcomes[0].expectation == CANARY
    assert outcomes[0].observed == "rows=1"
    expected = catalogue.suite("raw", TABLE).expectations
    assert [outcome.expectation for outcome in outcomes] == list(expected)


def test_an_empty_table_passes(warehouse: Settings) -> None:
    with open_warehouse(warehouse) as connection:
        connection.execute(f"delete from {TABLE}")
    outcomes = _run(warehouse)
    assert _failed(outcomes) == {}
    assert outcomes[0].observed == "rows=0"


def test_everything_is_closed_so_that_a_writer_can_go_on(warehouse: Settings) -> None:
    _run(warehouse)
    with open_warehouse(warehouse) as connection:
        connection.execute(f"delete from {TABLE}")


def test_an_open_writer_is_an_error_that_says_so(warehouse: Settings) -> None:
    with (
        open_warehouse(warehouse),
        pytest.raises(TandemError, match=r"cannot open .*warehouse\.duckdb"),
    ):
        _run(warehouse)


@pytest.mark.parametrize("answer", ["nothing", "one_zero", "always_fine"])
def test_an_engine_that_looks_at_nothing_fails_the_stage(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    original = duckdb_readonly.read

    def blind(connection: Any, statement: str, parameters: Any = ()) -> Any:
        rows, description = original(connection, statement, parameters)
        if "duckdb_columns()" in statement and "is_nullable" in statement:
            return rows, description
        if answer == "nothing":
            return [], description
        return [tuple(0 for _ in row) for row in rows], description

    if answer == "always_fine":
        from great_expectations.datasource.fluent.interfaces import Batch

        validate = Batch.validate

        def fine(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = validate(self, *args, **kwargs)
            for item in result.results:
                item.success = True
            return result

        monkeypatch.setattr(Batch, "validate", fine)
    else:
        monkeypatch.setattr(duckdb_readonly, "read", blind)
    outcomes = _run(warehouse)
    canary = outcomes[0]
    assert (canary.expectation, canary.success, canary.severity) == (CANARY, False, "critical")
    with pytest.raises(GateError, match="the engine did not look"):
        require(outcomes)


def test_a_rule_that_raises_is_critical_whatever_it_was(warehouse: Settings, one_rule: Any) -> None:
    one_rule("select nope from {batch}")
    ours = _run(warehouse)[1]
    assert (ours.success, ours.severity) == (False, "critical")
    assert "nope" in ours.observed
    one_rule("select 1 from {batch} where cast(phone || 'x' as bigint) > 0")
    ours = _run(warehouse)[1]
    assert (ours.success, ours.severity) == (False, "critical")
    assert ours.observed == "error: ConversionException"


def test_a_rule_without_an_outcome_is_an_error(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = runner._judge_one

    def forgetful(*args: Any) -> Any:
        found = original(*args)
        del found["columns"]
        return found

    monkeypatch.setattr(runner, "_judge_one", forgetful)
    with pytest.raises(TandemError, match="columns has no outcome"):
        _run(warehouse)


def test_a_missing_table_fails_cleanly(warehouse: Settings) -> None:
    with open_warehouse(warehouse) as connection:
        connection.execute(f"drop table {TABLE}")
    outcomes = _run(warehouse)
    assert {outcome.observed for outcome in outcomes} == {TABLE_MISSING}
    assert {outcome.success for outcome in outcomes} == {False}
    with pytest.raises(GateError, match=TABLE_MISSING):
        require(outcomes)


def test_unknown_names_are_errors(warehouse: Settings, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=r"no suite for raw\.nothing"):
        run_suites(warehouse, "raw", run_id="r", tables=["raw.nothing"])
    with pytest.raises(TandemError, match="no stage 'silver'"):
        run_suites(warehouse, "silver", run_id="r")  # type: ignore[arg-type]
    with pytest.raises(TandemError, match="nothing was published"):
        run_suites(warehouse, "export", run_id="r", database=tmp_path / "none.duckdb")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_no_value_of_the_data_gets_out(
    warehouse: Settings,
    one_rule: Any,
    heard: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_warehouse(warehouse) as connection:
        connection.execute(f"update {TABLE} set gender = phone, source = ''")
    outcomes = _run(warehouse)
    assert {"gender_known", "ids_not_empty"} <= set(_failed(outcomes))
    one_rule("select phone, email, cast(display_name as bigint) as n from {batch}")
    outcomes += [_renamed(outcome) for outcome in _run(warehouse)]
    one_rule("select phone, email, display_name from {batch}")
    outcomes += [_renamed(outcome, "again") for outcome in _run(warehouse)]
    with pytest.raises(GateError) as refused:
        require(outcomes)
    with open_warehouse(warehouse) as connection:
        record(connection, outcomes)
        page = render(connection)
        with pytest.raises(GateError) as blocked:
            gate(connection, "r", "raw")
    printed = capsys.readouterr()
    texts = [repr(outcomes), page, str(refused.value), str(blocked.value), heard.text]
    for text in [*texts, printed.out, printed.err]:
        for secret in PLANTED:
            assert secret not in text


def _renamed(outcome: Outcome, name: str = "other") -> Outcome:
    return Outcome(**(outcome.__dict__ | {"expectation": f"{outcome.expectation}_{name}"}))


def test_an_unchanged_table_keeps_its_verdicts(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_suites(warehouse, "raw", run_id="r1", tables=[TABLE])
    with open_warehouse(warehouse) as connection:
        record(connection, first)
    monkeypatch.setattr(runner, "_judge", lambda *_: pytest.fail("judged again"))
    second = run_suites(warehouse, "raw", run_id="r2", tables=[TABLE])
    assert [(one.expectation, one.observed) for one in second] == [
        (one.expectation, one.observed) for one in first
    ]
    assert {one.run_id for one in second} == {"r2"}


def test_stages_of_a_build_hand_on_the_fingerprints_of_layers_before_them(
    warehouse: Settings,
) -> None:
    settled: dict[TableKey, str] = {}
    staged = "staging.stg_community__accounts_history"

    def fingerprint(stage: Stage, table: str, handed: dict[TableKey, str]) -> str:
        outcomes = run_suites(warehouse, stage, run_id="r", tables=[table], settled=handed)
        return outcomes[0].fingerprint

    first = fingerprint("raw", TABLE, settled)
    assert {key[1] for key in settled} == {"raw"}
    with open_warehouse(warehouse) as connection:
        connection.execute(f"create schema staging; create table {staged} as from {TABLE}")
    handed = dict(settled)
    before = fingerprint("staging", staged, handed)
    assert {key[1] for key in handed} == {"raw", "staging"}
    with open_warehouse(warehouse) as connection:
        connection.execute(f"update {TABLE} set gender = 'm'")
    # What was handed on is believed; a layer that is judged again is read again.
    assert fingerprint("staging", staged, dict(settled)) == before
    assert fingerprint("staging", staged, {}) != before
    assert fingerprint("raw", TABLE, handed) != first
    assert {key[1] for key in handed} == {"raw"}


def test_a_failed_verdict_is_never_kept(warehouse: Settings) -> None:
    with open_warehouse(warehouse) as connection:
        connection.execute(f"update {TABLE} set gender = 'F'")
    with_fault = run_suites(warehouse, "raw", run_id="r1", tables=[TABLE])
    with open_warehouse(warehouse) as connection:
        record(connection, with_fault)
    again = run_suites(warehouse, "raw", run_id="r2", tables=[TABLE])
    assert _failed(again) == {"gender_known": "1 of 1"}


def test_the_tables_name_is_not_read_as_sql() -> None:
    with pytest.raises(ValueError, match="table"):
        Suite.model_validate({"stage": "raw", "table": "raw.t; drop table raw.t", "rules": []})


def test_duckdb_is_never_asked_twice_for_a_rule(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = duckdb_readonly.read

    def listen(connection: Any, statement: str, parameters: Any = ()) -> Any:
        asked.append(" ".join(statement.split()))
        return original(connection, statement, parameters)

    monkeypatch.setattr(duckdb_readonly, "read", listen)
    _run(warehouse)
    sql_rules = [statement for statement in asked if statement.endswith("as unexpected_rows")]
    assert len(sql_rules) == len(set(sql_rules))
    written = [rule for rule in catalogue.suite("raw", TABLE).rules if rule.sql]
    assert len(sql_rules) == len(written) + 1


def test_rules_are_judged_by_what_an_open_transaction_has_changed(warehouse: Settings) -> None:
    suite = _suite("select 1 from {batch} where gender = 'm'")
    with open_warehouse(warehouse) as connection:
        connection.begin()
        connection.execute(f"update {TABLE} set gender = 'm'")
        ours = judge(connection, [suite], path=warehouse.warehouse_path, run_id="r")[1]
        connection.rollback()
        assert (ours.success, ours.observed) == (False, "1")
        # A second connection sees what is committed.
        with connection.cursor() as beside:
            ours = judge(
                connection, [suite], path=warehouse.warehouse_path, run_id="r", beside=beside
            )[1]
    assert (ours.success, ours.observed) == (True, "0")


def test_a_gate_that_fails_leaves_no_count_running(
    warehouse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise TandemError("no")

    monkeypatch.setattr(runner, "_judge_one", fail)
    with pytest.raises(TandemError, match="no"):
        _run(warehouse)
    with open_warehouse(warehouse) as connection:
        connection.execute(f"delete from {TABLE}")
