"""The dashboard: a static site of the published marts, and a small server for it."""

from dashboard.site import SiteReport, build_site

__all__ = ["SiteReport", "build_site"]
