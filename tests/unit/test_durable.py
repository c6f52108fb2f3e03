"""Bytes reach the disk before a file's name does, and the name before anything is built on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orchestration import durable


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        made.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def replaced(source: Any, target: Any) -> None:
        made.append(("replace", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return made


def test_a_file_is_synced_then_renamed_then_its_folder_synced(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    durable.replace(tmp_path / "new", tmp_path / "old")
    assert calls == [("fsync", "new"), ("replace", "old"), ("fsync", tmp_path.name)]
    assert (tmp_path / "old").read_text() == "new"


def test_a_folder_is_synced_from_its_files_up(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "file").write_text("x")
    durable.replace(tmp_path / "new", tmp_path / "there")
    assert [name for _, name in calls] == ["file", "deep", "new", "there", tmp_path.name]


def test_writing_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    durable.write(path, "old", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
