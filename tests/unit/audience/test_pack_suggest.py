"""Coarser bands are tried on synthetic persons or a released file, never on the warehouse."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.audience.definition import SpecError
from orchestration.audience.suggest import suggest
from orchestration.errors import TandemError
from orchestration.settings import Settings
from tests.support import test_settings
from tests.unit.audience.pack_world import COUNTS_PACK, ROWS_PACK


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "seeds.yml").write_text(ROWS_PACK, encoding="utf-8")
    (tmp_path / "demand.yml").write_text(COUNTS_PACK, encoding="utf-8")
    return test_settings(tmp_path / "home", audience={"packs": [str(tmp_path)]})


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    """6,000 persons: 2 regions × 3 active_days × 2 topics, 500 each, and one age band."""
    path = tmp_path / "people.csv"
    duckdb.connect().execute(
        f"""
        copy (
            select
                case n % 2 when 0 then 'CN-BJ' else 'CN-SH' end as region, '18_24' as age_band,
                (n // 2 % 3) * 6 as active_days,
                case n // 6 % 2 when 0 then 'film' else 'coding' end as top_topic
            from range(6000) as t (n)
        ) to '{path}' (header)
        """
    )
    return path


def test_the_finest_that_keeps_everything_comes_first(settings: Settings, synthetic: Path) -> None:
    found = suggest(settings, "seeds", synthetic)
    # 500 × 0.3 = 150 rows a cell: nothing has to be coarser.
    assert (found[0].kept, found[0].cells) == (1.0, 12)


def test_where_cells_are_too_small_bands_merge(
    settings: Settings, synthetic: Path, tmp_path: Path
) -> None:
    text = ROWS_PACK.replace("k: 50", "k: 200")
    (tmp_path / "seeds.yml").write_text(text, encoding="utf-8")
    found = suggest(settings, "seeds", synthetic)
    # Topics stay, being sensitive. Without the region, 3 bands × 2 topics hold 300 rows each.
    assert {(item.kept, item.cells) for item in found} == {(1.0, 6)}
    assert found[0].levels["region"] == 1
    assert found[0].levels["topic"] > 2


def test_what_it_may_not_read_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="no CSV or Parquet file"):
        suggest(settings, "seeds", settings.warehouse_path)
    with pytest.raises(TandemError, match="is no released version"):
        suggest(settings, "seeds", tmp_path)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(TandemError, match=r"bad\.csv"):
        suggest(settings, "seeds", tmp_path / "bad.csv")
    with pytest.raises(SpecError, match="only a rows pack"):
        suggest(settings, "demand", tmp_path / "bad.csv")
