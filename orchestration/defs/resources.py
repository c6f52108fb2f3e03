"""The open build that all steps of a run share, and the instance that remembers runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import dagster as dg

from orchestration import durable
from orchestration.build import open_build
from orchestration.settings import Settings, load_settings
from orchestration.steps import Steps

POOL = "warehouse"
FULL_REFRESH_TAG = "tandem/full_refresh"
OWNERS = ("team:data-engineering",)
# Numbered, so that lists of groups stand in the order of the data's way.
RAW, CONTROL, SEEDS, SERVING, EXPORTS = (
    "1_raw",
    "2_control",
    "3_seeds",
    "7_serving",
    "8_exports",
)


def layer_group(layer: str, schema: str) -> str:
    """The group of a dbt model: its layer, and of a mart its schema."""
    groups = {"staging": "4_staging", "intermediate": "5_intermediate"}
    return groups.get(layer, f"6_marts_{schema}")


# Granularity `run`: two runs never take turns on the warehouse step by step.
INSTANCE_CONFIG = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    granularity: run
    default_limit: 1
event_log_storage:
  module: orchestration.defs.storage
  class: EventLog
  config:
    base_dir: {folder}
"""


@dg.resource(description="Holds the build lock for the whole run.")
def build_resource(context: dg.InitResourceContext) -> Iterator[Steps]:
    """The steps of one build a run, named by the run's id."""
    run = context.run
    full_refresh = run is not None and run.tags.get(FULL_REFRESH_TAG) == "true"
    build_id = run.run_id if run is not None else None
    with open_build(load_settings(), build_id=build_id, full_refresh=full_refresh) as build:
        yield Steps(build)


def the_steps(
    context: dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
) -> Steps:
    """The steps of the run's build."""
    return cast("Steps", context.resources.build)


def instance_path(settings: Settings) -> Path:
    """`<home>/dagster`, made with its configuration on first use: give it as DAGSTER_HOME."""
    folder = settings.home.absolute() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    # An empty one is what a lost power leaves: Dagster would go on with its own defaults.
    if not config.exists() or not config.read_text(encoding="utf-8").strip("\0 \n"):
        durable.write(config, INSTANCE_CONFIG.format(folder=json.dumps(str(folder / "events"))))
    return folder
