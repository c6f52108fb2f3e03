"""Landing by many workers: accepted records as Parquet, for logs that outgrow one machine."""

from __future__ import annotations

from orchestration.land.run import join, land

__all__ = ["join", "land"]
