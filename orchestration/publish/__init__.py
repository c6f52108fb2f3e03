"""Write, audit, publish: what readers see changes in one step, or not at all.

The published tables are copied into a new file beside the served one, judged there, and renamed
over it. Nobody ever writes to a file that a reader may hold. No Dagster in here.
"""

from orchestration.publish.allowlist import PUBLISHED_SCHEMAS, MartTable, mart_tables
from orchestration.publish.snapshot import (
    FULL,
    LIVE,
    PublishedTable,
    PublishReport,
    currency_exponent,
    drop_older,
    drop_with_next,
    publish,
    publish_live,
    published,
    published_rows,
    sweep,
)

__all__ = [
    "FULL",
    "LIVE",
    "PUBLISHED_SCHEMAS",
    "MartTable",
    "PublishReport",
    "PublishedTable",
    "currency_exponent",
    "drop_older",
    "drop_with_next",
    "mart_tables",
    "publish",
    "publish_live",
    "published",
    "published_rows",
    "sweep",
]
