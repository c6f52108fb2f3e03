"""What readers get: the published file, its Parquet, and the page that shows the verdicts."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from orchestration.defs import gates
from orchestration.defs.raw import FRESHNESS, PRIVATE
from orchestration.defs.resources import OWNERS, POOL, SERVING, the_steps
from orchestration.settings import Settings

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
        report = the_steps(context).postgres()
        if isinstance(report, str):
            # What is published stays so; the next build, or `tandem publish postgres`, goes on.
            context.log.warning(f"PostgreSQL keeps what it had: {report}")
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
        told = the_steps(context).publish()
        yield from gates.check_results("export", told.outcomes)
        report = told.report
        if report is None:
            raise dg.Failure(told.error)
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
        told = the_steps(context).quality_report()
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(told.path), **told.counts}
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
        site = the_steps(context).dashboard()
        if isinstance(site, str):
            # What is published stays so, and `tandem serve` writes the site again.
            context.log.warning(f"the dashboard was not written: {site}")
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
