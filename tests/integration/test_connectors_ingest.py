"""What every connector lands from its fixture, ingestion accepts to the last line."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.connectors import ConvertOptions, connector, connector_names, convert
from orchestration.ingest import ingest
from tests.support import test_settings as settings_at

FIXTURES = Path(__file__).parents[1] / "unit" / "connectors" / "fixtures"
# Formats whose fixtures are a folder that converts as it is.
FOLDERS = ("discourse", "mattermost", "slack", "stackexchange", "wecom", "zsxq")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    landing = settings_at(home).landing_path
    for name in FOLDERS:
        more = {"reward_unit": "fen"} if "reward_unit" in connector(name).options else {}
        convert(name, FIXTURES / name, landing, name, options=ConvertOptions(more=more))
    shop = FIXTURES / "mapping"
    options = ConvertOptions(more={"map": str(shop / "shop.yml")})
    convert("mapping", shop / "shop.csv", landing, "mapping", options=options)
    return home


def test_every_landed_line_is_accepted(home: Path) -> None:
    settings = settings_at(home)
    report = ingest(settings)
    assert {name for _, name in report.drift} <= {*FOLDERS, "mapping"}, "one extra key a format"
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        read, accepted, rejected, duplicates = warehouse.execute(
            "select sum(lines_read), sum(accepted), sum(rejected), sum(duplicates)"
            " from control.files"
        ).fetchall()[0]
        reasons = warehouse.execute(
            "select log, field, reason, count(*) from quarantine.lines group by all"
        ).fetchall()
        assert (rejected, reasons) == (0, [])
        assert duplicates == 0
        assert read == accepted > 100
        sources = warehouse.execute("select distinct source from raw.group__groups").fetchall()
    assert {source for (source,) in sources} == {"mattermost", "slack", "wecom"}


def test_the_formats_here_are_formats() -> None:
    assert {*FOLDERS, "mapping"} <= set(connector_names())
