"""`tandem dashboard` and the asset: thin, and never in the way of what is published."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from orchestration import cli
from orchestration.defs import serving
from orchestration.settings import Settings
from orchestration.steps import Steps
from tests.support import KEY, test_settings
from tests.unit.dashboard.published_world import make_published, small_world


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return test_settings(tmp_path)


def test_the_command_writes_where_it_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_KEY", KEY)

    def tandem(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tandem", "dashboard", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    code, _, complaint = tandem()
    assert (code, "run `tandem build`" in complaint) == (1, True)
    make_published(settings.serving_path, small_world(), without=("audience.attacks",))
    out = settings.home / "elsewhere"
    code, text, _ = tandem("--out", str(out))
    assert (code, str(out / "index.html") in text) == (0, True)
    assert "without audience/packs: missing" in text
    code, text, _ = tandem("--json")
    found = json.loads(text)
    assert (code, found["version"], found["as_of_date"]) == (0, 1, "2026-03-29")
    assert found["path"] == str(settings.home / "dashboard" / "index.html")


def materialize(settings: Settings) -> dg.ExecuteInProcessResult:
    layer: Any = SimpleNamespace(specs=[])
    *_, asset = serving.assets([layer])
    build: Any = SimpleNamespace(settings=settings)
    return dg.materialize([asset], resources={"build": Steps(build)})


def test_the_asset_shows_what_it_wrote(settings: Settings) -> None:
    make_published(settings.serving_path, small_world())
    (made,) = materialize(settings).asset_materializations_for_node("serving__dashboard")
    assert made.metadata["version"].value == 1
    assert (settings.home / "dashboard" / "index.html").exists()


def test_a_site_that_cannot_be_written_fails_no_run(settings: Settings) -> None:
    settings.serving_path.parent.mkdir(parents=True)
    settings.serving_path.write_text("torn", encoding="utf-8")
    result = materialize(settings)
    assert result.success
    assert result.asset_materializations_for_node("serving__dashboard") == []
    assert settings.serving_path.read_text(encoding="utf-8") == "torn"
