"""Another key: what is kept, who may read it, and that any moment is one to be killed at."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration import durable, keys
from orchestration.audience.manifest import manifest_key
from orchestration.audience.release import snapshot_id
from orchestration.erasure.tombstones import key_check, tombstone
from orchestration.errors import LockedError, SettingsError, TandemError
from orchestration.lock import build_lock
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", lock_wait_seconds=0.0)


def _vouched(settings: Settings) -> tuple[object, ...]:
    return (
        key_check(settings),
        tombstone(settings, "member", "wecom", "wm1"),
        manifest_key(settings),
    )


def test_tokens_change_and_what_was_vouched_for_does_not(settings: Settings) -> None:
    key, vouched, before = settings.secret_key(), _vouched(settings), settings.fingerprint()
    for _ in range(2):
        done = keys.rotate_key(settings)
        assert settings.secret_key() != key
        assert len(settings.secret_key()) == 64
        assert _vouched(settings) == vouched
        assert done.is_in_file
        assert settings.fingerprint() != before
        assert settings.fingerprint().split("-")[0] == before.split("-")[0]
        key = settings.secret_key()
    for path in (settings.key_path, keys.kept_path(settings)):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_rebuild_elsewhere_has_the_kept_keys(settings: Settings, tmp_path: Path) -> None:
    vouched = _vouched(settings)
    keys.rotate_key(settings)
    work = settings.model_copy(update={"home": tmp_path / "home" / "rebuild"})
    keys.bring_kept_keys(settings, work)
    (work.home / "key").write_bytes(settings.secret_key())
    (work.home / "key").chmod(0o600)
    assert _vouched(work) == vouched


def test_a_key_in_the_environment_stays_ours_to_keep_and_theirs_to_change(tmp_path: Path) -> None:
    first = Settings.model_validate({"home": tmp_path, "key": "a" * 32})
    vouched = _vouched(first)
    done = keys.rotate_key(first)
    assert not done.is_in_file
    assert not first.key_path.exists()
    assert _vouched(Settings.model_validate({"home": tmp_path, "key": "b" * 32})) == vouched


@pytest.mark.parametrize("survives", [0, 1])
def test_killed_between_its_steps(
    settings: Settings, survives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, vouched = settings.secret_key(), _vouched(settings)
    real, done = durable.replace, [0]

    def dies(temporary: Path, target: Path) -> None:
        if done[0] == survives:
            raise KeyboardInterrupt
        done[0] += 1
        real(temporary, target)

    monkeypatch.setattr(durable, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        keys.rotate_key(settings)
    assert settings.secret_key() == key
    assert _vouched(settings) == vouched
    monkeypatch.undo()
    keys.rotate_key(settings)
    assert settings.secret_key() != key
    assert _vouched(settings) == vouched
    assert sorted(path.name for path in settings.home.iterdir()) == [
        "build.lock",
        "derived-keys.json",
        "key",
        *(["serving"] if (settings.home / "serving").exists() else []),
    ]


def test_what_is_refused(settings: Settings) -> None:
    settings.secret_key()
    with build_lock(settings), pytest.raises(LockedError):
        keys.rotate_key(settings)
    keys.rotate_key(settings)
    keys.kept_path(settings).chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        key_check(settings)
    keys.kept_path(settings).chmod(0o600)
    keys.kept_path(settings).write_text("{}")
    with pytest.raises(TandemError, match="is damaged"):
        keys.rotate_key(settings)


def test_another_key_is_no_other_data_for_a_pack(settings: Settings) -> None:
    found = []
    for _ in range(2):
        with open_warehouse(settings) as connection:
            connection.execute(
                f"""
                create schema if not exists control;
                create or replace table control.builds as
                select 'b' as build_id, now() as started_at, 'published' as state, 3 as batch_id,
                    date '2026-01-31' as as_of_date, 'code' as code_fingerprint,
                    '{settings.fingerprint()}' as settings_fingerprint
                """
            )
            found.append(snapshot_id(connection))
        keys.rotate_key(settings)
    assert found[0] == found[1]
