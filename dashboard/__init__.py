"""The dashboard: a static site of the published marts, and a small server for it."""

from dashboard.home import Keeper, site_path, write_site
from dashboard.serve import make_server
from dashboard.site import SiteReport, build_site

__all__ = ["Keeper", "SiteReport", "build_site", "make_server", "site_path", "write_site"]
