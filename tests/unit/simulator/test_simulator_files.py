"""What lies in the landing zone: names, formats, bytes, counts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from orchestration.contracts import contracts
from orchestration.errors import TandemError
from simulator import Dirt, SimulatorConfig, simulate
from tests.unit.simulator.conftest import Simulated
from tests.unit.simulator.landing_reader import data_files, distinct_records, read_file, reason

SMALL = SimulatorConfig(persons=120, days=16, activity=0.3)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_equal_configurations_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(SMALL, tmp_path / name / "landing", tmp_path / name / "truth")
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path / "a")
    simulate(SMALL.model_copy(update={"seed": 8}), tmp_path / "b")
    assert _digests(tmp_path / "a") != _digests(tmp_path / "b")


def test_a_second_run_leaves_the_same_simulation_alone(tmp_path: Path) -> None:
    days: list[tuple[int, int]] = []
    first = simulate(SMALL, tmp_path, progress=lambda done, total: days.append((done, total)))
    assert days == [(day, 16) for day in range(1, 17)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = simulate(SMALL, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (second.files, second.lines, second.logs) == (first.files, first.lines, first.logs)
    assert second.seconds == 0


def test_an_interrupted_simulation_is_finished_by_the_next(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(SMALL, tmp_path / "a", progress=stop)
    simulate(SMALL, tmp_path / "a")
    simulate(SMALL, tmp_path / "b")
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


def test_two_simulations_are_not_mixed(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path)
    with pytest.raises(TandemError, match="another simulation"):
        simulate(SMALL.model_copy(update={"seed": 8}), tmp_path)


def test_every_log_has_files_and_records(clean: Simulated) -> None:
    assert set(clean.report.logs) == set(contracts())
    for log in contracts():
        assert data_files(clean.landing, log), log
        assert clean.report.logs[log].records > 0, log


def test_every_format_occurs_and_no_unfinished_file_is_left(clean: Simulated) -> None:
    endings: Counter[str] = Counter()
    for path in clean.landing.rglob("*"):
        if path.is_file() and path.parent != clean.landing:
            assert not path.name.startswith(".")
            endings[path.name.split(".", 1)[1]] += 1
    expected = {"jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet"}
    assert expected <= set(endings)
    assert any(ending.endswith("control.json") for ending in endings)


def test_control_files_agree_with_their_files(dirty: Simulated) -> None:
    controls = sorted(dirty.landing.rglob("*.control.json"))
    assert any("sums" in json.loads(path.read_text(encoding="utf-8")) for path in controls)
    for path in controls:
        control = json.loads(path.read_text(encoding="utf-8"))
        data = path.with_name(path.name.removesuffix(".control.json"))
        records = list(read_file(data))
        assert control["lines"] == len(records)
        assert control["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
        for name, total in control.get("sums", {}).items():
            assert total == sum(
                int(record[name]) for record in records if record and name in record
            )


@pytest.mark.parametrize("log", list(contracts()))
def test_clean_records_keep_the_contract(clean: Simulated, log: str) -> None:
    contract = contracts()[log]
    known = {field.name for field in contract.all_fields} | {"app_version"}
    for path in data_files(clean.landing, log):
        for record in read_file(path):
            assert reason(record, contract) is None, (path, record)
            assert record is not None
            assert set(record) <= known


def test_rejects_and_duplicates_are_as_told(dirty: Simulated) -> None:
    told = pq.read_table(dirty.truth / "files.parquet").to_pylist()
    seen_reasons: Counter[str] = Counter()
    for row in told:
        contract = contracts()[row["log"]]
        found = Counter(reason(r, contract) for r in read_file(dirty.landing / row["path"]))
        lines = found.total()
        assert lines == row["lines"]
        assert found.pop(None) == row["records"] + row["duplicates"]
        assert found == {why: row[why] for why in found}
        assert lines == row["records"] + row["duplicates"] + found.total()
        seen_reasons += found
    assert set(seen_reasons) == {
        "malformed",
        "missing_required",
        "bad_type",
        "bad_enum",
        "naive_timestamp",
        "out_of_range",
    }


@pytest.mark.parametrize("log", ["community/events", "group/messages", "commerce/orders"])
def test_dirt_changes_no_accepted_record(clean: Simulated, dirty: Simulated, log: str) -> None:
    def without_arrival(landing: Path) -> dict[tuple[str, ...], dict[str, object]]:
        records = distinct_records(landing, log)
        return {
            key: {name: value for name, value in record.items() if name != "received_at"}
            for key, record in records.items()
        }

    assert without_arrival(clean.landing) == without_arrival(dirty.landing)
    assert dirty.report.logs[log].records == len(distinct_records(dirty.landing, log))


def test_late_records_lie_in_later_files(dirty: Simulated) -> None:
    late = 0
    for path in data_files(dirty.landing, "community/events"):
        times = [r["received_at"][:10] > r["occurred_at"][:10] for r in read_file(path) if r
                 and "received_at" in r and "occurred_at" in r]  # fmt: skip
        late += sum(times)
    assert late > 0


def test_unknown_and_impossible_settings_are_refused() -> None:
    for values in ({"person": 5}, {"persons": 0}, {"days": 3}, {"activity": 0}):
        with pytest.raises(ValidationError):
            SimulatorConfig.model_validate(values)
    with pytest.raises(ValidationError):
        Dirt(late=0.9)
