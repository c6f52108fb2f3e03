"""What ingestion and planning write: an asset a raw log, the ledgers, the parameters."""

import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from orchestration.contracts import LogContract, contracts
from orchestration.defs.resources import CONTROL, OWNERS, POOL, RAW, the_steps
from orchestration.ingest.load import LogTotals
from orchestration.ingest.tables import CONTROL_TABLES, raw_columns

PARAMETERS = dg.AssetKey(["control", "parameters"])
WINDOW = dg.AssetKey(["control", "window_dates"])
DATES = dg.DailyPartitionsDefinition(start_date="2000-01-01", end_offset=1)
LEDGERS = {
    "control.files": "The file ledger, keyed by log and content. | 文件台账，按日志与内容为键。",
    "control.paths": "Every path seen in the landing zone. | 落地区见过的每个路径。",
    "control.batches": "One row an ingest that took something. | 每次有新内容的摄取一行。",
    "control.replaced": "Event rows that a later arrival replaced. | 被后到记录取代的事件行。",
    "control.schema_drift": "Fields that no contract names. | 契约未声明的字段。",
    "quarantine.lines": "Every rejected line with its reason. | 每条被拒记录及其原因。",
}
OTHER_CONTROL = {
    "builds": (
        "One row a build; the last good one's batch is the watermark. | "
        "每次构建一行；最近一次成功构建的批次即水位线。"
    ),
    "validations": "Every verdict of every gate. | 每道质量门的每条结论。",
    "funnel_steps": "The declared funnels, written with the plan. | 随计划写入的漏斗声明。",
    "scene_kinds": (
        "Kinds of scenes that count as touchpoints, written with the plan. | "
        "随计划写入、计为触点的场景类型。"
    ),
    "payout_ledger": ("The payout ledger of record, append-only. | 分成的正式账本，只追加。"),
    "payout_payees": "The ids that a payee had when it was posted. | 入账时收款人拥有的标识。",
    "tombstones": "What an erased person must not come back as. | 已抹除者不得再次出现的凭据。",
    "release_ledger": "What audience packs cost, hash-chained. | 人群包的隐私预算账本，哈希链。",
    "audience_packs": "Versions of audience packs. | 人群包的各个版本。",
    "audience_rows": "Live files of packs of rows. | 明细人群包的现行文件。",
    "audience_counts": "Live files of packs of counts. | 计数人群包的现行文件。",
    "audience_attacks": "What the attacks on candidates reached. | 对候选版本的攻击结果。",
}
PRIVATE = {"tandem/access": "private"}
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
)


RECORD_ZH = {"event": "条事件", "entity": "个状态"}


def raw_key(contract: LogContract) -> dg.AssetKey:
    """The asset of one log: `raw/<core>__<log>`."""
    return dg.AssetKey(["raw", contract.table])


def assets() -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Raw logs and ledgers, the plan, the backfill window, and what only gates and builds write."""
    others = [
        dg.AssetSpec(
            ["control", name],
            group_name=CONTROL,
            description=text,
            owners=OWNERS,
            kinds={"duckdb", "great_expectations"} if name == "validations" else {"duckdb"},
            tags=PRIVATE,
        )
        for name, text in OTHER_CONTROL.items()
    ]
    return [_ingest(), _plan(), _window(), *others]


def _log_spec(contract: LogContract) -> dg.AssetSpec:
    words = {field.name: field.description for field in contract.all_fields}
    columns = [
        dg.TableColumn(
            name,
            kind.lower(),
            description=f"{words[name].en} | {words[name].zh}" if name in words else None,
            tags={"pii": ""} if _is_pii(contract, name) else {},
        )
        for name, kind in raw_columns(contract).items()
    ]
    return dg.AssetSpec(
        raw_key(contract),
        description=(
            f"{contract.title.en}: what was landed of it and kept, one row a "
            f"{'record' if contract.kind == 'event' else 'state'}. | "
            f"{contract.title.zh}：已落地并接受的记录，每{RECORD_ZH[contract.kind]}一行。"
        ),
        group_name=RAW,
        kinds={"duckdb", "python", contract.kind},
        owners=OWNERS,
        tags=PRIVATE | {"core": contract.core},
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
            group_name=RAW,
            kinds={"duckdb", "python"},
            owners=OWNERS,
            tags=PRIVATE,
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
        selected = context.selected_asset_keys
        wanted = [log for log, contract in contracts().items() if raw_key(contract) in selected]
        everything = len(wanted) == len(contracts())
        told = the_steps(context).ingest(None if everything else wanted)
        context.log.info(told.summary)
        for contract in contracts().values():
            if raw_key(contract) in selected:
                rows, last = told.rows[contract.log]
                taken = told.totals.get(contract.log, LogTotals())
                yield dg.MaterializeResult(
                    raw_key(contract),
                    metadata={
                        "dagster/row_count": rows,
                        "lines_read": taken.lines_read,
                        "accepted": taken.accepted,
                        "rejected": taken.rejected,
                        "duplicates": taken.duplicates,
                        **_moment(last),
                    },
                )
        for name, count in told.ledgers.items():
            key = dg.AssetKey(name.split("."))
            if key in selected:
                yield dg.MaterializeResult(key, metadata={"dagster/row_count": count})

    return ingest


def _moment(last: object) -> dict[str, dg.MetadataValue]:
    """The time of the newest record and its age in seconds; a `date` log has no moment."""
    if not isinstance(last, datetime):
        return {}
    moment = last.replace(tzinfo=UTC)
    age = int((datetime.now(UTC) - moment).total_seconds())
    return {
        "last_record_at": dg.MetadataValue.timestamp(moment),
        "freshness_seconds": dg.MetadataValue.int(age),
    }


def _plan() -> dg.AssetsDefinition:
    @dg.asset(
        key=PARAMETERS,
        deps=[*(raw_key(contract) for contract in contracts().values()), WINDOW],
        group_name=CONTROL,
        kinds={"duckdb", "python"},
        owners=OWNERS,
        tags=PRIVATE,
        description=(
            "The one row that models read in place of variables: settings, dates, mark. | "
            "模型以此单行代替变量：设置、日期与水位线。"
        ),
        required_resource_keys={"build"},
        pool=POOL,
    )
    def plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        planned = the_steps(context).plan()
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
        group_name=CONTROL,
        kinds={"duckdb", "python"},
        owners=OWNERS,
        tags=PRIVATE,
        description=(
            "Business dates that a backfill rebuilds, beyond those with new records. | "
            "回填要重建的业务日期（在有新记录的日期之外）。"
        ),
        required_resource_keys={"build"},
        pool=POOL,
    )
    def window_dates(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        the_steps(context).window(days)
        return dg.MaterializeResult(
            metadata={"first": str(days[0]), "last": str(days[-1]), "dates": len(days)}
        )

    return window_dates
