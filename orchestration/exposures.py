"""What is read from the marts, as dbt exposures: the dashboard's pages and the kinds of packs.

`python -m orchestration.exposures` writes `dbt_project/models/exposures.yml` from the
pages' own declarations and the packs' closed list; a test fails when it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dashboard.model import Page
from dashboard.pages import PAGES
from orchestration.audience.features import JOINED, PERSONS, WEEKS
from orchestration.dbt_sources import Indented
from orchestration.plan import DBT_PROJECT

FILE = DBT_PROJECT / "models" / "exposures.yml"
HEADER = (
    "# Written by `python -m orchestration.exposures` from dashboard/pages and the audience\n"
    "# packs' closed list: edit those.\n"
    "# yamllint disable rule:line-length\n"
)
OWNER = {"name": "data-engineering"}
PACKS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "rows": (
        "One row a person, de-identified: k-anonymous and sampled.",
        "去标识的人员明细：k 匿名并抽样。",
        (PERSONS, *JOINED),
    ),
    "counts": (
        "Noisy counts of cells, differentially private.",
        "带差分隐私噪声的分组计数。",
        (PERSONS, WEEKS, *JOINED),
    ),
}
"""What a pack's `product` is, and the tables that a definition of that kind can read."""


def tables_of(page: Page) -> list[str]:
    """The marts that a page's tiles and figures declare, sorted: `schema.table`.

    The metric catalogue is one of them: each page shows its figures' definitions.
    """
    marts = {mart for tile in page.tiles for mart in tile.marts}
    marts |= {mart for figure in page.figures for mart in figure.marts}
    return sorted(marts | {"quality.metrics"})


def exposures(pages: Iterable[Page] = PAGES) -> list[dict[str, Any]]:
    """Every exposure: one a page, in the order of the menu, then one a kind of pack."""
    names = _models()
    found = [
        {
            "name": f"dashboard_{page.id}",
            "label": f"{page.title.en} | {page.title.zh}",
            "type": "dashboard",
            "url": f"dashboard/index.html#/{page.id}",
            "owner": OWNER,
            "description": f"{page.lead.en} | {page.lead.zh}",
            "depends_on": [f"ref('{names[table]}')" for table in tables_of(page)],
        }
        for page in pages
    ]
    found += [
        {
            "name": f"audience_pack_{kind}",
            "label": f"Audience packs of {kind} | 人群包（{kind}）",
            "type": "application",
            "url": "docs/audience.md",
            "owner": OWNER,
            "description": f"{english} | {chinese}",
            "depends_on": [f"ref('{names[table]}')" for table in sorted(tables)],
        }
        for kind, (english, chinese, tables) in PACKS.items()
    ]
    return found


def render() -> str:
    """The file's text."""
    body = yaml.dump(
        {"version": 2, "exposures": exposures()},
        Dumper=Indented,
        allow_unicode=True,
        sort_keys=False,
        width=100,
    )
    return f"{HEADER}\n{body}"


def main(arguments: Sequence[str] = ()) -> int:
    """Write the file; with `--check` only say whether it is stale, by the exit code."""
    if "--check" in arguments:
        return int(not FILE.exists() or FILE.read_text(encoding="utf-8") != render())
    FILE.write_text(render(), encoding="utf-8")
    return 0


def _models() -> dict[str, str]:
    """The dbt model of every table, `schema.table`, as the files beside it declare them."""
    found = {}
    models = DBT_PROJECT / "models"
    for path in sorted(models.rglob("*.yml")):
        folders = path.relative_to(models).parts
        schema = folders[1] if folders[0] == "marts" else folders[0]
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            alias = (model.get("config") or {}).get("alias", model["name"])
            found[f"{schema}.{alias}"] = model["name"]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
