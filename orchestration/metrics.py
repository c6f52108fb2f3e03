"""The metric catalogue's page, generated from the seed that `quality.metrics` publishes.

`python -m orchestration.metrics` writes docs/metrics.md; a test fails when it is stale.
"""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CATALOGUE = REPOSITORY / "dbt_project" / "seeds" / "metric_catalogue.csv"
PAGE = REPOSITORY / "docs" / "metrics.md"
_INTRODUCTION = """\
# Metric catalogue | 指标目录

Generated from `dbt_project/seeds/metric_catalogue.csv` by `python -m orchestration.metrics`.
The same rows are published as `quality.metrics`. A ratio is stored as its numerator and its
denominator, so that a total is right in any tool: divide the sums, never average the quotients.
"""


def read_catalogue() -> list[dict[str, str]]:
    """The catalogue's rows, one a metric, in the order of the file."""
    with CATALOGUE.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def render() -> str:
    """The page as Markdown: one section a mart, one entry a metric."""
    parts = [_INTRODUCTION]
    for mart, metrics in groupby(read_catalogue(), key=lambda row: row["mart"]):
        parts.append(f"\n## `{mart}`\n")
        for metric in metrics:
            ratio = f" = `{metric['numerator']}` / `{metric['denominator']}`"
            parts.append(
                f"\n### {metric['name_en']} | {metric['name_zh']}\n\n"
                f"`{metric['id']}`{ratio if metric['denominator'] else ''}, "
                f"version {metric['version']}"
                f"{', answers ' + metric['seed_term'] if metric['seed_term'] else ''}\n\n"
                f"- Formula: {metric['formula']}\n"
                f"- Window: {metric['time_window']}\n"
                f"- Left out: {metric['exclusions']}\n"
                f"- NULL: {metric['null_rule']}\n"
                f"- Additivity: {metric['additivity']}\n"
                f"- Columns: {', '.join(f'`{name}`' for name in metric['mart_columns'].split())}\n"
            )
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
