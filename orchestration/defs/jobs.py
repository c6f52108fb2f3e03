"""Jobs, the landing sensors and the daily schedule."""

import hashlib

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.defs.raw import DATES, WINDOW
from orchestration.defs.resources import EXPORTS, FULL_REFRESH_TAG, POOL
from orchestration.errors import TandemError
from orchestration.ingest import pending
from orchestration.live import BOARD, run_live
from orchestration.settings import Settings, load_settings

WRITES = {"tandem/writes": "warehouse"}
"""On every job that holds the build lock."""


def jobs(settings: Settings) -> list[UnresolvedAssetJobDefinition]:
    """`build`, `full_refresh`, and `backfill` over business dates."""
    # A pack is released by its own job alone: each release costs budget.
    everything = dg.AssetSelection.all() - dg.AssetSelection.groups(EXPORTS)
    ordinary = everything - dg.AssetSelection.assets(WINDOW)
    return [
        dg.define_asset_job(
            "build",
            ordinary,
            description=(
                "Ingest, transform, judge and publish what is new. | 摄取、转换、检验并发布新内容。"
            ),
            tags=WRITES,
        ),
        dg.define_asset_job(
            "full_refresh",
            ordinary,
            tags=WRITES | {FULL_REFRESH_TAG: "true"},
            description=(
                "Build a new warehouse from the landing zone, then put it in place. | "
                "由落地区重建整个仓库，再整体替换。"
            ),
        ),
        dg.define_asset_job(
            "backfill",
            everything,
            partitions_def=DATES,
            description=(
                "A build that rebuilds the chosen business dates as well, in one run; "
                f"dates are those of {settings.timezone}. | "
                f"在一次运行中另外重建所选业务日期（{settings.timezone}）。"
            ),
            tags=WRITES,
        ),
    ]


def live_job() -> dg.JobDefinition:
    """`live`: one step that refreshes the live board, as `tandem build --live` does."""

    @dg.op(
        pool=POOL,
        out=dg.Out(dg.Nothing),
        description="As `tandem build --live` does. | 同 `tandem build --live`。",
    )
    def refresh_live_board(context: dg.OpExecutionContext) -> None:
        try:
            done = run_live(load_settings(), build_id=context.run_id)
        except TandemError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if done is None or done.report is None:
            context.log.info("nothing new")
            return
        for stage in done.stages:
            context.log.info(f"{stage.stage}: {stage.summary}")
        context.log_event(
            dg.AssetMaterialization(
                BOARD.split("."), metadata={"version": done.report.version, "kind": "live"}
            )
        )

    @dg.job(
        name="live",
        description=(
            "Take in what is new and publish the live board alone. | 摄取新内容，仅发布实时看板。"
        ),
        tags=WRITES,
        executor_def=dg.in_process_executor,
    )
    def live() -> None:
        refresh_live_board()

    return live


def landing_sensor() -> dg.SensorDefinition:
    """Starts `build` when files are ready in the landing zone; looks at names and sizes only."""
    return _on_landing(
        "landing",
        "build",
        60,
        "Starts a build when files are ready. | 文件就绪时启动构建。",
    )


def live_landing_sensor() -> dg.SensorDefinition:
    """Starts `live` likewise, and more often: for the hours between the daily builds."""
    return _on_landing(
        "live_landing",
        "live",
        15,
        "Refreshes the live board from new files. | 有新文件时刷新实时看板。",
    )


def _on_landing(name: str, job: str, seconds: int, description: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=seconds,
        description=description,
        tags=WRITES,
    )
    def landing() -> dg.RunRequest | dg.SkipReason:
        settings = load_settings()
        if job == "live" and settings.engine != "duckdb":
            return dg.SkipReason("only DuckDB refreshes the live board")
        files = pending(settings)
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
        description=(
            "A build each night at 03:00, whatever the sensor did. | 每晚 03:00 构建一次。"
        ),
        tags=WRITES,
    )
