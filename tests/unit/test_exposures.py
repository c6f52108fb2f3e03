"""Exposures are the dashboard's pages and the kinds of packs, with exactly what each reads."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import pytest
import yaml

from dashboard.pages import PAGES
from orchestration.audience.features import FEATURES, PERSONS
from orchestration.audience.interface import Product
from orchestration.exposures import FILE, PACKS, exposures, main, render, tables_of


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {exposure["name"]: exposure for exposure in content["exposures"]}


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), "run python -m orchestration.exposures"
    assert main(["--check"]) == 0


def test_each_page_and_each_kind_of_pack_is_one(written: dict[str, dict[str, Any]]) -> None:
    assert len(PAGES) == 11
    assert set(written) == {f"dashboard_{page.id}" for page in PAGES} | {
        f"audience_pack_{kind}" for kind in get_args(Product)
    }
    for exposure in written.values():
        assert exposure["owner"]["name"]
        assert not re.match(r"[a-z]+:|/", exposure["url"]), "relative"
        assert " | " in exposure["description"]


def test_a_page_depends_on_what_its_sql_reads(written: dict[str, dict[str, Any]]) -> None:
    """Not only on what it declares: every `schema.table` of its queries."""
    known = re.compile(r"\b(dim|users|content|engagement|revenue|audience|quality)\.([a-z_0-9]+)\b")
    for page in PAGES:
        read = {
            ".".join(found)
            for item in (*page.tiles, *page.figures)
            for found in known.findall(re.sub(r"'[^']*'", "''", item.sql))
        }
        tables = {mart for mart in tables_of(page) if mart != "quality.metrics"}
        columns = {name for name in read if name not in tables}
        # What is left are columns of a table that is aliased as a schema is named.
        assert {name for name in read if name in tables} == tables, page.id
        assert not {name for name in columns if f"from {name}" in _sql(page)}, page.id
        assert not {name for name in columns if f"join {name}" in _sql(page)}, page.id
        assert len(written[f"dashboard_{page.id}"]["depends_on"]) == len(tables_of(page))


def test_packs_depend_on_all_that_a_definition_may_use() -> None:
    tables = {feature.table for feature in FEATURES.values()} | {PERSONS}
    assert tables <= {table for _, _, kept in PACKS.values() for table in kept}


def test_a_page_s_new_mart_makes_the_file_stale() -> None:
    page = PAGES[0]
    grown = replace(page, tiles=(replace(page.tiles[0], marts=("revenue.ltv",)), *page.tiles[1:]))
    (found,) = (item for item in exposures([grown]) if item["name"] == f"dashboard_{page.id}")
    assert "ref('ltv')" in found["depends_on"]


def _sql(page: Any) -> str:
    return "\n".join(item.sql for item in (*page.tiles, *page.figures))
