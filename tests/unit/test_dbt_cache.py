"""What one home has parsed serves the next, and no damaged copy counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration import dbt_cache, plan, transform

NAMES = ("manifest.json", "partial_parse.msgpack", "models.msgpack", "manifest.sha256")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _home(folder: Path, fingerprint: str) -> Path:
    folder.mkdir()
    for name in NAMES[:3]:
        (folder / name).write_text(f"{name} of {fingerprint}", "ascii")
    (folder / NAMES[3]).write_text(transform._stamp(folder, fingerprint), "ascii")
    return folder


def test_another_home_takes_what_is_kept(tmp_path: Path) -> None:
    first = _home(tmp_path / "first", "a state")
    dbt_cache.keep(first, "a state", NAMES)
    second = tmp_path / "second"
    assert not transform._is_at_hand(second, "another state")
    assert transform._is_at_hand(second, "a state")
    assert {path.name: path.read_bytes() for path in second.iterdir()} == {
        path.name: path.read_bytes() for path in first.iterdir()
    }


def test_a_damaged_copy_does_not_count(tmp_path: Path) -> None:
    dbt_cache.keep(_home(tmp_path / "first", "a state"), "a state", NAMES)
    (kept,) = (tmp_path / "cache").rglob("models.msgpack")
    kept.write_bytes(b"\0" * 20)
    assert not transform._is_at_hand(tmp_path / "second", "a state")


def test_a_project_elsewhere_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dbt_cache.keep(_home(tmp_path / "first", "a state"), "a state", NAMES)
    monkeypatch.setattr(plan, "DBT_PROJECT", tmp_path / "project")
    assert not transform._is_at_hand(tmp_path / "second", "a state")


def test_only_the_states_used_last_are_kept(tmp_path: Path) -> None:
    for number in range(dbt_cache.STATES_KEPT + 2):
        state = f"state {number}"
        dbt_cache.keep(_home(tmp_path / state, state), state, NAMES)
        for folder in (tmp_path / "cache" / "tandem" / "dbt").iterdir():
            stat = folder.stat()
            os.utime(folder, (stat.st_mtime - 10, stat.st_mtime - 10))
    folders = list((tmp_path / "cache" / "tandem" / "dbt").iterdir())
    assert len(folders) == dbt_cache.STATES_KEPT
    assert not transform._is_at_hand(tmp_path / "oldest", "state 0")
    assert transform._is_at_hand(tmp_path / "newest", state)


def test_without_a_place_to_keep_it_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    home = _home(tmp_path / "first", "a state")
    dbt_cache.keep(home, "a state", NAMES)
    assert not transform._is_at_hand(tmp_path / "second", "a state")
