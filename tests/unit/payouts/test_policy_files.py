"""Files of share policies that a person wrote: the three forms, and every mistake by its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestration.errors import TandemError
from orchestration.payouts import Policy, read_policies

EXPECTED = [
    Policy("s", "p1", "platform", 6500, date(2026, 1, 1)),
    Policy("s", "p2", "node", 0, date(2026, 2, 28), "12345678901234567890"),
]
CSV = (
    "source,policy_id,scope,share_bps,valid_from,scope_id\n"
    "s,p1,platform,6500,2026-01-01,\n"
    "s,p2,node,0,2026-02-28,12345678901234567890\n"
)
JSONL = (
    '{"source": "s", "policy_id": "p1", "scope": "platform", "share_bps": 6500,'
    ' "valid_from": "2026-01-01"}\n\n'
    '{"source": "s", "policy_id": "p2", "scope": "node", "share_bps": "0",'
    ' "valid_from": "2026-02-28", "scope_id": 12345678901234567890}\n'
)
YAML = (
    "- {source: s, policy_id: p1, scope: platform, share_bps: 6500, valid_from: 2026-01-01}\n"
    "- {source: s, policy_id: p2, scope: node, share_bps: 0, valid_from: '2026-02-28',\n"
    "   scope_id: 12345678901234567890}\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", CSV),
        ("p.CSV", "\ufeff" + CSV),
        ("p.jsonl", JSONL),
        ("p.yaml", YAML),
        ("p.yml", "policies:\n" + YAML),
    ],
)
def test_every_form_gives_the_same_policies(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_policies(path) == EXPECTED


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("p.csv", CSV.replace("6500", "10001"), "line 2: share_bps: out_of_range"),
        ("p.csv", CSV.replace("6500", "65%"), "line 2: share_bps: bad_type"),
        ("p.csv", CSV.replace("node,0", "circle,0"), "line 3: scope: bad_enum"),
        ("p.csv", CSV.replace("p2,", "p1,"), "line 3: policy_id: given at line 2 already"),
        ("p.csv", CSV.replace("scope_id", "scope_od"), "line 3: scope_od: no such field"),
        ("p.csv", CSV.replace(",0,", ",0,0,"), "line 3: malformed"),
        ("p.jsonl", JSONL.replace('"2026-01-01"', "null"), "line 1: valid_from: missing_required"),
        ("p.jsonl", JSONL + "[]", "line 4: malformed"),
        ("p.yaml", YAML.replace("2026-01-01", "2026-01-01T00:00:00Z"), "item 1: valid_from: bad"),
        ("p.yaml", YAML.replace("6500", "6500.0"), "item 1: share_bps: bad_type"),
        ("p.yaml", YAML.replace("scope: node", "scop: node"), "item 2: scop: no such field"),
        ("p.yaml", "- one\n", "item 1: a mapping of fields is wanted"),
        ("p.yaml", "one: two\n", "a list of policies is wanted"),
        ("p.yaml", "- {source: s\n", "line 2: "),
        ("p.toml", "", "name it .yaml, .csv or .jsonl"),
    ],
)
def test_mistakes_are_named_by_file_place_field_and_reason(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TandemError) as caught:
        read_policies(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=r"none\.yaml: No such file"):
        read_policies(tmp_path / "none.yaml")
    (tmp_path / "p.csv").write_bytes(b"\xff")
    with pytest.raises(TandemError, match="not UTF-8"):
        read_policies(tmp_path / "p.csv")
