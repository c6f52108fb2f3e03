"""What readers get: the published file, its Parquet, and the page that shows the verdicts."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from dashboard import write_site
from orchestration.build import run_publish, run_report
from orchestration.defs import gates
from orchestration.defs.raw import FRESHNESS
from orchestration.defs.resources import OWNERS, POOL, the_build
from orchestration.errors import TandemError
from orchestration.settings import Settings
from orchestration.transform import read_manifest

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
        group_name="serving",
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
                description="The file that BI tools open: swapped in whole, or not at all.",
                group_name="serving",
                kinds={"duckdb"},
                owners=OWNERS,
                freshness_policy=FRESHNESS,
            ),
            dg.AssetSpec(
                SERVED_PARQUET,
                deps=marts,
                description="The same tables as Parquet, a folder a version, behind `current`.",
                group_name="serving",
                kinds={"parquet"},
                owners=OWNERS,
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
        }
        yield dg.MaterializeResult(
            gates.SERVED, metadata=facts | {"path": dg.MetadataValue.path(report.path)}
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
        group_name="serving",
        kinds={"html"},
        owners=OWNERS,
        description="A self-contained page with every verdict of the last build.",
        required_resource_keys={"build"},
        pool=POOL,
    )
    def quality_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        path = run_report(the_build(context))
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path)})

    @dg.asset(
        key=DASHBOARD,
        deps=[gates.SERVED],
        group_name="serving",
        kinds={"html"},
        owners=OWNERS,
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
