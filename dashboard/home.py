"""The site of a home: where it is, writing it, and keeping a served one up to date."""

from __future__ import annotations

import logging
from pathlib import Path

from dashboard.site import SiteReport, build_site
from orchestration.errors import TandemError
from orchestration.settings import Settings

_log = logging.getLogger(__name__)


def site_path(settings: Settings) -> Path:
    """`<home>/dashboard`."""
    return settings.home / "dashboard"


def write_site(settings: Settings, out_dir: Path | None = None) -> SiteReport:
    """Write the site of what is published, by default into the home.

    Raises TandemError when nothing is published yet, or as `build_site` does.
    """
    if not settings.serving_path.exists():
        raise TandemError(f"nothing is published under {settings.home}: run `tandem build`")
    return build_site(
        settings.serving_path,
        out_dir if out_dir is not None else site_path(settings),
        currency=settings.reporting_currency,
    )


class Keeper:
    """Writes a home's site again whenever the published file is another one than before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: tuple[int, int] | None = None

    def refresh(self) -> str | None:
        """Why there is no site of what is published; None when there is one.

        A site that cannot be written leaves the one before it in place.
        """
        try:
            found = self._settings.serving_path.stat()
        except FileNotFoundError:
            return f"Nothing is published under {self._settings.home}."
        mark = (found.st_ino, found.st_mtime_ns)
        if mark == self._seen:
            return None
        try:
            write_site(self._settings)
        except (TandemError, OSError) as error:
            _log.warning("the dashboard was not written: %s", error)
            return str(error)
        self._seen = mark
        return None
