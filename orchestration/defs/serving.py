"""What readers get: the published file, its Parquet, and the page that shows the verdicts."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from dashboard import write_site
from orchestration.build import Build, run_publish, run_report
from orchestration.defs import gates
from orchestration.defs.raw import FRESHNESS, PRIVATE
from orchestration.defs.resources import OWNERS, POOL, SERVING, the_build
from orchestration.errors import TandemError
from orchestration.settings import Settings
from orchestration.transform import read_manifest

PUBLISHED = {"tandem/access": "published"}
SERVED_PARQUET = dg.AssetKey(["serving", "marts_parquet"])
REPORT = dg.AssetKey(["serving", "quality_report"])
DASHBOARD = dg.AssetKey(["serving", "dashboard"])
POSTGRES = dg.AssetKey(["serving", "marts_postgres"])


def postgres_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The copy in PostgreSQL, where the settings ask for one."""
    if settings.postgres is None:
        return []

    @dg.asset(
        key=POSTGRES,
        deps=[gates.SERVED],
        group_name=SERVING,
        kinds={"postgres"},
        owners=OWNERS,
        freshness_policy=FRESHNESS,
        description=(
            "The published marts in PostgreSQL, for tools that speak only its wire. | "
            "PostgreSQL 中的已发布集市表，供只支持其协议的工具使用。"
        ),
        required_resource_keys={"build"},
        output_required=False,
        pool=POOL,
    )
    def marts_postgres(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from orchestration.publish.postgres import push, read_grains

        settings = the_build(context).settings
        try:
            report = push(settings, grains=read_grains(read_manifest(settings)))
        except TandemError as error:
            # What is published stays so; the next build, or `tandem publish postgres`, goes on.
            context.log.warning(f"PostgreSQL keeps what it had: {error}")
            return
        yield dg.MaterializeResult(
            metadata={
                "version": report.version,
                "as_of_date": str(report.as_of_date),
                "tables": report.tables,
                "dagster/row_count": report.rows,
                "seconds": report.seconds,
                "tables_without_index": ", ".join(report.without_index) or "none",
                "schemas_left": ", ".join(report.left) or "none",
            }
        )

    return [marts_postgres]


def assets(layers: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The publish step, which depends on every mart, the report and the dashboard."""
    marts = sorted(spec.key for spec in layers[-1].specs)

    @dg.multi_asset(
        name="publish",
        specs=[
            dg.AssetSpec(
                gates.SERVED,
                deps=marts,
                description=(
                    "The file that BI tools open: swapped in whole, or not at all. | "
                    "BI 工具打开的文件：整体替换，或不替换。"
                ),
                group_name=SERVING,
                kinds={"duckdb", "python"},
                owners=OWNERS,
                tags=PUBLISHED,
                freshness_policy=FRESHNESS,
            ),
            dg.AssetSpec(
                SERVED_PARQUET,
                deps=marts,
                description=(
                    "The same tables as Parquet, a folder a version, behind `current`. | "
                    "同样的表，Parquet 格式，每个版本一个目录，`current` 指向最新。"
                ),
                group_name=SERVING,
                kinds={"parquet", "python"},
                owners=OWNERS,
                tags=PUBLISHED,
                freshness_policy=FRESHNESS,
            ),
        ],
        check_specs=gates.check_specs("export"),
        required_resource_keys={"build"},
        pool=POOL,
    )
    def publish(context: dg.AssetExecutionContext) -> Iterator[Any]:
        build = the_build(context)
        failure: TandemError | None = None
        try:
            report = run_publish(build)
        except TandemError as error:
            failure = error
        yield from gates.check_results(
            "export", (outcome for outcome in build.outcomes if outcome.stage == "export")
        )
        if failure is not None:
            raise dg.Failure(str(failure)) from failure
        facts: dict[str, Any] = {
            "version": report.version,
            "as_of_date": str(report.as_of_date),
            "tables": len(report.tables),
            "dagster/row_count": report.rows,
            "seconds": round(report.seconds, 3),
        }
        yield dg.MaterializeResult(
            gates.SERVED,
            metadata=facts
            | {
                "path": dg.MetadataValue.path(report.path),
                "bytes": report.path.stat().st_size,
            },
        )
        yield dg.MaterializeResult(
            SERVED_PARQUET,
            metadata=facts
            | {
                "path": dg.MetadataValue.path(report.parquet_path),
                "tables_unchanged": sum(table.reused for table in report.tables),
            },
        )

    @dg.asset(
        key=REPORT,
        deps=[gates.SERVED],
        group_name=SERVING,
        kinds={"html", "great_expectations"},
        owners=OWNERS,
        tags=PRIVATE,
        description=(
            "A self-contained page with every verdict of the last build; its plots are the gates' "
            "counts and the seconds of each stage. | "
            "自包含页面，含最近一次构建的全部结论；其曲线为质量门计数与各阶段耗时。"
        ),
        required_resource_keys={"build"},
        pool=POOL,
    )
    def quality_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        build = the_build(context)
        path = run_report(build)
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(path), **_gate_counts(build)}
        )

    @dg.asset(
        key=DASHBOARD,
        deps=[gates.SERVED],
        group_name=SERVING,
        kinds={"html", "python"},
        owners=OWNERS,
        tags=PUBLISHED,
        description=(
            "A static site of the published marts, in English and Chinese. | "
            "已发布集市表的静态站点，中英双语。"
        ),
        required_resource_keys={"build"},
        output_required=False,
        pool=POOL,
    )
    def dashboard(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        try:
            site = write_site(the_build(context).settings)
        except (TandemError, OSError) as error:
            # What is published stays so, and `tandem serve` writes the site again.
            context.log.warning(f"the dashboard was not written: {error}")
            return
        yield dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(site.path),
                "version": site.version,
                "figures": site.figures,
                "figures_without_data": ", ".join(site.without) or "none",
                "bytes": site.bytes,
            }
        )

    return [publish, quality_report, dashboard]


def _gate_counts(build: Build) -> dict[str, int | float]:
    """What the UI plots over builds: rules by how they ended, and each stage's seconds."""
    failed = [outcome for outcome in build.outcomes if not outcome.success]
    counts = {
        "rules": len(build.outcomes),
        "rules_passed": len(build.outcomes) - len(failed),
        "rules_warned": sum(outcome.severity != "critical" for outcome in failed),
        "rules_critical_failed": sum(outcome.severity == "critical" for outcome in failed),
    }
    seconds = {f"seconds {stage.stage}": round(stage.seconds, 3) for stage in build.stages}
    return counts | seconds
