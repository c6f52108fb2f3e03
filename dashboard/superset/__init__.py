"""An importable Apache Superset dashboard of the published marts.

`bundle/` is the bundle as Superset exports it, made from `charts.py` and the marts' contracts;
`write_bundle` packs it for one published file or database.
"""

from dashboard.superset.bundle import BUNDLE, bundle_files, write_bundle

__all__ = ["BUNDLE", "bundle_files", "write_bundle"]
