"""The interface around the converters: landing, names, errors, the registry."""

from __future__ import annotations

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orchestration.connectors as connectors
from orchestration.connectors import (
    Connector,
    Conversion,
    ConversionError,
    ConversionReport,
    ConversionUsageError,
    ConvertOptions,
    connector,
    connector_names,
    convert,
)
from orchestration.connectors import landing as landing_module
from tests.unit.connectors.landing_files import FIXTURES, landed_files, read_landing

FORMATS = ("discourse", "mattermost", "slack", "stackexchange", "wecom", "zsxq")


class Letters(Connector):
    """A third party's format: one letter a line."""

    name = "letters"
    title = "letters"
    summary = "one account a letter"
    takes_zone = True

    def convert(self, conversion: Conversion) -> None:
        write = conversion.stream("community/accounts")
        for letter in conversion.path.read_text():
            conversion.read("letters")
            if letter == "!":
                raise ConversionError(f"{conversion.path}: no letter")
            times = {"updated_at": "2020-01-01T00:00:00Z", "registered_at": "2020-01-01T00:00:00Z"}
            write({"account_id": letter, **times})
        assert conversion.zone is None or conversion.zone.key == "Asia/Shanghai"


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("letters", "letters:Letters", connectors.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Letters)
    monkeypatch.setattr(connectors, "_entry_points", lambda: {"letters": point})


def test_built_in_formats_are_found_and_described() -> None:
    for name in FORMATS:
        assert name in connector_names()
        made = connector(name)
        assert made.name == name
        assert made.title
        assert made.summary


def test_pyproject_names_the_same_connectors_as_the_code() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"][connectors.GROUP] == connectors.BUILT_IN


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    export = FIXTURES / "stackexchange"
    with pytest.raises(ConversionUsageError, match=r"no format is called 'smoke'.*slack"):
        convert("smoke", export, landing, "s")
    with pytest.raises(ConversionUsageError, match="does not exist"):
        convert("slack", tmp_path / "nowhere", landing, "s")
    with pytest.raises(ConversionUsageError, match="a source needs a name"):
        convert("stackexchange", export, landing, " ")
    with pytest.raises(ConversionUsageError, match="leave the zone option out"):
        convert("stackexchange", export, landing, "s", zone="Asia/Shanghai")
    with pytest.raises(ConversionUsageError, match="has no option 'speed'"):
        convert("stackexchange", export, landing, "s", options=ConvertOptions(more={"speed": "1"}))
    assert not landing.exists()


@pytest.mark.usefixtures("letters")
def test_a_third_party_connector_runs_and_may_take_a_zone(tmp_path: Path) -> None:
    export = tmp_path / "letters.txt"
    export.write_text("abc")
    report = convert("letters", export, tmp_path / "landing", "s", zone="Asia/Shanghai")
    assert report.records_out == {"community/accounts": 3}
    assert report.records_in == {"letters": 3}
    with pytest.raises(ConversionUsageError, match="no IANA time zone"):
        convert("letters", export, tmp_path / "landing", "s", zone="Mars/Olympus")


@pytest.mark.usefixtures("letters")
def test_parts_are_cut_and_appear_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_module, "BUFFER_BYTES", 1)
    monkeypatch.setattr(landing_module, "PART_BYTES", 1)
    export = tmp_path / "letters.txt"
    export.write_text("abc")
    report = convert("letters", export, tmp_path / "landing", "s")
    assert len(report.files) == 3
    ids = {row["account_id"] for row in read_landing(tmp_path / "landing")["community/accounts"]}
    assert ids == {"a", "b", "c"}


@pytest.mark.usefixtures("letters")
def test_a_failure_after_parts_were_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_module, "BUFFER_BYTES", 1)
    monkeypatch.setattr(landing_module, "PART_BYTES", 1)
    export = tmp_path / "letters.txt"
    export.write_text("abc!")
    with pytest.raises(ConversionError, match="no letter"):
        convert("letters", export, tmp_path / "landing", "s")
    assert not (tmp_path / "landing").exists()


def test_a_rename_that_fails_takes_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = tmp_path / "landing"
    (landing / "community" / "accounts").mkdir(parents=True)
    replace = Path.replace
    calls = []

    def failing(path: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(ConversionError, match="No space left on device"):
        convert("stackexchange", FIXTURES / "stackexchange", landing, "s")
    assert landed_files(landing) == ["community", "community/accounts"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a Linux device")
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", *rest: object, **more: object) -> object:
        if path.name.endswith(".part"):
            opened(path, mode).close()
            return open("/dev/full", "wb")
        return opened(path, mode, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ConversionError, match="No space left on device"):
        convert("stackexchange", FIXTURES / "stackexchange", tmp_path / "landing", "s")
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_export_twice_is_the_same_files(name: str, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    first = convert(name, FIXTURES / name, landing, "s")
    before = {path: path.read_bytes() for path in first.files}
    again = convert(name, FIXTURES / name, landing, "s")
    assert again.files == ()
    assert sorted(again.unchanged) == sorted(first.files)
    assert {path: path.read_bytes() for path in landing.rglob("*.zst")} == before
    other = convert(name, FIXTURES / name, landing, "another")
    assert len(other.files) == len(first.files)


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_name_is_ready_and_the_report_adds_up(name: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    report = convert(
        name,
        FIXTURES / name,
        tmp_path,
        "a/b c",
        progress=lambda *step: seen.append(step),
    )
    assert all(path.name.startswith(f"{name}-a_b_c-") for path in report.files)
    records = read_landing(tmp_path)
    assert {log: len(rows) for log, rows in records.items()} == dict(report.records_out)
    assert {row["source"] for rows in records.values() for row in rows} == {"a/b c"}
    assert seen[-1][0] == seen[-1][1]
    for item in report.left_out:
        assert item.records <= report.records_in[item.kind]
    assert report.to_dict()["format"] == name


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_export_is_an_error_with_a_place_or_a_whole_conversion(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    export, landing = tmp_path / "export", tmp_path / "landing"
    for folder in (export, landing):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIXTURES / name, export)
    files = sorted(path for path in export.rglob("*") if path.is_file())
    victim = data.draw(st.sampled_from(files))
    content = victim.read_bytes()
    place = data.draw(st.integers(0, max(len(content) - 1, 0)))
    damage = data.draw(st.binary(max_size=3))
    cut = data.draw(st.booleans())
    victim.write_bytes(content[:place] + damage + (b"" if cut else content[place + 1 :]))
    outcome = _attempt(name, export, landing)
    if isinstance(outcome, str):
        assert str(export) in outcome
        assert not landing.exists()
    else:
        records = read_landing(landing)
        assert {log: len(rows) for log, rows in records.items()} == dict(outcome.records_out)


def _attempt(name: str, export: Path, landing: Path) -> ConversionReport | str:
    try:
        return convert(name, export, landing, "s")
    except ConversionError as error:
        return str(error)
