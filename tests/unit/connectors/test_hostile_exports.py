"""Hostile exports: archives that are bombs or name other folders, and values put into reports."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from orchestration.connectors import (
    ConversionError,
    ConversionUsageError,
    ConvertOptions,
    base,
    convert,
    reading,
)
from orchestration.connectors.base import MANY, word
from tests.unit.connectors.landing_files import FIXTURES, landed_files

SECRET = "Annie Example +49 170 1234567"


def refused(format_name: str, export: Path, landing: Path, zone: str | None = None) -> str:
    """The error's text, after a look that nothing was landed."""
    with pytest.raises(ConversionError) as caught:
        convert(format_name, export, landing, "x", zone)
    assert not landing.exists() or landed_files(landing) == []
    assert SECRET not in str(caught.value)
    return str(caught.value)


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


@pytest.mark.parametrize(
    ("format_name", "member", "zone"),
    [
        ("slack", "channels.json", None),
        ("mattermost", "import.jsonl", None),
        ("whatsapp", "chat.txt", "UTC"),
    ],
)
def test_a_zip_that_expands_without_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str, member: str, zone: str | None
) -> None:
    monkeypatch.setattr(base, "FREE_EXPANSION", 100_000)
    export = zipped(tmp_path / "export.zip", {member: b" " * 2_000_000})
    message = refused(format_name, export, tmp_path / "landing", zone)
    assert message == f"{export}: expands to more than 250 times its size"


@pytest.mark.parametrize(
    ("format_name", "member"), [("zulip", "x/realm.json"), ("discourse", "dump.sql")]
)
def test_a_tar_that_expands_without_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str, member: str
) -> None:
    monkeypatch.setattr(base, "FREE_EXPANSION", 100_000)
    export = tarred(tmp_path / "export.tar.gz", {"pad": b"\0" * 3_000_000, member: b"{}"})
    assert "expands to more than" in refused(format_name, export, tmp_path / "landing")


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_BYTES", 10_000)
    export = tmp_path / "import.jsonl"
    export.write_bytes(b'{"type":"version","version":1}\n' + b" " * 50_000)
    message = refused("mattermost", export, tmp_path / "landing")
    assert message == f"{export}: a line longer than 10000 bytes"


def test_names_in_archives_lead_nowhere(tmp_path: Path) -> None:
    realm = json.dumps({"zerver_stream": [], "zerver_recipient": []}).encode()
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    export = tarred(
        folder / "z.tar.gz",
        {"../../realm.json": realm, "/messages-000001.json": b'{"zerver_message": []}'},
        {"messages-000002.json": "/etc/passwd"},
    )
    convert("zulip", export, tmp_path / "landing", "x")
    slack = {
        path.relative_to(FIXTURES / "slack").as_posix(): path.read_bytes()
        for path in (FIXTURES / "slack").rglob("*.json")
    }
    export = zipped(folder / "s.zip", slack | {"../../evil.json": b"[]", "/evil.json": b"[]"})
    convert("slack", export, tmp_path / "landing", "x")
    assert [path.name for path in tmp_path.rglob("*") if "evil" in path.name] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "landing"]


def test_damaged_archives_are_explained(tmp_path: Path) -> None:
    for number, method in enumerate((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED)):
        export = zipped(tmp_path / f"{number}.zip", {"chat.txt": b"words " * 500}, method)
        data = bytearray(export.read_bytes())
        data[40:60] = b"\xff" * 20
        export.write_bytes(data)
        assert str(export) in refused("whatsapp", export, tmp_path / "landing", "UTC")
    for head in (b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b""):
        export = tmp_path / "z.tar.gz"
        export.write_bytes(head + b"\xff" * 40)
        assert str(export) in refused("zulip", export, tmp_path / "landing")


def test_reports_repeat_only_what_looks_like_a_format_s_word() -> None:
    good = ["text", "channel_join", "m.room-x", "GuildMemberJoin", "7", "12345"]
    odd = [SECRET, "Annie", "", "13800138000", "a" * 41, "[red]", "a\nb", None, 5, ["x"], "张三"]
    assert [word(value) for value in good] == good
    assert {word(value) for value in odd} == {"(odd)"}


def test_an_export_does_not_choose_how_long_a_report_is(tmp_path: Path) -> None:
    export = tmp_path / "import.jsonl"
    kinds = [f"kind{number}" for number in range(3 * MANY)]
    lines = [{"type": "version", "version": 1}, *({"type": kind, kind: {}} for kind in kinds)]
    export.write_text("\n".join(json.dumps(line) for line in lines))
    report = convert("mattermost", export, tmp_path / "landing", "x")
    assert len(report.left_out) <= MANY + 1
    assert sum(item.records for item in report.left_out) == 3 * MANY
    assert sum(report.records_in.values()) == 3 * MANY + 1


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Votes.xml", '"50"', f'"{SECRET}"'),
        ("Posts.xml", "</posts>", f"</{SECRET.partition(' ')[0]}>"),
        ("Tags.xml", "<tags>", f"<?xml version='1.0' encoding='{SECRET}'?><tags>"),
        ("Users.xml", "<row Id", "<Annie.Example Id"),
        ("Comments.xml", "<comments>", "<!DOCTYPE c [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><c>"),
    ],
)
def test_xml_is_not_repeated_and_no_entity_is_read(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    export = tmp_path / "export"
    shutil.copytree(FIXTURES / "stackexchange", export)
    text = (export / name).read_text()
    assert old in text
    (export / name).write_text(text.replace(old, new, 1))
    message = refused("stackexchange", export, tmp_path / "landing")
    assert "Annie" not in message
    assert str(export / name) in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [x, x]\nb: [*a, *a]\n", "line 2: no aliases"),
        ("[" * 60, "line 1: nested deeper than 50 levels"),
        ("[" * 100_000, "line 1: nested deeper than 50 levels"),
        ("x" * 1_100_000, "line 1: larger than 1024 KiB"),
        ("a: [\n", "line 2: "),
    ],
)
def test_a_mapping_is_plain_yaml(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "map.yml"
    path.write_text(text)
    options = ConvertOptions(more={"map": str(path)})
    shop = FIXTURES / "mapping" / "shop.csv"
    with pytest.raises(ConversionUsageError) as caught:
        convert("mapping", shop, tmp_path / "landing", "x", None, options)
    assert str(caught.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("zone", ["Asia", "../../etc/passwd", "a" * 5000, "", "\0"])
def test_no_path_is_a_time_zone(tmp_path: Path, zone: str) -> None:
    chat = tmp_path / "chat.txt"
    chat.write_text("13/05/2024, 10:00 - Annie: hi\n")
    with pytest.raises(ConversionUsageError, match="no IANA time zone"):
        convert("whatsapp", chat, tmp_path / "landing", "x", zone)


def test_deep_json_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    export = tmp_path / "chat.json"
    export.write_text('{"seq":' + "[" * 60_000 + "]" * 60_000 + "}\n{}")
    message = refused("wecom", export, tmp_path / "landing")
    assert message == f"{export}: chat.json: nested deeper than 500 levels"


def test_a_topic_s_number_beyond_all_is_named(tmp_path: Path) -> None:
    dump = (FIXTURES / "discourse" / "dump.sql").read_text(encoding="utf-8")
    assert "\n2\t" in dump.partition("COPY public.topics ")[2]
    head, mark, rest = dump.partition("COPY public.topics ")
    export = tmp_path / "dump.sql"
    export.write_text(head + mark + rest.replace("\n2\t", f"\n{'9' * 160}\t", 1))
    assert "ValueError" in refused("discourse", export, tmp_path / "landing")


def test_a_late_answer_without_a_date_is_named(tmp_path: Path) -> None:
    export = tmp_path / "dump"
    shutil.copytree(FIXTURES / "stackexchange", export)
    late = '<posts><row Id="9" PostTypeId="2" ParentId="404" OwnerUserId="5" /></posts>'
    (export / "Posts.xml").write_text(late)
    assert "KeyError" in refused("stackexchange", export, tmp_path / "landing")


@pytest.mark.parametrize("odd", [{"roomid": 1.5}, {"roomid": "r", "tolist": [1.5]}])
def test_an_id_that_is_no_text_is_named(tmp_path: Path, odd: dict[str, object]) -> None:
    message = {"msgid": "m", "action": "send", "from": "ann", "tolist": ["bob"], "roomid": "r"}
    text = {"msgtime": 1700000000123, "msgtype": "text", "text": {"content": SECRET}}
    export = tmp_path / "chat.jsonl"
    lines = [message | text, message | text | {"msgid": "n"} | odd]
    export.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "line 2" in refused("wecom", export, tmp_path / "landing")
