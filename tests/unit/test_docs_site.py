"""The docs as one site: every link and anchor holds, and nothing comes from another host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from orchestration.plan import DBT_PROJECT

REPO = DBT_PROJECT.parent
_FETCHED = re.compile(r'<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="(https?:)?//[^"]*"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Strict: a link to a page or heading that is not there, or a page outside the menu, raises.
    build(load_config(str(REPO / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_the_front_page_is_the_readme_with_its_links(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    assert "make run" in front
    assert 'src="images/dashboard.png"' in front
    assert 'href="operations.html"' in front


def test_every_page_is_made_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    written = {path.relative_to(REPO / "docs") for path in (REPO / "docs").rglob("*.md")}
    indexes = {path.with_name("index.md") for path in written if path.name == "README.md"}
    assert {path for path in written if path.name != "README.md"} | indexes <= pages
    for page in site.rglob("*.html"):
        assert not _FETCHED.search(page.read_text(encoding="utf-8")), page.name
