"""Defaults follow what the process may use, of the machine or of a container."""

from __future__ import annotations

import gc
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration import machine
from orchestration.dbt_plugin import Plugin
from orchestration.settings import Settings
from orchestration.warehouse import duckdb_config, open_warehouse
from tests.support import test_settings

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "gigabytes", "limit"),
    [
        (1, 1, "500MB"),
        (2, 4, "1500MB"),
        (2, 24, "1500MB"),
        (4, 16, "5500MB"),
        (8, 16, "7500MB"),
        (8, 32, "13500MB"),
        (64, 512, "125500MB"),
    ],
)
def test_memory_follows_cores_and_memory(cores: int, gigabytes: int, limit: str) -> None:
    assert machine.memory_limit(cores, gigabytes * GB) == limit


@given(st.integers(1, 512), st.integers(3 * GB, 4096 * GB))
def test_half_of_the_machine_stays_free(cores: int, memory: int) -> None:
    limit = int(machine.memory_limit(cores, memory).removesuffix("MB")) * 10**6
    assert machine.LEAST_BYTES <= limit <= memory // 2


@pytest.mark.parametrize(
    ("cores", "gigabytes", "data", "limit"),
    [
        (2, 24, 3 * GB, "1500MB"),
        (2, 24, 12 * GB, "3000MB"),
        (2, 4, 12 * GB, "1500MB"),
        (8, 32, 12 * GB, "13500MB"),
        (8, 32, 600 * GB, "15500MB"),
    ],
)
def test_memory_follows_the_warehouse_where_there_is_some(
    cores: int, gigabytes: int, data: int, limit: str
) -> None:
    assert machine.memory_limit(cores, gigabytes * GB, data) == limit


def test_a_warehouse_is_given_room_unless_somebody_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(_cores: int, _memory: int, data: int = 0) -> str:
        return "900MB" if data else "600MB"

    def used(settings: Settings) -> set[str]:
        with open_warehouse(settings) as first, open_warehouse(settings) as second:
            return {_limit_of(first), _limit_of(second)}

    monkeypatch.setattr(machine, "memory_limit", limit)
    follows = test_settings(tmp_path)
    assert follows.memory_limit == "600MB"
    assert used(follows) == {"858.3 MiB"}
    assert used(test_settings(tmp_path, memory_limit="600MB")) == {"572.2 MiB"}
    # As `dbt build` opens it in dbt_project/.
    plugin = Plugin.__new__(Plugin)
    plugin.settings = follows
    with duckdb.connect(follows.warehouse_path, config=dict(duckdb_config(follows))) as alone:
        assert _limit_of(alone) == "572.2 MiB"
        plugin.configure_cursor(alone)
        assert _limit_of(alone) == "858.3 MiB"


def _limit_of(connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("select current_setting('memory_limit')").fetchone()
    return str(row[0]) if row else ""


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")
    return root


def test_a_container_of_version_2(tmp_path: Path) -> None:
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "sys/fs/cgroup/pod/app/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": "1000000\n",
            "sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
        },
    )
    assert machine.usable_memory(root) == 1_000_000
    assert machine.usable_cores(root) == 1


def test_a_container_of_version_1(tmp_path: Path) -> None:
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a/b\n3:cpu,cpuacct:/a\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert machine.usable_memory(root) == 2_000_000


def test_no_container(tmp_path: Path) -> None:
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
    )
    assert machine.usable_memory(root) == machine.usable_memory(tmp_path / "nothing") > GB
    assert machine.usable_cores(root) == machine.usable_cores(tmp_path / "nothing") >= 1


def test_what_is_set_wins() -> None:
    settings = Settings(threads=3, memory_limit="2GB")
    assert (settings.threads, settings.memory_limit) == (3, "2GB")
    assert Settings(threads=1).memory_limit == machine.memory_limit(1, machine.usable_memory())


def test_collections_are_as_before_afterwards() -> None:
    before = gc.get_threshold()
    with machine.rare_collections():
        assert gc.get_threshold()[0] > before[0]
        with machine.rare_collections():
            pass
        assert gc.get_threshold()[0] > before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
