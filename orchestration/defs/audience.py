"""Audience packs as assets, each with its gate; in a job of their own: a release costs budget."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.audience.definition import SpecError
from orchestration.audience.features import JOINED, PERSONS, WEEKS
from orchestration.audience.interface import AttackContext, AttackResult
from orchestration.audience.release import build_pack, expire_packs
from orchestration.audience.spec import find_packs
from orchestration.defs.gates import SERVED
from orchestration.defs.resources import EXPORTS, OWNERS, POOL
from orchestration.errors import TandemError
from orchestration.settings import Settings, load_settings

FOLDER = "exports"
CHECK = "attacks"
INPUTS = (SERVED, *(dg.AssetKey(table.split(".")) for table in sorted({PERSONS, WEEKS, *JOINED})))
"""What any definition can read, and the publish after which it may be read."""


def assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """One asset a pack, `exports/<pack>`, with its gate as a blocking check.

    Definitions are not compiled here: what is wrong with one is said when it runs, and the
    ordinary build does not wait for it.
    """
    try:
        packs = find_packs(settings.audience)
    except SpecError:
        return []
    return [_asset(name) for name in sorted(packs)]


def audience_job(settings: Settings) -> list[UnresolvedAssetJobDefinition]:
    """`audience`: release the packs that are chosen when it is launched; all, without a choice."""
    packs = [asset.key for asset in assets(settings)]
    if not packs:
        return []
    return [
        dg.define_asset_job(
            "audience",
            dg.AssetSelection.assets(*packs),
            description=(
                "Build, attack and release audience packs. A release spends budget; the same "
                "definition on the same data is returned free. | "
                "构建、攻击测试并发布人群包。发布消耗隐私预算；同一定义与数据可免费取回。"
            ),
            tags={"tandem/writes": "exports"},
        )
    ]


def expiry_job() -> dg.JobDefinition:
    """`audience_expiry`: one step that removes what expired, as `tandem audience expire` does."""

    @dg.op(
        pool=POOL,
        out=dg.Out(dg.Nothing),
        description="As `tandem audience expire` does. | 同 `tandem audience expire`。",
    )
    def remove_expired_packs(context: dg.OpExecutionContext) -> None:
        try:
            ended = expire_packs(load_settings())
        except TandemError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        words = ", ".join(f"{pack} v{version:03d}" for pack, version in ended)
        context.log.info(f"expired {words}" if words else "nothing has expired")

    @dg.job(
        name="audience_expiry",
        description="Remove every released pack whose time is over. | 移除全部已到期的人群包。",
        tags={"tandem/writes": "exports"},
        executor_def=dg.in_process_executor,
    )
    def audience_expiry() -> None:
        remove_expired_packs()

    return audience_expiry


def expiry_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """`audience_expiry` at 04:30 in the zone of the business dates; off until it is started."""
    return dg.ScheduleDefinition(
        name="audience_expiry",
        job_name="audience_expiry",
        cron_schedule="30 4 * * *",
        execution_timezone=settings.timezone,
        description="Removes what expired, each day at 04:30. | 每日 04:30 移除已到期的人群包。",
        tags={"tandem/writes": "exports"},
    )


def check_result(
    key: dg.AssetKey, attacks: Sequence[Mapping[str, Any]], *, reason: str = ""
) -> dg.AssetCheckResult:
    """The gate's verdict as Dagster shows it: which attacks succeeded, never a value of the data.

    `attacks` are as the manifest has them; `reason` says why a candidate without any failed.
    """
    failed = [attack for attack in attacks if not attack["pass"]]
    metadata: dict[str, Any] = {"attacks": len(attacks), "failed": len(failed)}
    metadata |= {str(a["id"]): f"{a['value']:g}, gate {a['gate']:g}" for a in failed}
    return dg.AssetCheckResult(
        passed=bool(attacks) and not failed and not reason,
        asset_key=key,
        check_name=CHECK,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata | ({"reason": reason} if reason else {}),
    )


def _asset(name: str) -> dg.AssetsDefinition:
    key = dg.AssetKey([FOLDER, name])

    @dg.multi_asset(
        name=f"exports__{name}",
        specs=[
            dg.AssetSpec(
                key,
                deps=INPUTS,
                description=(
                    f"The audience pack {name}: its last released version. | "
                    f"人群包 {name}：最近发布的版本。"
                ),
                group_name=EXPORTS,
                kinds={"parquet", "python"},
                owners=OWNERS,
                tags={"tandem/access": "released"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=key,
                blocking=True,
                description=(
                    "Guards the people in the pack: every attack of the gate has to fail before "
                    "a version is released. | 保护包内人员：发布前全部攻击必须失败。"
                ),
            )
        ],
        pool=POOL,
    )
    def pack() -> Iterator[Any]:
        seen: list[AttackResult] = []

        def attacks(candidate: AttackContext) -> list[AttackResult]:
            from orchestration.audience.attacks import run_attacks

            seen[:] = run_attacks(candidate)
            return list(seen)

        try:
            release = build_pack(load_settings(), name, attacks=attacks)
        except TandemError as error:
            verdicts = [
                {"id": found.id, "value": found.value, "gate": found.gate, "pass": found.passed}
                for found in seen
            ]
            yield check_result(key, verdicts, reason=str(error))
            raise dg.Failure(str(error), allow_retries=False) from error
        manifest = release.manifest
        yield check_result(key, manifest["attacks"])
        yield dg.MaterializeResult(
            key,
            metadata={
                "path": dg.MetadataValue.path(release.folder),
                "version": release.version,
                "is_new": release.is_new,
                "epsilon_after": manifest["composition"]["epsilon_after"],
                "expires_at": manifest["expires_at"],
            },
        )

    return pack
