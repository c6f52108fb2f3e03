"""The semantic layer: dbt semantic models and metrics, made from the metric catalogue.

`MODELS` says only how a metric of the catalogue is added up; its name, label, formula and
description are the catalogue's. `python -m orchestration.semantic_models` writes
`dbt_project/models/semantic/`; a test fails when it is stale. docs/semantic-layer.md explains it.

MetricFlow cannot refuse a question, and would add up what must not be added up: rows of all
(`'*'`) with those of its parts, distinct persons over dates, day 1 with day 7. A metric of which
that is true is therefore derived from parts, and NULL where a cell of the answer would hold more
than one value of a key in `Metric.one`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import yaml

from orchestration.dbt_sources import Indented
from orchestration.metrics import read_catalogue
from orchestration.plan import DBT_PROJECT

FOLDER = DBT_PROJECT / "models" / "semantic"
PART = "part_"
"""Begins the name of what is no figure by itself, but the input of one."""
HEADER = (
    "# Written by `python -m orchestration.semantic_models` from the metric catalogue and that\n"
    "# module's list: edit those.\n"
    "# yamllint disable rule:line-length\n"
)
AS_OF = "(select max(date) from dim.dates where is_complete)"
"""The date of a mart that says how things stand, and has no date of its own."""


@dataclass(frozen=True)
class Metric:
    """How a metric of the catalogue is added up.

    `num` and `den` are SQL over the mart's columns, where they are not the catalogue's numerator
    and denominator. `how` is `sum`, or `last` for a level: the sum on the period's last date.
    `one` are the mart's columns of which each cell of an answer must hold one value, else it is
    NULL.
    """

    id: str
    num: str = ""
    den: str = ""
    how: Literal["sum", "last"] = "sum"
    one: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One mart as a semantic model.

    `time` is its date column, or an SQL date; `grain` the least granularity one may ask for.
    `totals` are key columns with a row for all, and that row's value. `where` is a boolean column
    that rows must have. `entities` are ids that lead to `DIMENSIONS`, as SQL.
    """

    mart: str
    time: str
    keys: tuple[str, ...]
    metrics: tuple[Metric, ...]
    grain: Literal["day", "week", "month"] = "day"
    totals: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    entities: Mapping[str, str] = field(default_factory=dict)
    ref: str = ""

    @property
    def name(self) -> str:
        """The semantic model's name, and what its dimensions begin with: `<name>__<key>`."""
        return self.mart.replace(".", "_")

    @property
    def time_dimension(self) -> str:
        """MetricFlow keeps `date`, `month` and the like for itself."""
        return {"day": "on_date", "week": "in_week", "month": "in_month"}[self.grain]


_LAST_STEP = (
    "funnel || '/' || step in "
    "(select funnel || '/' || max(step) from engagement.funnels group by funnel)"
)
GROUP = {"chat_group": "source || '/' || group_id"}
CONTENT = {"content": "source || '/' || content_id"}

DIMENSIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("dim.groups", "chat_group", GROUP["chat_group"], ("name", "kind")),
    ("dim.contents", "content", CONTENT["content"], ("kind", "origin")),
)
"""Marts that only describe: mart, entity, its SQL, the columns that other marts may be split by."""

MODELS: tuple[Model, ...] = (
    Model(
        "users.daily_active",
        "date",
        ("core", "source"),
        (
            Metric("dau", one=("date",)),
            Metric("dau_contributing", one=("date",)),
            Metric("wau", how="last"),
            Metric("mau28", how="last"),
            Metric("mau30", how="last"),
            Metric("stickiness", one=("date",)),
            Metric("new_active_persons"),
        ),
        totals={"core": "all", "source": "*"},
        where="is_complete",
    ),
    Model(
        "users.lifecycle_weekly",
        "week_start",
        ("core",),
        (
            Metric("weekly_new"),
            Metric("weekly_returning", num='"returning"', one=("week_start",)),
            Metric("weekly_resurrected", one=("week_start",)),
            Metric("weekly_dormant", one=("week_start",)),
            Metric("weekly_active", one=("week_start",)),
        ),
        grain="week",
        totals={"core": "all"},
    ),
    Model(
        "users.retention",
        "cohort_date",
        ("core", "mode", "day_n"),
        (Metric("retention_rate", one=("mode", "day_n")),),
        totals={"core": "all"},
    ),
    Model("users.tier_daily", "date", ("tier",), (Metric("tier_persons", how="last"),)),
    Model(
        "users.cross_core",
        "month",
        (),
        (
            Metric("community_only_mau", one=("month",)),
            Metric("group_only_mau", one=("month",)),
            Metric("both_cores_mau", num='"both"', one=("month",)),
            Metric("community_to_group_rate", one=("month",)),
        ),
        grain="month",
    ),
    Model(
        "content.daily_performance",
        "date",
        ("source",),
        tuple(
            Metric(name)
            for name in (
                "impressions",
                "clicks",
                "ctr",
                "reads",
                "net_likes",
                "comments",
                "shares",
                "collects",
            )
        ),
        entities=CONTENT,
    ),
    Model(
        "content.supply_mix",
        "week_start",
        ("source", "node_id", "origin"),
        (Metric("supply"),),
        grain="week",
        totals={"node_id": "*"},
    ),
    Model(
        "content.response_times",
        "week_start",
        ("source", "node_id"),
        (
            Metric("questions"),
            Metric("answer_rate"),
            Metric("answer_rate_1h"),
            Metric("answer_rate_24h"),
            Metric("answer_rate_7d"),
        ),
        grain="week",
        totals={"node_id": "*"},
    ),
    Model(
        "engagement.group_daily",
        "date",
        ("source",),
        (
            Metric("group_members", num="members_close", how="last"),
            Metric("group_joins"),
            Metric("group_inferred_joins"),
            Metric("group_leaves"),
            Metric("group_messages"),
            Metric("group_reactions"),
            Metric("group_interactions"),
            Metric("group_kol_messages"),
            Metric("group_ugc_messages"),
        ),
        entities=GROUP,
    ),
    Model(
        "engagement.broadcast_funnel",
        AS_OF,
        ("source", "broadcast_id"),
        (
            Metric("send_rate"),
            Metric("delivery_rate", den="case when delivered is not null then targeted end"),
            Metric(
                "read_rate",
                num="case when delivered is not null then read end",
                den="case when read is not null then delivered end",
            ),
            Metric(
                "broadcast_click_rate",
                den="case when clicked is not null then coalesce(delivered, targeted) end",
            ),
            Metric("broadcast_conversion"),
            Metric(
                "broadcast_leave_rate", den="case when leaves_24h is not null then targeted end"
            ),
        ),
        entities=GROUP,
    ),
    Model(
        "engagement.consult_service",
        "date",
        ("responder",),
        (
            Metric("consult_sessions"),
            Metric("consult_answer_rate", one=("responder",)),
            Metric("within_15s_rate", one=("responder",)),
            Metric(
                "handoff_rate",
                num="case when responder = 'ai' then handoffs end",
                den="case when responder = 'ai' then sessions end",
            ),
            Metric(
                "containment_rate",
                num="case when responder = 'ai' then contained end",
                den="case when responder = 'ai' then eligible_72h end",
            ),
            Metric("csat", one=("responder",)),
        ),
        totals={"responder": "ai"},
    ),
    Model(
        "engagement.campaigns",
        AS_OF,
        ("source", "campaign_id"),
        (
            Metric("campaign_participation", one=("source", "campaign_id")),
            Metric("campaign_orders"),
            Metric(
                "campaign_roi",
                num="case when coalesce(spend_minor, 0) > 0 then net_revenue_minor end",
            ),
        ),
        ref="engagement_campaigns",
    ),
    Model(
        "engagement.funnels",
        "entry_date",
        ("funnel", "step", "step_kind"),
        (
            Metric("funnel_persons", one=("funnel", "step")),
            Metric(
                "funnel_conversion",
                num=f"case when {_LAST_STEP} then persons end",
                den="case when step = 1 then persons end",
                one=("funnel",),
            ),
        ),
    ),
    Model(
        "engagement.touchpoints",
        AS_OF,
        ("source", "campaign_id", "n_scenes"),
        (Metric("touchpoint_conversion"),),
        totals={"campaign_id": "*"},
    ),
    Model(
        "engagement.assistant_daily",
        "date",
        ("surface",),
        (
            Metric("assistant_answer_rate"),
            Metric("assistant_handoff_rate"),
            Metric("assistant_failure_rate"),
        ),
    ),
    Model("engagement.governance_daily", "date", ("source",), (Metric("governance_votes"),)),
    Model(
        "revenue.daily",
        "date",
        ("core",),
        (
            Metric("orders"),
            Metric("payers", one=("date", "core")),
            Metric("gmv"),
            Metric("refunds_cash"),
            Metric("refunds_order"),
            Metric("net_cash"),
            Metric("net_order"),
        ),
    ),
    Model(
        "revenue.group_arpu_monthly",
        "month",
        ("source", "group_id"),
        (
            Metric("group_net_revenue"),
            Metric(
                "group_arpu",
                num="case when member_days is not null then net_revenue_minor end",
                den="member_days / nullif(days, 0)",
                one=("month",),
            ),
        ),
        grain="month",
        entities=GROUP,
    ),
    Model(
        "revenue.mrr_movements",
        "month",
        ("source", "plan_id"),
        (
            Metric("mrr", how="last"),
            Metric("mrr_new"),
            Metric("mrr_expansion"),
            Metric("mrr_contraction"),
            Metric("mrr_churn"),
            Metric("mrr_reactivation"),
        ),
        grain="month",
        totals={"plan_id": "*"},
    ),
    Model(
        "revenue.renewals",
        "month",
        ("source", "plan_id"),
        (Metric("renewal_rate"),),
        grain="month",
    ),
    Model(
        "revenue.ltv",
        "cohort_month",
        ("core_mix", "day_n"),
        (Metric("ltv", one=("day_n",)),),
        grain="month",
    ),
    Model(
        "revenue.repurchase",
        "cohort_month",
        ("day_n",),
        (Metric("repurchase_rate", one=("day_n",)),),
        grain="month",
    ),
    Model(
        "revenue.acquisition",
        "month",
        ("source", "channel_kind", "target_id"),
        (
            Metric("acquisition_spend", one=("channel_kind",)),
            Metric("cost_per_member", one=("channel_kind",)),
            Metric("cost_per_payer", one=("channel_kind",)),
        ),
        grain="month",
    ),
    Model(
        "audience.packs",
        "cast(created_at as date)",
        ("pack", "kind", "purpose", "population"),
        (Metric("released_packs", num="case when status = 'released' then 1 else 0 end"),),
    ),
    Model(
        "audience.attacks",
        AS_OF,
        ("pack", "attack"),
        (
            Metric(
                "attack_pass_rate",
                num="case when passed then 1 else 0 end",
                den="case when passed is not null then 1 else 0 end",
            ),
        ),
    ),
)


def render(catalogue: Sequence[Mapping[str, str]] | None = None) -> dict[str, str]:
    """File name to YAML: one file a mart's schema, its semantic models and then its metrics.

    Raises KeyError when the catalogue lacks a metric of `MODELS`.
    """
    rows = {row["id"]: row for row in (catalogue or read_catalogue())}
    files: dict[str, dict[str, list[Any]]] = {}
    for mart, entity, key, columns in DIMENSIONS:
        kept = files.setdefault(mart.split(".")[0], {"semantic_models": []})
        kept["semantic_models"].append(_describing(mart, entity, key, columns))
    for model in MODELS:
        writer = _Writer(model)
        for metric in model.metrics:
            writer.add(metric, rows[metric.id])
        schema = files.setdefault(model.mart.split(".")[0], {"semantic_models": []})
        schema["semantic_models"].append(writer.semantic_model())
        schema.setdefault("metrics", []).extend(writer.metrics)
    return {
        f"{schema}.yml": HEADER
        + "\n"
        + yaml.dump(
            {"version": 2} | content,
            Dumper=Indented,
            allow_unicode=True,
            sort_keys=False,
            width=100,
        )
        for schema, content in files.items()
    }


def public() -> Iterator[tuple[Model, Metric]]:
    """Every metric that may be asked for, with its model."""
    for model in MODELS:
        for metric in model.metrics:
            yield model, metric


class _Writer:
    """Collects what one semantic model needs: measures, and metrics upon them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.measures: dict[str, dict[str, Any]] = {}
        self.metrics: list[dict[str, Any]] = []

    def add(self, metric: Metric, row: Mapping[str, str]) -> None:
        """A metric of the catalogue, with the parts that it is derived from."""
        num = metric.num or row["numerator"]
        den = metric.den or row["denominator"]
        if row["mart"] != self.model.mart:
            raise KeyError(f"{metric.id} is a metric of {row['mart']}, not of {self.model.mart}")
        words = self._words(row)
        totals = self._totals(metric)
        if not den and not metric.one and not totals:
            # Nothing to guard: the measure itself, under the metric's name.
            self._measure(metric.id, metric.how, num)
            self.metrics.append(words | self._simple(metric.id))
            return
        inputs = self._operands(metric, num, "num")
        formula = self._choice(inputs, totals)
        if den:
            others = self._operands(metric, den, "den")
            if not metric.one and not totals:
                self.metrics.append(
                    words
                    | {
                        "type": "ratio",
                        "type_params": {"numerator": inputs[0], "denominator": others[0]},
                    }
                )
                return
            formula = f"cast({formula} as double) / nullif({self._choice(others, totals)}, 0)"
            inputs += others
        guards = [self._values(column) for column in metric.one]
        if guards:
            single = " and ".join(f"{name} = 1" for name in guards)
            formula = f"case when {single} then {formula} end"
        guards += [self._values(column) for column in totals]
        self.metrics.append(
            words
            | {
                "type": "derived",
                "type_params": {
                    "expr": formula,
                    "metrics": [{"name": name} for name in dict.fromkeys([*inputs, *guards])],
                },
            }
        )

    def semantic_model(self) -> dict[str, Any]:
        """The semantic model with the measures collected so far."""
        model = self.model
        time = {
            "name": model.time_dimension,
            "type": "time",
            "expr": model.time,
            "type_params": {"time_granularity": model.grain},
        }
        keys = [{"name": _dimension(key), "type": "categorical", "expr": key} for key in model.keys]
        if model.where:
            keys.append({"name": model.where, "type": "categorical"})
        found: dict[str, Any] = {
            "name": model.name,
            "description": f"How metrics of {model.mart} are added up. | {model.mart} 的汇总口径。",
            "model": f"ref('{model.ref or model.mart.split('.')[1]}')",
            "defaults": {"agg_time_dimension": model.time_dimension},
            "primary_entity": model.name,
        }
        if model.entities:
            found["entities"] = [
                {"name": name, "type": "foreign", "expr": expr}
                for name, expr in model.entities.items()
            ]
        return found | {"dimensions": [time, *keys], "measures": list(self.measures.values())}

    def _words(self, row: Mapping[str, str]) -> dict[str, Any]:
        return {
            "name": row["id"],
            "label": row["name_en"],
            "description": (
                f"{row['formula']}. Window: {row['time_window']}. Left out: {row['exclusions']}. "
                f"NULL: {row['null_rule']}. | {row['name_zh']}"
            ),
            "config": {
                "meta": {
                    "zh": row["name_zh"],
                    "mart": row["mart"],
                    "additivity": row["additivity"],
                    "version": int(row["version"]),
                }
            },
        }

    def _totals(self, metric: Metric) -> list[str]:
        """The keys of which rows of all have to be told from the others."""
        return [key for key in self.model.totals if key not in metric.one]

    def _operands(self, metric: Metric, expr: str, role: str) -> list[str]:
        """The parts to choose from: the sum of a cell's rows, and those of its rows of all.

        With two keys that have such rows there are four: what is chosen depends on which of the
        keys a cell fixes.
        """
        totals = self._totals(metric)
        found = []
        for size in range(len(totals) + 1):
            for free in combinations(totals, size):
                where = " and ".join(f"{key} = '{self.model.totals[key]}'" for key in free)
                name = f"{self.model.name}_{expr if expr.isidentifier() else f'{metric.id}_{role}'}"
                name += "_last" if metric.how == "last" else ""
                name += f"_of_all_{'_and_'.join(map(_dimension, free))}" if free else ""
                value = f"case when {where} then {expr} end" if free else expr
                found.append(self._part(name, metric.how, value))
        return found

    def _choice(self, parts: Sequence[str], totals: Sequence[str]) -> str:
        """SQL that takes, of the sums of `_operands`, the one that a cell may show."""
        if not totals:
            return parts[0]
        fixed_sets = [
            [key for key in totals if key not in free]
            for size in range(len(totals) + 1)
            for free in combinations(totals, size)
        ]
        cases = [
            f"when {' and '.join(f'{self._values(key)} = 1' for key in fixed)} then {part}"
            if fixed
            else f"else {part}"
            for fixed, part in zip(fixed_sets, parts, strict=True)
        ]
        return f"case {' '.join(cases)} end"

    def _values(self, column: str) -> str:
        """The part that counts how many values of a column a cell holds."""
        name = f"{PART}{self.model.name}_{_dimension(column)}_values"
        if name not in self.measures:
            self.measures[name] = {
                "name": name,
                "agg": "count_distinct",
                "expr": column,
                "description": f"Values of {column} in a cell. | 单元格内 {column} 的取值个数。",
            }
            self.metrics.append(self._part_words(name) | self._simple(name))
        return name

    def _part(self, name: str, how: str, expr: str) -> str:
        name = f"{PART}{name}"
        if name not in self.measures:
            self._measure(name, how, expr)
            self.metrics.append(self._part_words(name) | self._simple(name))
        return name

    def _measure(self, name: str, how: str, expr: str) -> None:
        measure: dict[str, Any] = {
            "name": name,
            "agg": "sum",
            "expr": expr,
        }
        if how == "last":
            measure["non_additive_dimension"] = {
                "name": self.model.time_dimension,
                "window_choice": "max",
            }
        self.measures[name] = measure

    def _part_words(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "label": name,
            "description": "An input of another metric, no figure by itself. | 其他指标的中间量。",
        }

    def _simple(self, measure: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "simple", "type_params": {"measure": measure}}
        if self.model.where:
            dimension = f"{self.model.name}__{self.model.where}"
            found["filter"] = "{{ Dimension('" + dimension + "') }}"
        return found


def _describing(mart: str, entity: str, key: str, columns: Sequence[str]) -> dict[str, Any]:
    """A semantic model without measures: what other marts' rows belong to."""
    return {
        "name": mart.replace(".", "_"),
        "description": f"{mart}, for splitting other marts by. | {mart}，供其他集市表拆分。",
        "model": f"ref('{mart.split('.')[1]}')",
        "entities": [{"name": entity, "type": "primary", "expr": key}],
        "dimensions": [{"name": column, "type": "categorical"} for column in columns],
    }


def _dimension(column: str) -> str:
    """A column's name in MetricFlow, which keeps the names of granularities for itself."""
    return {"date": "on_date", "week_start": "in_week", "month": "in_month"}.get(column, column)


def main(arguments: Sequence[str] = ()) -> int:
    """Write the files; with `--check` only say whether they are stale, by the exit code."""
    files = render()
    if "--check" in arguments:
        there = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*"))}
        return int(there != files)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.yml"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        Path(FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
