"""Dagster's view of Tandem: assets, checks, jobs, sensor and schedule.

Thin by intent: every step tells what a step of `orchestration.steps` gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.defs import audience, gates, jobs, models, raw, serving
from orchestration.defs.resources import build_resource
from orchestration.settings import Settings, load_settings
from orchestration.transform import ensure_manifest


def build_defs(
    overrides: Mapping[str, Any] | None = None, settings: Settings | None = None
) -> dg.Definitions:
    """Everything Dagster needs to know; parses the dbt project if its manifest is stale.

    `overrides` replace resources: `{"build": <an open Build>}` runs a job inside that build.
    """
    settings = settings or load_settings()
    manifest = ensure_manifest(settings)
    layers = models.layer_assets(manifest)
    return dg.Definitions(
        assets=[
            *raw.assets(),
            *layers,
            *serving.assets(layers),
            *serving.postgres_assets(settings),
            *audience.assets(settings),
        ],
        asset_checks=gates.checks(),
        jobs=[
            *jobs.jobs(settings),
            jobs.live_job(),
            *audience.audience_job(settings),
            audience.expiry_job(),
        ],
        sensors=[jobs.landing_sensor(), jobs.live_landing_sensor()],
        schedules=[jobs.daily_schedule(settings), audience.expiry_schedule(settings)],
        resources={"build": build_resource, **(overrides or {})},
        # One process a run: one writer, one dbt manifest, one import of everything.
        executor=dg.in_process_executor,
    )
