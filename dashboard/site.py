"""Writes the site: one page, its scripts, and a file of data a page."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.pages import PAGES
from dashboard.read import open_published, read_metrics, read_page
from orchestration import durable
from orchestration.errors import TandemError
from orchestration.publish import currency_exponent

STATIC = Path(__file__).parent / "static"
_GENERATOR = "tandem-dashboard"
_BUILD = re.compile(r"build-[0-9a-f]{16}")


@dataclass(frozen=True)
class SiteReport:
    """What was written, and what of it could not be shown."""

    path: Path
    """`index.html`: open it, or serve its folder."""
    version: int
    as_of_date: str | None
    pages: int
    figures: int
    """Figures and tiles with something to show."""
    without: tuple[str, ...]
    """`<page>/<figure>: <state>` of the others."""
    bytes: int
    seconds: float


def build_site(
    serving_file: Path, out_dir: Path, *, currency: str = "CNY", exponent: int | None = None
) -> SiteReport:
    """Write the site of a published file into `out_dir`, from that file alone.

    Amounts are in minor units of the currency that the file names. A file from before files did
    is taken to be in `currency`, with `exponent` decimals (by default ISO 4217's). `index.html`
    is replaced last, in one step; the build that it referred to until then stays, for pages that
    are open. The same file gives the same bytes. Raises TandemError when the file cannot be
    read, or `out_dir` holds another site.
    """
    started = time.monotonic()
    index = out_dir / "index.html"
    before = _current_build(index)
    with open_published(serving_file) as published:
        about = published.about
        if about.get("reporting_currency"):
            currency, exponent = about["reporting_currency"], about["currency_exponent"]
        elif exponent is None:
            exponent = currency_exponent(currency)
        pages = {page.id: read_page(published, page) for page in PAGES}
        metrics = read_metrics(published)
        rows = published.connection.execute(
            "select table_name, row_count from main._publish_tables order by table_name"
        ).fetchall()
    as_of = str(about["as_of_date"]) if about["as_of_date"] else None
    files = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in _static_files()}
    for page in PAGES:
        files |= _page_files(pages[page.id], {f.id for f in page.figures if f.deferred})
    used = {
        name
        for data in pages.values()
        for item in [*data["figures"], *data["tiles"]]
        for name in item["metrics"]
    }
    files["data/site.js"] = _script(
        "site",
        {
            "version": about["version"],
            "kind": about.get("kind"),
            "published_at": str(about["published_at"]),
            "live_as_of": str(about["live_as_of"]) if about.get("live_as_of") else None,
            "as_of": as_of,
            "currency": currency,
            "exponent": exponent,
            "pages": [{"id": page.id, "title": page.title, "lead": page.lead} for page in PAGES],
            "metrics": {name: metric for name, metric in metrics.items() if name in used},
            "tables": rows,
        },
    )
    token = f"build-{_digest(files)}"
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_files(out_dir, token, files)
    page_html = (STATIC / "index.html").read_text(encoding="utf-8").replace("{build}", token)
    _write(index, page_html.encode())
    builds = [path for path in out_dir.glob("build-*") if _BUILD.fullmatch(path.name)]
    # The newest may be another writer's, who has not come to its index yet.
    newest = max(builds, key=lambda path: path.stat().st_mtime_ns)
    for old in builds:
        if old.name not in (token, before, newest.name):
            shutil.rmtree(old, ignore_errors=True)
    states = [
        (f"{page_id}/{item['id']}", item["state"])
        for page_id, data in pages.items()
        for item in [*data["tiles"], *data["figures"]]
    ]
    return SiteReport(
        path=index,
        version=about["version"],
        as_of_date=as_of,
        pages=len(pages),
        figures=sum(state == "ok" for _, state in states),
        without=tuple(f"{name}: {state}" for name, state in states if state != "ok"),
        bytes=len(page_html) + sum(map(len, files.values())),
        seconds=time.monotonic() - started,
    )


def _static_files() -> list[Path]:
    return sorted(
        path for path in STATIC.rglob("*") if path.is_file() and path.name != "index.html"
    )


def _page_files(data: dict[str, Any], deferred: set[str]) -> dict[str, bytes]:
    """The page's script; rows of deferred figures come in scripts of their own."""
    files = {}
    figures = []
    for figure in data["figures"]:
        if figure["id"] in deferred and figure["state"] == "ok":
            name = f"{data['id']}.{figure['id']}"
            files[f"data/{name}.js"] = _script(name, figure["data"])
            figure = {key: value for key, value in figure.items() if key != "data"}
            figure["deferred"] = name
        figures.append(figure)
    files[f"data/{data['id']}.js"] = _script(data["id"], data | {"figures": figures})
    return files


def _script(name: str, data: Any) -> bytes:
    """Data as a script, so that a page opened from a file share may read it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"tandemData({json.dumps(name)},{text});\n".encode()


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]


def _write_files(out_dir: Path, token: str, files: Mapping[str, bytes]) -> None:
    """Write the build's folder whole, under another name first."""
    target = out_dir / token
    if target.exists():
        return
    temporary = out_dir / f".{token}-{uuid.uuid4().hex[:8]}"
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        durable.replace(temporary, target)
    except OSError:
        # Another writer was first; equal names have equal contents.
        if not target.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    temporary.write_bytes(content)
    durable.replace(temporary, path)


def _current_build(index: Path) -> str | None:
    """The build that the index of `out_dir` refers to; TandemError if the index is not ours."""
    if not index.exists():
        return None
    text = index.read_text(encoding="utf-8", errors="replace")
    if f'content="{_GENERATOR}"' not in text:
        raise TandemError(f"{index} is of another site: choose another folder")
    found = _BUILD.search(text)
    return found[0] if found else None
