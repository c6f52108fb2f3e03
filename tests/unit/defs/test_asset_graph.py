"""What the code location declares, held against the contracts, the dbt project and the rules."""

from __future__ import annotations

import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_quality.catalogue import STAGES
from data_quality.checks import list_expectations
from data_quality.runner import Outcome
from orchestration.contracts import contracts
from orchestration.defs import build_defs
from orchestration.defs.audience import check_result
from orchestration.defs.gates import SERVED, check_results
from orchestration.defs.models import TESTS
from orchestration.defs.resources import POOL, instance_path
from orchestration.settings import Settings
from orchestration.transform import ensure_manifest, read_manifest
from tests.support import test_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return test_settings(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def manifest(settings: Settings) -> dict[str, Any]:
    return read_manifest(settings)


@pytest.fixture(scope="module")
def definitions(settings: Settings, manifest: dict[str, Any]) -> dg.Definitions:
    found = build_defs(settings=settings)
    dg.Definitions.validate_loadable(found)
    return found


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> Any:
    return definitions.resolve_asset_graph()


def models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = ("model", "seed")
    return [node for node in manifest["nodes"].values() if node["resource_type"] in kinds]


DESCRIPTION = re.compile(r"^(?=.*[A-Za-z])[^\u4e00-\u9fff]+ \| .*[\u4e00-\u9fff]", re.S)
"""English, then Chinese."""
SNAPSHOT = Path(__file__).with_name("asset_graph.json")
# Read when this is imported: a fixture hides the variables of a shell from the tests.
WRITES_SNAPSHOT = os.environ.get("TANDEM_SNAPSHOT") == "write"
PACKS = ("channel_region_week", "high_value_lookalikes", "interest_seeds")


def key(node: dict[str, Any]) -> dg.AssetKey:
    return dg.AssetKey([node["schema"], node["alias"] or node["name"]])


def test_every_raw_log_every_model_and_every_target_is_an_asset(
    graph: Any, manifest: dict[str, Any]
) -> None:
    expected = {dg.AssetKey(["raw", contract.table]) for contract in contracts().values()}
    expected |= {key(node) for node in models(manifest)}
    expected |= {
        dg.AssetKey(["serving", name])
        for name in ("marts_duckdb", "marts_parquet", "quality_report", "dashboard")
    }
    expected |= {dg.AssetKey(["exports", name]) for name in PACKS}
    ledgers = {found for found in graph.executable_asset_keys if found.path[0] in ("control",)}
    ledgers |= {dg.AssetKey(["quarantine", "lines"])}
    assert graph.executable_asset_keys - ledgers == expected


def test_groups_are_the_layers_in_order_and_the_marts_schemas(
    graph: Any, manifest: dict[str, Any]
) -> None:
    for contract in contracts().values():
        assert graph.get(dg.AssetKey(["raw", contract.table])).group_name == "1_raw"
    for node in models(manifest):
        layer = "seeds" if node["resource_type"] == "seed" else node["fqn"][1]
        expected = {
            "seeds": "3_seeds",
            "staging": "4_staging",
            "intermediate": "5_intermediate",
            "marts": f"6_marts_{node['schema']}",
        }
        assert graph.get(key(node)).group_name == expected[layer]
    # What is upstream stands earlier, but for what the marts and the plan know of gates and packs.
    for found in graph.executable_asset_keys:
        for parent in graph.get(found).parent_keys:
            assert graph.get(parent).group_name[0] <= graph.get(found).group_name[0], found


def test_every_asset_says_who_owns_it_what_it_is_and_who_may_read_it(graph: Any) -> None:
    for found in graph.get_all_asset_keys():
        node = graph.get(found)
        assert node.owners, found
        assert node.kinds, found
        assert DESCRIPTION.match(node.description or ""), found
        assert node.tags["tandem/access"] in ("private", "published", "released"), found
        assert node.group_name != "default", found


def test_every_table_shows_its_columns(graph: Any, manifest: dict[str, Any]) -> None:
    tables = {key(node) for node in models(manifest) if node["resource_type"] == "model"}
    tables |= {dg.AssetKey(["raw", contract.table]) for contract in contracts().values()}
    for found in tables:
        schema = graph.get(found).metadata["dagster/column_schema"]
        schema = schema.schema if isinstance(schema, dg.TableSchemaMetadataValue) else schema
        assert schema.columns, found


def test_every_check_says_what_it_guards_in_both_languages(graph: Any) -> None:
    for found in graph.asset_check_keys:
        assert DESCRIPTION.match(graph.get(found).description or ""), found


def test_every_job_schedule_and_sensor_is_described_and_tagged(
    definitions: dg.Definitions,
) -> None:
    jobs = [job for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")]
    assert {job.name for job in jobs} == {
        *("build", "full_refresh", "backfill", "live", "audience", "audience_expiry")
    }
    described = [*jobs, *(definitions.sensors or []), *(definitions.schedules or [])]
    for item in described:
        assert DESCRIPTION.match(item.description or ""), item.name
        assert item.tags["tandem/writes"] in ("warehouse", "exports"), item.name


def snapshot(definitions: dg.Definitions, graph: Any) -> dict[str, Any]:
    """What the code location declares, in a form that a reviewer can read as a difference.

    The gates' checks are left out: another test holds them to data_quality/suites.
    """
    checks: dict[str, list[str]] = {}
    for found in graph.asset_check_keys:
        if found.name != "gate" and found.asset_key != SERVED:
            checks.setdefault(found.asset_key.to_user_string(), []).append(found.name)
    return {
        "assets": {
            found.to_user_string(): {
                "group": graph.get(found).group_name,
                "deps": sorted(parent.to_user_string() for parent in graph.get(found).parent_keys),
                "checks": sorted(checks.get(found.to_user_string(), [])),
            }
            for found in sorted(graph.get_all_asset_keys())
        },
        "jobs": {
            job.name: sorted(node.name for node in job.nodes)
            for job in definitions.resolve_all_job_defs()
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: f"{schedule.cron_schedule} {schedule.job_name}"
            for schedule in definitions.schedules or []
            if isinstance(schedule, dg.ScheduleDefinition)
        },
        "sensors": {sensor.name: sensor.job_name for sensor in definitions.sensors or []},
    }


def test_the_graph_is_the_one_on_record(definitions: dg.Definitions, graph: Any) -> None:
    """Run with TANDEM_SNAPSHOT=write to record a change that was meant."""
    found = snapshot(definitions, graph)
    if WRITES_SNAPSHOT:
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
        SNAPSHOT.write_text(f"{text}\n", encoding="utf-8")
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    for part, expected in kept.items():
        assert found[part] == expected, f"TANDEM_SNAPSHOT=write records a change of {part}"


def test_dependencies_are_those_of_dbt_down_to_the_raw_logs(
    graph: Any, manifest: dict[str, Any]
) -> None:
    nodes = manifest["nodes"] | manifest["sources"]
    for node in models(manifest):
        parents = set()
        for parent in node.get("depends_on", {}).get("nodes", []):
            found = nodes[parent]
            name = found["name"] if found["resource_type"] == "source" else found["alias"]
            parents.add(dg.AssetKey([found["schema"], name]))
        assert graph.get(key(node)).parent_keys == parents, node["name"]
    marts = {key(node) for node in models(manifest) if node["fqn"][1] == "marts"}
    assert graph.get(SERVED).parent_keys == marts
    for contract in contracts().values():
        assert graph.get(dg.AssetKey(["control", "parameters"])).parent_keys >= {
            dg.AssetKey(["raw", contract.table])
        }


def test_every_table_has_one_check_a_stage_and_it_blocks_with_a_critical_rule(graph: Any) -> None:
    checks = {
        check_key: graph.get(check_key)
        for check_key in graph.asset_check_keys
        if check_key.name == "gate" or check_key.asset_key == SERVED
    }
    tables: dict[tuple[str, str], bool] = {}
    for stage in STAGES:
        for rule in list_expectations(stage):
            found = (stage, rule.table)
            tables[found] = tables.get(found, False) or rule.blocking
    assert len(checks) == len(tables)
    assert sum(node.blocking for node in checks.values()) == sum(tables.values())


def test_a_table_s_verdict_names_the_rules_that_failed() -> None:
    def judged(expectation: str, severity: Any, success: bool) -> Outcome:
        return Outcome(
            run_id="a",
            stage="marts",
            suite="users.daily_active",
            table_name="users.daily_active",
            expectation=expectation,
            column_name=None,
            severity=severity,
            success=success,
            observed="3 rows",
            fingerprint="",
            checked_at=datetime(2026, 5, 1, tzinfo=UTC),
        )

    fine, odd = judged("keys", "critical", True), judged("volume", "warning", False)
    (result,) = check_results("marts", [fine, odd])
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert {name: value.value for name, value in result.metadata.items()} == {
        "rules": 2,
        "passed": 1,
        "warnings": 1,
        "critical_failed": 0,
        "warning: volume": "3 rows",
    }
    (result,) = check_results("marts", [fine, odd, judged("sums", "critical", False)])
    assert result.severity == dg.AssetCheckSeverity.ERROR
    (result,) = check_results("marts", [fine])
    assert result.passed


def test_every_tested_model_has_one_check_for_its_dbt_tests(
    graph: Any, manifest: dict[str, Any]
) -> None:
    nodes = manifest["nodes"]
    tested = {
        nodes[node["attached_node"]]["unique_id"]
        for node in nodes.values()
        if node["resource_type"] == "test" and node.get("attached_node") in nodes
    }
    checks = {found.asset_key for found in graph.asset_check_keys if found.name == TESTS}
    assert checks == {key(nodes[name]) for name in tested}


def test_steps_take_turns_on_the_warehouse(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("build")
    assert {node.name: node.definition.pool for node in job.nodes} == {
        node.name: POOL for node in job.nodes
    }
    assert job.executor_def.name == "in_process"


def test_jobs_schedule_and_sensor(definitions: dg.Definitions, settings: Settings) -> None:
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    assert jobs >= {"build", "full_refresh", "backfill"}
    window = "control__window_dates"
    steps = {
        name: {node.name for node in definitions.resolve_job_def(name).nodes}
        for name in ("build", "full_refresh", "backfill")
    }
    assert steps["build"] == steps["full_refresh"] == steps["backfill"] - {window}
    assert window in steps["backfill"]
    assert definitions.resolve_job_def("full_refresh").tags["tandem/full_refresh"] == "true"
    schedules = [s for s in definitions.schedules or [] if isinstance(s, dg.ScheduleDefinition)]
    assert [(s.cron_schedule, s.execution_timezone, s.job_name) for s in schedules] == [
        ("0 3 * * *", settings.timezone, "build"),
        ("30 4 * * *", settings.timezone, "audience_expiry"),
    ]
    assert {s.default_status for s in schedules} == {dg.DefaultScheduleStatus.STOPPED}
    expiry = definitions.resolve_job_def("audience_expiry").nodes
    assert [node.name for node in expiry] == ["remove_expired_packs"]
    assert [node.name for node in definitions.resolve_job_def("live").nodes] == [
        "refresh_live_board"
    ]
    sensors = definitions.sensors or []
    assert {sensor.name: sensor.job_name for sensor in sensors} == {
        "landing": "build",
        "live_landing": "live",
    }
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.STOPPED}


def test_packs_are_released_by_their_own_job_alone(
    definitions: dg.Definitions, graph: Any, manifest: dict[str, Any]
) -> None:
    packs = {f"exports__{name}" for name in PACKS}
    jobs = {
        job.name: {node.name for node in job.nodes} for job in definitions.resolve_all_job_defs()
    }
    assert jobs["audience"] == packs
    assert not any(jobs[name] & packs for name in ("build", "full_refresh", "backfill", "live"))
    # In turn with every other writer: the ledger stands in the warehouse.
    nodes = definitions.resolve_job_def("audience").nodes
    assert {node.definition.pool for node in nodes} == {POOL}
    tables = {key(node) for node in models(manifest)}
    for name in PACKS:
        pack = graph.get(dg.AssetKey(["exports", name]))
        assert SERVED in pack.parent_keys
        assert pack.parent_keys - {SERVED} <= tables
        (check,) = (found for found in graph.asset_check_keys if found.asset_key == pack.key)
        assert (check.name, graph.get(check).blocking) == ("attacks", True)


def test_a_pack_s_verdict_names_the_attacks_that_succeeded() -> None:
    pack = dg.AssetKey(["exports", "seeds"])
    fine = {"id": "coins", "value": 0.0, "gate": 0.5, "pass": True}
    assert check_result(pack, [fine]).passed
    assert not check_result(pack, []).passed
    broken = check_result(pack, [fine, fine | {"id": "linkage", "value": 1.0, "pass": False}])
    assert not broken.passed
    assert {name: value.value for name, value in broken.metadata.items()} == {
        "attacks": 2,
        "failed": 1,
        "linkage": "1, gate 0.5",
    }


@pytest.mark.parametrize("number", [0, 1])
def test_the_sensors_ask_once_for_the_same_files(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    sensor = list(definitions.sensors or [])[number]
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.build_sensor_context() as context:
        assert not sensor.evaluate_tick(context).run_requests
        folder = tmp_path / "landing" / "community" / "events"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text("{}\n", encoding="utf-8")
        first = sensor.evaluate_tick(context).run_requests or []
        again = sensor.evaluate_tick(context).run_requests or []
        assert [request.run_key for request in first] == [request.run_key for request in again]
        (folder / "b.jsonl").write_text("{}\n", encoding="utf-8")
        more = sensor.evaluate_tick(context).run_requests or []
    assert len(first) == len(more) == 1
    assert more[0].run_key != first[0].run_key


def test_the_manifest_is_parsed_only_when_the_project_changed(
    settings: Settings, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration import transform

    path = ensure_manifest(settings)
    before = path.stat().st_mtime_ns
    assert ensure_manifest(settings).stat().st_mtime_ns == before
    parsed = []
    monkeypatch.setattr(transform, "project_fingerprint", lambda: "other")
    monkeypatch.setattr(transform.DbtSession, "parse", lambda session: parsed.append(session))
    ensure_manifest(settings)
    assert len(parsed) == 1


def test_the_instance_is_quiet_and_lets_one_run_write(tmp_path: Path) -> None:
    folder = instance_path(test_settings(tmp_path / "it's here"))
    text = (folder / "dagster.yaml").read_text(encoding="utf-8")
    assert json.dumps(str(folder / "events")) in text
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.event_log_storage.__class__.__name__ == "EventLog"
        config = instance.get_concurrency_config()
        assert config.pool_config.default_pool_limit == 1
        assert str(config.pool_config.pool_granularity).endswith("RUN")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    instance_path(test_settings(tmp_path / "it's here"))
    assert (folder / "dagster.yaml").read_text(encoding="utf-8").startswith("telemetry")


def test_many_threads_read_the_event_log_at_once(tmp_path: Path) -> None:
    folder = instance_path(test_settings(tmp_path))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        log = instance.event_log_storage
        started = threading.Barrier(16)

        def read(_: int) -> int:
            started.wait()
            return sum(len(log.get_logs_for_run("none")) for _ in range(20))

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(read, range(16))) == [0] * 16
