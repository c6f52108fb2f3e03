"""The dbt models: one step a layer, one asset a model, one check for all data tests of a model."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from orchestration.defs.resources import OWNERS, POOL, SEEDS, layer_group, the_steps
from orchestration.plan import LAYERS
from orchestration.transform import NodeResult

TESTS = "dbt_tests"
"""The check that stands for all data tests of a model: a check costs Dagster three events."""


class Translator(DagsterDbtTranslator):
    """Groups by layer, takes keys from the schemas, and leaves SQL out of the descriptions."""

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: Any
    ) -> dg.AssetCheckSpec | None:
        """One spec for all tests of a model: equal ones collapse."""
        if super().get_asset_check_spec(asset_spec, manifest, unique_id, project) is None:
            return None
        return dg.AssetCheckSpec(
            TESTS,
            asset=asset_spec.key,
            blocking=True,
            description=(
                "Guards the model's promises: its keys are unique, its columns have the values "
                "that its contract names, its sums agree. Stops what follows. | "
                "守护模型的承诺：主键唯一、取值合规、合计一致；不通过则阻断后续。"
            ),
        )

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer, and of a mart its schema; seeds have a group of their own."""
        if dbt_resource_props["resource_type"] == "seed":
            return SEEDS
        return layer_group(dbt_resource_props["fqn"][1], dbt_resource_props["schema"])

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The layer, and whether readers see it."""
        is_seed = dbt_resource_props["resource_type"] == "seed"
        layer = "seeds" if is_seed else str(dbt_resource_props["fqn"][1])
        access = "published" if layer == "marts" else "private"
        return {
            **super().get_tags(dbt_resource_props),
            "tandem/layer": layer,
            "tandem/access": access,
        }

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """The owners that dbt names, else the team's."""
        return super().get_owners(dbt_resource_props) or OWNERS

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The model's own words."""
        return str(dbt_resource_props.get("description", ""))


TRANSLATOR = Translator(DagsterDbtTranslatorSettings(enable_code_references=False))


def layer_assets(manifest: Path) -> list[dg.AssetsDefinition]:
    """One multi-asset a layer, in order: a blocking check of one stops the next."""
    tested = _tested_models(manifest)
    return [_layer(manifest, layer, tested) for layer in LAYERS]


def _layer(manifest: Path, layer: str, tested: Mapping[str, str]) -> dg.AssetsDefinition:
    seeds = " resource_type:seed" if layer == "staging" else ""

    @dbt_assets(
        manifest=manifest,
        select=f"fqn:tandem.{layer}{seeds}",
        name=layer,
        dagster_dbt_translator=TRANSLATOR,
        required_resource_keys={"build"},
        pool=POOL,
    )
    def models(context: dg.AssetExecutionContext) -> Iterator[Any]:
        specs = {spec.key: spec for spec in context.assets_def.specs}
        names = {
            key: str(specs[key].metadata["dagster_dbt/unique_id"]).rsplit(".", 1)[-1]
            for key in context.selected_asset_keys
        }
        partial = None if len(names) == len(specs) else sorted(names.values())
        told = the_steps(context).layer(layer, partial)
        context.log.info(told.summary)
        by_name = {name: key for key, name in names.items()}
        # In dbt's order, which is parents first.
        for item in told.nodes:
            if item.name in by_name and item.status == "success":
                key = by_name[item.name]
                rows = told.rows.get((key.path[0], key.path[-1]))
                facts = {"dagster/row_count": rows} if rows is not None else {}
                yield dg.MaterializeResult(key, metadata=facts | {"seconds": item.seconds})
        yield from _test_results(context, names, tested, told.nodes)
        if told.error is not None:
            raise dg.Failure(told.error)

    return models


def _tested_models(manifest: Path) -> dict[str, str]:
    """The model that a data test is attached to, by the test's unique id."""
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    return {
        unique_id: nodes[node["attached_node"]]["name"]
        for unique_id, node in nodes.items()
        if node["resource_type"] == "test" and node.get("attached_node") in nodes
    }


def _test_results(
    context: dg.AssetExecutionContext,
    names: Mapping[dg.AssetKey, str],
    tested: Mapping[str, str],
    outcomes: Sequence[NodeResult],
) -> Iterator[dg.AssetCheckResult]:
    """A verdict a model: the numbers of its tests, and the names of those that did not pass."""
    by_model: dict[str, list[NodeResult]] = defaultdict(list)
    for item in outcomes:
        if item.unique_id in tested:
            by_model[tested[item.unique_id]].append(item)
    for spec in context.assets_def.check_specs:
        tests = by_model.get(names.get(spec.asset_key, ""), [])
        if not tests or spec.key not in context.selected_asset_check_keys:
            continue
        broken = [item for item in tests if item.status != "pass"]
        yield dg.AssetCheckResult(
            passed=not broken,
            asset_key=spec.asset_key,
            check_name=spec.name,
            severity=dg.AssetCheckSeverity.ERROR
            if any(item.failed for item in broken)
            else dg.AssetCheckSeverity.WARN,
            metadata={"tests": len(tests), "not_passed": len(broken)}
            | {item.name: item.failures or 0 for item in broken},
        )
