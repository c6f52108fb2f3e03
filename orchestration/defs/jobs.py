"""Jobs, the landing sensor and the daily schedule."""

import hashlib

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.defs.raw import DATES, WINDOW
from orchestration.defs.resources import FULL_REFRESH_TAG
from orchestration.ingest import pending
from orchestration.settings import Settings, load_settings


def jobs(settings: Settings) -> list[UnresolvedAssetJobDefinition]:
    """`build`, `full_refresh`, and `backfill` over business dates."""
    everything = dg.AssetSelection.all()
    ordinary = everything - dg.AssetSelection.assets(WINDOW)
    return [
        dg.define_asset_job(
            "build", ordinary, description="Ingest, transform, judge and publish what is new."
        ),
        dg.define_asset_job(
            "full_refresh",
            ordinary,
            tags={FULL_REFRESH_TAG: "true"},
            description="Build a new warehouse from the landing zone, then put it in place.",
        ),
        dg.define_asset_job(
            "backfill",
            everything,
            partitions_def=DATES,
            description=(
                "A build that rebuilds the chosen business dates as well, in one run; "
                f"dates are those of {settings.timezone}."
            ),
        ),
    ]


def landing_sensor() -> dg.SensorDefinition:
    """Starts `build` when files are ready in the landing zone; looks at names and sizes only."""

    @dg.sensor(
        name="landing",
        job_name="build",
        minimum_interval_seconds=60,
        description="Starts a build when files are ready that no build has seen.",
    )
    def landing() -> dg.RunRequest | dg.SkipReason:
        files = pending(load_settings())
        if not files:
            return dg.SkipReason("nothing new in the landing zone")
        # The same files give the same key: a build that failed on them is not started again.
        words = sorted(f"{file.path} {file.bytes} {file.change}" for file in files)
        return dg.RunRequest(run_key=hashlib.sha256("\n".join(words).encode()).hexdigest())

    return landing


def daily_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """`build` at 03:00 in the zone of the business dates."""
    return dg.ScheduleDefinition(
        name="daily",
        job_name="build",
        cron_schedule="0 3 * * *",
        execution_timezone=settings.timezone,
        description="A build each night, whatever the sensor did.",
    )
