"""What the commands say and how they end; what they do is tested where it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestration import cli
from orchestration.build import StageResult
from orchestration.errors import GateError, LockedError, SettingsError, TandemError
from orchestration.lock import build_lock
from orchestration.progress import BuildProgress, progress_bar
from orchestration.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TANDEM_LOCK_WAIT_SECONDS", "0.1")
    return tmp_path / ".tandem"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def land(home: Path, *lines: dict[str, Any]) -> None:
    folder = home / "landing" / "community" / "events"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )


GOOD = {
    "source": "s",
    "event_id": "e1",
    "account_id": "a",
    "event_type": "read",
    "occurred_at": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TandemError("broken"), 1),
        (SettingsError("broken"), 2),
        (GateError("broken"), 3),
        (LockedError("broken"), 4),
        (OSError(28, "broken"), 1),
        (SystemExit(130), 130),
        (RuntimeError("Query interrupted"), 130),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("tandem: ")
    assert output.err.count("\n") == 1


def test_ctrl_c_in_a_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_settings", interrupted)
    monkeypatch.setattr(sys, "argv", ["tandem", "build"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "tandem: stopped; the next build goes on from here\n"


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [(["--help"], 0, "stdout"), (["nonsense"], 2, "stderr"), (["status"], 1, "stderr")],
)
def test_a_process_ends_with_the_code_and_all_that_it_said(
    home: Path, arguments: list[str], code: int, output: str
) -> None:
    """Through a pipe, which is flushed at the very end."""
    (home / "warehouse.duckdb").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import script; script()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert getattr(done, output).endswith("\n")


def test_help_imports_nothing_heavy() -> None:
    heavy = {"dagster", "dbt", "great_expectations", "pandas", "duckdb", "pydantic", "pyarrow"}
    script = (
        "import sys; from typer.testing import CliRunner; from orchestration import cli;"
        "CliRunner().invoke(cli.app, ['--help']);"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_status_imports_no_engine_but_duckdb(home: Path) -> None:
    from orchestration.ingest import ingest

    land(home, GOOD)
    ingest(load_settings())
    heavy = {"dagster", "dbt", "great_expectations", "pandas", "pyarrow", "sqlalchemy"}
    script = (
        "import sys; from typer.testing import CliRunner; from orchestration import cli;"
        "result = CliRunner().invoke(cli.app, ['status']); assert not result.exception, result;"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env=dict(os.environ) | {"TANDEM_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_command_has_help() -> None:
    for command in ("demo", "convert", "build", "status", "quarantine"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.output
    for command in ("list", "show", "replay"):
        assert run("quarantine", command, "--help").exit_code == 0


def test_demo_says_where_it_wrote(home: Path) -> None:
    result = run("demo", "--persons", "100", "--days", "14", "--json")
    report = json.loads(result.stdout)
    assert report["lines"] > 1000
    assert Path(report["landing"]).is_dir()
    assert (Path(report["truth"]) / "facts.json").exists()
    assert run("demo", "--persons", "1").exit_code == 2


def test_convert_refuses_unknown_formats_and_options() -> None:
    result = run("convert", "nosuch", "here", "--source", "x")
    assert isinstance(result.exception, TandemError)
    assert result.exception.exit_code == 2
    assert "stackexchange" in str(result.exception)
    assert run("convert", "slack", "here", "--source", "x", "--option", "bad").exit_code == 2


def test_quarantine_lists_shows_and_replays(home: Path) -> None:
    from orchestration.ingest import ingest

    assert run("quarantine", "list").stdout == "nothing was rejected\n"
    land(home, GOOD, GOOD | {"event_id": "e2", "event_type": "nosuch"})
    ingest(load_settings())
    groups = json.loads(run("quarantine", "list", "--json").stdout)
    assert [(group["reason"], group["field"], group["lines"]) for group in groups] == [
        ("bad_enum", "event_type", 1)
    ]
    assert "bad_enum event_type" in run("quarantine", "list").stdout
    shown = run("quarantine", "show", "--reason", "bad_enum").stdout
    assert "community/events/0.jsonl:2: bad_enum event_type" in shown
    assert '"nosuch"' in shown
    assert json.loads(run("quarantine", "show", "--log", "group/messages", "--json").stdout) == []
    replayed = json.loads(run("quarantine", "replay", "--json").stdout)
    assert (replayed["lines"], replayed["rejected"]) == (1, 1)


def test_a_running_build_is_named_by_build_and_status(home: Path) -> None:
    from orchestration.ingest import ingest

    land(home, GOOD)
    ingest(load_settings())
    with build_lock(load_settings()):
        result = run("build")
        assert isinstance(result.exception, LockedError)
        assert f"process {os.getpid()}" in str(result.exception)
        replay = run("quarantine", "replay")
        assert isinstance(replay.exception, LockedError)
        status = json.loads(run("status", "--json").stdout)
    assert status["holder"] == f"process {os.getpid()}"


def test_status_before_and_after_the_first_ingest(home: Path) -> None:
    assert "no warehouse yet" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["build"] is None
    from orchestration.ingest import ingest

    land(home, GOOD)
    ingest(load_settings())
    land(home, GOOD | {"event_id": "e2"})
    text = run("status", "--why").stdout
    assert "nothing yet" in text
    assert "1 files in the landing zone" in text
    assert "community/events" in text


def test_progress_writes_lines_only_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BuildProgress() as progress:
        progress.started("ingest")
        progress.progressed("ingest", 1, None, "bytes")
        progress.finished(StageResult("ingest", 1.25, True, "3 files"))
        progress.finished(StageResult("gate raw", 0.5, False, "1 critical failed"))
    with progress_bar("simulating", "days") as move:
        move(1, 2)
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.splitlines() == [
        "ok     ingest                 1.2 s  3 files",
        "FAILED gate raw               0.5 s  1 critical failed",
    ]
    with BuildProgress(quiet=True) as progress:
        progress.finished(StageResult("ingest", 1.0, True, ""))
    assert capsys.readouterr().out == ""
