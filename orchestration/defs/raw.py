"""What ingestion and planning write: an asset a raw log, the ledgers, the parameters."""

import warnings
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from orchestration.build import plan_build, run_ingest, set_window
from orchestration.contracts import LogContract, contracts
from orchestration.defs.resources import OWNERS, POOL, the_build
from orchestration.ingest.tables import CONTROL_TABLES, raw_columns
from orchestration.warehouse import open_warehouse

PARAMETERS = dg.AssetKey(["control", "parameters"])
WINDOW = dg.AssetKey(["control", "window_dates"])
DATES = dg.DailyPartitionsDefinition(start_date="2000-01-01", end_offset=1)
LEDGERS = {
    "control.files": "The file ledger, keyed by log and content.",
    "control.paths": "Every path seen in the landing zone.",
    "control.batches": "One row an ingest that took something.",
    "control.replaced": "Event rows that a later arrival replaced.",
    "control.schema_drift": "Fields that no contract names.",
    "quarantine.lines": "Every rejected line with its reason.",
}
OTHER_CONTROL = {
    "builds": "One row a build; the last good one's batch is the watermark.",
    "validations": "Every verdict of every gate.",
}
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
)


def raw_key(contract: LogContract) -> dg.AssetKey:
    """The asset of one log: `raw/<core>__<log>`."""
    return dg.AssetKey(["raw", contract.table])


def assets() -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Raw logs and ledgers, the plan, the backfill window, and what only gates and builds write."""
    others = [
        dg.AssetSpec(["control", name], group_name="control", description=text, owners=OWNERS)
        for name, text in OTHER_CONTROL.items()
    ]
    return [_ingest(), _plan(), _window(), *others]


def _log_spec(contract: LogContract) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(name, kind.lower(), tags={"pii": ""} if _is_pii(contract, name) else {})
        for name, kind in raw_columns(contract).items()
    ]
    return dg.AssetSpec(
        raw_key(contract),
        description=f"{contract.title.en} | {contract.title.zh}",
        group_name="raw",
        kinds={"duckdb", contract.kind},
        owners=OWNERS,
        tags={"core": contract.core},
        freshness_policy=FRESHNESS,
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/table_name": f"warehouse.raw.{contract.table}",
        },
    )


def _is_pii(contract: LogContract, name: str) -> bool:
    return name in contract.pii_fields


def _ingest() -> dg.AssetsDefinition:
    ledgers = [
        dg.AssetSpec(
            name.split("."),
            description=text,
            group_name="raw",
            kinds={"duckdb"},
            owners=OWNERS,
            metadata={
                "dagster/column_schema": dg.TableSchema(
                    columns=[
                        dg.TableColumn(column, kind)
                        for column, kind in (
                            declared.strip().rsplit(" ", 1)
                            for declared in CONTROL_TABLES[name].split(",")
                        )
                    ]
                )
            },
        )
        for name, text in LEDGERS.items()
    ]

    @dg.multi_asset(
        name="ingest",
        specs=[*(_log_spec(contract) for contract in contracts().values()), *ledgers],
        required_resource_keys={"build"},
        pool=POOL,
        can_subset=True,
    )
    def ingest(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        build = the_build(context)
        selected = context.selected_asset_keys
        wanted = [log for log, contract in contracts().items() if raw_key(contract) in selected]
        everything = len(wanted) == len(contracts())
        run_ingest(build, None if everything else wanted)
        context.log.info(build.stages[-1].summary)
        with open_warehouse(build.work, read_only=True) as connection:
            for contract in contracts().values():
                if raw_key(contract) in selected:
                    rows, last = connection.execute(
                        f"select count(*), max({contract.time}) from raw.{contract.table}"
                    ).fetchone() or (0, None)
                    yield dg.MaterializeResult(
                        raw_key(contract), metadata={"dagster/row_count": rows, **_moment(last)}
                    )
            for name in LEDGERS:
                key = dg.AssetKey(name.split("."))
                if key in selected:
                    row = connection.execute(f"select count(*) from {name}").fetchone()
                    yield dg.MaterializeResult(
                        key, metadata={"dagster/row_count": row[0] if row else 0}
                    )

    return ingest


def _moment(last: object) -> dict[str, dg.MetadataValue]:
    """The time of the newest record; a `date` log has no moment."""
    if not isinstance(last, datetime):
        return {}
    return {"last_record_at": dg.MetadataValue.text(f"{last.isoformat()}Z")}


def _plan() -> dg.AssetsDefinition:
    @dg.asset(
        key=PARAMETERS,
        deps=[*(raw_key(contract) for contract in contracts().values()), WINDOW],
        group_name="control",
        kinds={"duckdb"},
        owners=OWNERS,
        description="The one row that models read in place of variables: settings, dates, mark.",
        required_resource_keys={"build"},
        pool=POOL,
    )
    def plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        planned = plan_build(the_build(context))
        return dg.MaterializeResult(
            metadata={
                "as_of_date": str(planned.as_of_date),
                "watermark_batch_id": planned.watermark_batch_id,
                "full_refresh": planned.full_refresh,
            }
        )

    return plan


def _window() -> dg.AssetsDefinition:
    with warnings.catch_warnings():
        # Dagster says of each use that the policy is in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _window_asset(dg.BackfillPolicy.single_run())


def _window_asset(policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    @dg.asset(
        key=WINDOW,
        partitions_def=DATES,
        backfill_policy=policy,
        group_name="control",
        kinds={"duckdb"},
        owners=OWNERS,
        description="Business dates that a backfill rebuilds, beyond those with new records.",
        required_resource_keys={"build"},
        pool=POOL,
    )
    def window_dates(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        set_window(the_build(context), days)
        return dg.MaterializeResult(
            metadata={"first": str(days[0]), "last": str(days[-1]), "dates": len(days)}
        )

    return window_dates
