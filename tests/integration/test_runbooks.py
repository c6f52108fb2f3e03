"""The runbooks as written: their `sh` blocks are run in order, and what they print is compared.

Ingestion, ledgers, locks, publishing and the command line are the real ones; the dbt project is the
stub's and the gates pass, so that a build takes a second.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from data_quality import verdicts
from data_quality.runner import Outcome
from orchestration import build as build_module
from orchestration import cli, plan, recorder
from orchestration.errors import TandemError
from orchestration.gates import GateWorker
from orchestration.settings import load_settings
from tests.integration.stub import outcome, stub_project

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
SECTIONS = ["When", "What you need", "Steps", "Check", "Undo", "What can go wrong"]
TWO_VERSIONS = {"roll-back-a-publish"}
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One `sh` block and the patterns of the lines that it prints, in order."""

    commands: str
    expected: tuple[str, ...]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block, without its indentation."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    found = []
    for indent, language, body in _BLOCK.findall(text):
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        found.append((language, "\n".join(lines)))
    return found


def steps(page: str) -> list[Step]:
    """The runnable blocks in order, each with the `text` block right after it."""
    found = blocks(page)
    result = []
    for number, (language, body) in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else ("", "")
        if language == "sh":
            expected = following[1].splitlines() if following[0] == "text" else []
            result.append(Step(body, tuple(expected)))
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose `.tandem` was built once, with one rejected line."""
    folder = tmp_path_factory.mktemp("runbooks")
    with pytest.MonkeyPatch.context() as patch:
        _small_project(patch)
        patch.chdir(folder)
        _land(folder, 1, "2026-01-01T04:00:00Z")
        _land(folder, 2, "2026-01-02T04:00:00Z")
        _land(folder, 3, "2026-02-30T04:00:00Z")
        assert "version 1 is published" in _tandem("build")
        yield folder


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was built, and the working folder."""
    shutil.copytree(built / ".tandem", tmp_path / ".tandem", symlinks=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


def _small_project(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "DBT_PROJECT", stub_project())

    def judge(_: GateWorker, settings: Any, stage: str, **named: Any) -> Sequence[Outcome]:
        return [outcome(named["run_id"], stage, success=True)]

    def publishable(connection: Any, run_id: str, **_: Any) -> list[Outcome]:
        return verdicts.require(verdicts.load(connection, run_id))

    def run_job(settings: Any, **named: Any) -> build_module.Build:
        return build_module.run_build(settings, **named)

    patch.setattr(GateWorker, "run", judge)
    patch.setattr(GateWorker, "warm_up", lambda self: None)
    patch.setattr(verdicts, "assert_publishable", publishable)
    patch.setattr(recorder, "run_job", run_job)


def _land(folder: Path, number: int, moment: str) -> None:
    record = {
        "source": "s",
        "event_id": f"e{number}",
        "account_id": "a",
        "event_type": "read",
        "occurred_at": moment,
    }
    path = folder / ".tandem" / "landing" / "community" / "events" / "s" / f"{number}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")


def _tandem(*arguments: str) -> str:
    """What a command prints; fails when it does."""
    result = CliRunner().invoke(cli.app, list(arguments))
    if isinstance(result.exception, TandemError):
        raise result.exception
    assert result.exit_code == 0, f"tandem {' '.join(arguments)}: {result.output}"
    return result.output


def _run(commands: str) -> str:
    """What a block prints: `tandem` in this process, the rest in a shell."""
    begin, output = Path.cwd(), ""
    try:
        for line in commands.splitlines():
            words = shlex.split(line)
            if words[0] == "cd":
                os.chdir(words[1])
            elif words[0] == "tandem":
                output += _tandem(*words[1:])
            else:
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", line],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"{line}: {done.stderr}"
                output += done.stdout
    finally:
        os.chdir(begin)
    return output


def _missing(output: str, expected: Sequence[str]) -> str | None:
    """The first expected line that no line of the output matches, in order."""
    lines = iter(output.splitlines())
    for pattern in expected:
        parts = [re.escape(" ".join(part.split())) for part in pattern.split("…")]
        wanted = re.compile(r"\s*.*\s*".join(parts))
        if not any(wanted.fullmatch(" ".join(line.split())) for line in lines):
            return pattern
    return None


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_does_what_it_says(page: str, built: Path, home: Path) -> None:
    if page in TWO_VERSIONS:
        _land(home, 9, "2026-01-03T04:00:00Z")
        _tandem("build")
    for step in steps(page):
        output = _run(step.commands)
        missing = _missing(output, step.expected)
        assert missing is None, f"{page}: {missing!r} is not in what it printed:\n{output}"


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_has_every_section(page: str) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[: len(SECTIONS)] == SECTIONS
    assert f"({page}.md)" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_of_a_runbook_exists(page: str) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    shown = [body for language, body in blocks(page) if language in ("sh", "bash")]
    lines = [line.strip() for body in shown for line in body.splitlines()]
    lines += re.findall(r"`(tandem [^`…]+)`", text)
    known = get_command(cli.app)
    for line in lines:
        words = shlex.split(line, comments=True)
        if not words or words[0] != "tandem":
            continue
        command: Any = known
        for word in words[1:]:
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
        options = {name for item in command.params for name in item.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert command is not known, line
        assert used <= options, f"{line}: {used - options}"


def test_what_an_expected_line_may_be() -> None:
    assert _missing("a 1 b\nc\n", ["a … b", "c"]) is None
    assert _missing("c\na 1 b\n", ["a … b", "c"]) == "c"
    assert load_settings().home == Path(".tandem")
