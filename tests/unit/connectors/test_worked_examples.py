"""The worked examples of the connectors' pages: what they show is what a reader gets."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import duckdb
import orjson
import pytest
import yaml
from typer.testing import CliRunner

from orchestration import cli
from orchestration.connectors import BUILT_IN
from tests.unit.connectors.landing_files import contract_faults, read_landing

PAGES = Path(__file__).parents[3] / "docs" / "connectors"
MARTS = Path(__file__).parents[3] / "dbt_project" / "models" / "marts"
EXAMPLE = "Worked example"
RUN = "From an export to the marts"
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its title if it has one, its text with a last newline."""

    language: str
    title: str
    text: str


def blocks(page: str, heading: str) -> list[Block]:
    """The fenced blocks below a heading of a page, up to the next heading of its level."""
    _, found, rest = (PAGES / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, f"{page} has no section {heading!r}"
    return [Block(*match.groups("")) for match in _FENCE.finditer(rest.split("\n## ")[0])]


def write_inputs(folder: Path, found: list[Block]) -> None:
    """Write each titled block that is no landing record under its title."""
    for block in found:
        if block.title and not block.title.startswith("landing/"):
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def run_shown(console: str) -> None:
    """Run the `tandem` command of a console block; it must print what the block shows."""
    prompt, _, printed = console.partition("\n")
    dollar, program, *arguments = shlex.split(prompt)
    assert (dollar, program) == ("$", "tandem")
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.exception
    assert result.stdout == printed


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as a reader has it: nothing in it, the home at its default place."""
    for name in [name for name in os.environ if name.startswith("TANDEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_format_has_its_page() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {"README", *BUILT_IN}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_page_shows_what_the_command_gives(name: str, desk: Path) -> None:
    found = blocks(f"{name}.md", EXAMPLE)
    write_inputs(desk, found)
    (console,) = (block.text for block in found if block.language == "console")
    assert console.startswith(f"$ tandem convert {name} ")
    run_shown(console)
    records = read_landing(desk / ".tandem" / "landing")
    assert contract_faults(records, name) == []
    shown = [block for block in found if block.title.startswith("landing/")]
    assert shown
    for block in shown:
        assert orjson.loads(block.text) in records[block.title.removeprefix("landing/")]


def test_the_run_to_the_marts_begins_as_shown(desk: Path) -> None:
    for page in ("slack.md", "mapping.md"):
        write_inputs(desk, blocks(page, EXAMPLE))
    found = blocks("README.md", RUN)
    write_inputs(desk, found)
    shown = [block.text for block in found if block.text.startswith("$ tandem convert ")]
    assert len(shown) == 2
    for console in shown:
        run_shown(console)


def test_the_run_to_the_marts_ends_in_a_query_of_marts() -> None:
    texts = [block.text for block in blocks("README.md", RUN)]
    (console,) = (text for text in texts if "marts.sql" in text)
    query, printed = console.split("'''")[1:]
    with duckdb.connect() as marts:
        for schema, table in re.findall(r"\b(?:from|join) (\w+)\.(\w+)", query):
            text = (MARTS / schema / f"{table}.yml").read_text(encoding="utf-8")
            (model,) = yaml.safe_load(text)["models"]
            columns = ", ".join(f'"{it["name"]}" {it["data_type"]}' for it in model["columns"])
            marts.execute(f"create schema {schema}")
            marts.execute(f"create table {schema}.{table} ({columns})")
        names = marts.sql(query).columns
    assert re.findall(r"\w+", printed.splitlines()[2]) == names
