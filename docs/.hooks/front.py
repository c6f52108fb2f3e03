"""Takes README.md, CONTRIBUTING.md and CHANGELOG.md into the site, where their links still hold.

They stay where people look for them in a repository; the site's front page is the README.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"\]\(([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a generated page for each."""
    root = Path(config.config_file_path).parent
    for name, page in PAGES.items():
        text = (root / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_LINK.sub(_moved, text)))
    return files


def _moved(link: re.Match[str]) -> str:
    target = link.group(1)
    return "](" + PAGES.get(target, target.removeprefix("docs/"))
