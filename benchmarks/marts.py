"""Marts against the bare limit: `python -m benchmarks.marts [--home HOME] [--select SELECTOR]`.

On a built warehouse, times (a) dbt in this process building the selected models from scratch, as
a full refresh does, and (b) the same compiled SQL as `create or replace table … as` in one bare
DuckDB connection with the same options. Prints seconds of each and the ratio (bar: 1.3). Name the
intermediate folders too where the work is done there; models in Python are left out of both.
Works on a copy of the warehouse.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse, set_key

SECTIONS = "path:models/marts/users path:models/marts/content"


def main() -> None:
    """Run both ways on one copy and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, default=Path(".tandem"))
    parser.add_argument("--select", default=SECTIONS)
    arguments = parser.parse_args()
    built = load_settings(home=arguments.home)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copyfile(built.warehouse_path, home / "warehouse.duckdb")
        settings = built.model_copy(update={"home": home})
        if built.key_path.exists():
            shutil.copy(built.key_path, settings.key_path)
        session = DbtSession(settings, target=home / "dbt")
        session.parse()
        python = python_models(home / "dbt" / "manifest.json")
        selection = ["--select", *arguments.select.split(), "--exclude", *python]
        started = time.perf_counter()
        session.invoke(["run", *selection, "--full-refresh"])
        with_dbt = time.perf_counter() - started
        session.invoke(["compile", *selection, "--full-refresh"])
        models = compiled(home / "dbt" / "manifest.json", home / "dbt", arguments.select)
        started = time.perf_counter()
        with open_warehouse(settings) as connection:
            set_key(connection, settings)
            for kind, relation, query in models:
                connection.execute(f"create or replace {kind} {relation} as {query}")
        bare = time.perf_counter() - started
    print(f"models          {len(models):8}")
    print(f"dbt in process  {with_dbt:8.1f} s")
    print(f"bare SQL        {bare:8.1f} s")
    print(f"ratio           {with_dbt / bare:8.2f}  (bar: 1.3)")


def python_models(manifest_path: Path) -> list[str]:
    """The names of the models that are no SQL."""
    nodes: dict[str, dict[str, Any]] = json.loads(manifest_path.read_text("utf-8"))["nodes"]
    return [node["name"] for node in nodes.values() if node.get("language") == "python"]


def compiled(manifest_path: Path, target: Path, selector: str) -> list[tuple[str, str, str]]:
    """(table or view, relation, compiled SQL) of the selected models, parents first."""
    nodes: dict[str, dict[str, Any]] = json.loads(manifest_path.read_text("utf-8"))["nodes"]
    prefixes = tuple(
        part.removeprefix("path:") for part in selector.split() if part.startswith("path:")
    )
    wanted = {
        key: node
        for key, node in nodes.items()
        if node["resource_type"] == "model"
        and node["language"] == "sql"
        and node["original_file_path"].startswith(prefixes)
    }
    ordered: list[str] = []

    def visit(key: str) -> None:
        for parent in wanted[key]["depends_on"]["nodes"]:
            if parent in wanted and parent not in ordered:
                visit(parent)
        if key not in ordered:
            ordered.append(key)

    for key in sorted(wanted):
        visit(key)
    return [
        (
            "view" if wanted[key]["config"]["materialized"] == "view" else "table",
            f'{wanted[key]["schema"]}."{wanted[key]["alias"]}"',
            (target / "compiled" / "tandem" / wanted[key]["original_file_path"]).read_text("utf-8"),
        )
        for key in ordered
    ]


if __name__ == "__main__":
    main()
