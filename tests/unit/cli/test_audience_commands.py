"""`tandem audience`: what the commands print and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration import cli
from orchestration.audience import release
from tests.support import KEY
from tests.unit.audience.pack_world import COUNTS_PACK, blocking, make_world, passing


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("cli"), 500, {"demand": COUNTS_PACK}).home


@pytest.fixture
def tandem(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("TANDEM_HOME", str(home))
    monkeypatch.setenv("TANDEM_KEY", KEY)
    monkeypatch.setenv("TANDEM_AUDIENCE", json.dumps({"packs": [str(home / "packs")]}))

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["tandem", "audience", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


def test_from_a_dry_run_to_a_revocation(tandem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = tandem("build", "demand", "--dry-run", "--json")
    assert (code, json.loads(text)["after"]["epsilon"]) == (0, 0.2)
    code, text = tandem("build", "demand", "--dry-run")
    assert code == 0
    assert "channel                  feature          5 values: a, b, c, (other), (none)" in text
    assert "budget: epsilon 0 now, 0.2 after, of 4 in 90 days" in text
    monkeypatch.setattr(release, "_suite", lambda: blocking)
    code, text = tandem("build", "demand")
    assert (code, "demand v001 is blocked by stub" in text) == (3, True)
    monkeypatch.setattr(release, "_suite", lambda: passing)
    code, text = tandem("build", "demand", "--json")
    assert (code, json.loads(text)["version"], json.loads(text)["is_new"]) == (0, 2, True)
    assert "nothing new to draw; demand v002" in tandem("build", "demand")[1]
    code, text = tandem("list", "--json")
    found = json.loads(text)
    assert [item["status"] for item in found["versions"]] == ["blocked", "released"]
    assert found["balance"]["epsilon"] == pytest.approx(0.4)
    assert "spent      epsilon 0.4 of 4" in tandem("list")[1]
    code, text = tandem("verify", "demand", "--json")
    assert (code, all(check["passed"] for check in json.loads(text)["checks"])) == (0, True)
    path = Path(json.loads(text)["folder"]) / "card.md"
    path.write_text("x", encoding="utf-8")
    code, text = tandem("verify", "demand")
    assert (code, "FAILED bytes of card.md" in text) == (3, True)
    assert tandem("expire")[1] == "nothing has expired\n"
    assert tandem("revoke", "demand") == (0, "revoked demand v002\n")
    assert tandem("verify", "demand")[0] == 1


def test_refusals_end_with_two(tandem: Any) -> None:
    code, text = tandem("build", "nope")
    assert code == 2
    assert "no pack nope; there are channel_region_week, demand, high_value_lookalikes" in text
    code, text = tandem("build", "interest_seeds", "--dry-run")
    assert (code, "refused: " in text, "10,000 eligible persons" in text) == (2, True, True)
