"""What a terminal is shown, and files that a person points a command at."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration import cli
from orchestration.audience.definition import SpecError
from orchestration.audience.policy import AudiencePolicy
from orchestration.audience.spec import compile_spec
from orchestration.audience.verify import verify_pack
from orchestration.errors import SettingsError, TandemError
from orchestration.ingest import ingest
from orchestration.payouts import verify
from orchestration.payouts.policies import read_policies
from orchestration.settings import load_settings
from orchestration.terminal import shown, shown_lines
from tests.support import test_settings as settings_at

EVIL = "a\x1b[31mred\x1b]0;t\x07\n  ok     9  forged\r\u202etxt\x9b2J[bold]b[/]"


def test_nothing_of_a_text_moves_the_cursor() -> None:
    line = shown(f"{EVIL}\udcff 名字 🎉")
    assert line == (
        "a\\x1b[31mred\\x1b]0;t\\x07\\n  ok     9  forged\\r\\u202etxt\\x9b2J[bold]b[/]"
        "\\udcff 名字 🎉"
    )
    assert shown_lines("one\ntandem: two") == "one\n  tandem: two"


def test_a_landing_name_forges_no_line_of_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    folder = home / "landing" / "community" / "events"
    folder.mkdir(parents=True)
    for name in (EVIL.replace("/", ""), "\udcfe"):
        (folder / f"{name}.jsonl").write_text('{"query": "\\u001b[2J"}\n')
    ingest(settings_at(home))
    monkeypatch.setenv("TANDEM_HOME", str(home))
    run = CliRunner().invoke
    for arguments in (["quarantine", "list"], ["quarantine", "show"], ["status"]):
        output = run(cli.app, arguments).output
        assert "\x1b" not in output
        assert "\u202e" not in output
        assert not any(line.lstrip().startswith("ok ") for line in output.splitlines())
    rows = json.loads(run(cli.app, ["quarantine", "list", "--json"]).output)
    assert len(rows) == 2
    monkeypatch.setattr("sys.argv", ["tandem", "quarantine", "list", "--log", "x\udcff"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2


@pytest.mark.parametrize("name", ["../../etc", "/etc", "seeds\n", "", "a/b", "v\u00b2", "x" * 99])
def test_a_pack_s_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(TandemError, match=r"is no name of a pack|has no released version"):
        verify_pack(settings_at(tmp_path), name)


@pytest.mark.parametrize(
    "manifest",
    [
        "[" * 100_000,
        "[]",
        '{"pack": ' + "9" * 6000 + "}",
        "\udcff",
        " " * 5_000_000,
        '{"pack":1,"kind":"rows","purpose":1,"recipients":[],"composition":{"population":1},'
        '"columns":[],"guarantee":{"epsilon":1,"delta":1,"beta":1,"k":1,"l":1,"alpha":1,"t":1},'
        '"spec_sha256":1,"hmac":"\u00e9","files":{"../../../key":{}, "/etc/passwd":[]}}',
    ],
)
def test_a_manifest_that_is_none_is_said_to_be_none(tmp_path: Path, manifest: str) -> None:
    settings = settings_at(tmp_path)
    ingest(settings)
    folder = tmp_path / "exports" / "seeds" / "v001"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest.encode("utf-8", "surrogateescape"))
    with pytest.raises(TandemError, match="is no manifest") as caught:
        verify_pack(settings, "seeds")
    assert len(str(caught.value)) < 500


def test_a_pipe_in_a_pack_s_folder_blocks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "exports" / "seeds" / "v001"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(TandemError, match="is no manifest"):
        verify_pack(settings_at(tmp_path), "seeds")


def test_a_served_file_that_is_none(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    settings.serving_path.parent.mkdir(parents=True)
    settings.serving_path.write_bytes(b"DUCK" * 5000)
    with pytest.raises(TandemError, match="no payout ledger that can be read"):
        verify(settings, published=True)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
        'timezone = "Asia"',
        'timezone = "' + "a" * 5000 + '"',
        '[[funnels]]\nname = "f"\nwindow_days = 7\nsteps = ["' + "v" * 50_000 + '"]',
        "".join(f"k{number} = 1\n" for number in range(5000)),
        "\x00",
    ],
)
def test_settings_say_shortly_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "tandem.toml"
    path.write_text(text)
    monkeypatch.setenv("TANDEM_CONFIG", str(path))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 5000


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB}policies: *u\n",
        "- &a [*a]\n",
        "- {source: s, policy_id: p, scope: platform, valid_from: 2026-02-30, share_bps: 1}",
        "- {source: s, policy_id: p, scope: platform, share_bps: " + "9" * 5000 + "}",
        "[" * 100_000,
        "? [a]\n: b\n",
    ],
)
def test_a_hostile_policy_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(TandemError) as caught:
        read_policies(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 500


def test_a_hostile_pack_definition_is_refused(tmp_path: Path) -> None:
    for text in (BOMB, "[" * 100_000, "pack: |\n  seeds\n", "\udcff", "? {a: b}\n: c\n"):
        path = tmp_path / "seeds.yml"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(SpecError):
            compile_spec(path, AudiencePolicy())
