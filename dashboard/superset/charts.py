"""What the dashboard shows: datasets with their metrics, charts, and tabs of rows of charts.

A metric is SQL over its mart's rows. A ratio is the quotient of two sums, so that it is right at
whatever grain a viewer chooses; distinct persons are added up over no date, because every chart
of them filters to one row a date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A saved metric. `unit` is count, ratio, decimal, or money (then in minor units)."""

    name: str
    title: str
    sql: str
    unit: str = "count"


@dataclass(frozen=True)
class Dataset:
    """A mart with the metrics that charts use of it; `time` is its main column of time.

    `computed` are columns that the mart does not have, name to SQL.
    """

    table: str
    metrics: tuple[Metric, ...]
    time: str | None = None
    computed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """A chart of one mart.

    `where` are values that every row must have, `without` values that none may have; `formats`
    are those of a table's columns; `params` are Superset's own, on top of what its kind gets.
    """

    name: str
    title: str
    kind: str
    table: str
    metrics: tuple[str, ...] = ()
    x: str | None = None
    by: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, Any] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    grain: str = "P1D"
    width: int = 6
    height: int = 50
    words: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tab:
    """A tab: its title and its rows of charts."""

    title: str
    rows: Sequence[Sequence[Chart]]


def ratio(numerator: str, denominator: str) -> str:
    """The quotient of two sums, NULL where nothing is below the line."""
    return f"sum({numerator}) * 1.0 / nullif(sum({denominator}), 0)"


DATASETS = (
    Dataset(
        "users.daily_active",
        (
            Metric("dau", "Daily active persons · 日活跃用户", "sum(dau)"),
            Metric("new_persons", "New persons · 新增用户", "sum(new_persons)"),
            Metric("stickiness", "DAU / MAU28 · 用户黏性", ratio("dau", "mau28"), "ratio"),
        ),
        "date",
    ),
    Dataset(
        "users.retention",
        (
            Metric(
                "retention_rate",
                "Retention · 留存率",
                ratio("case when eligible > 0 then retained end", "eligible"),
                "ratio",
            ),
        ),
        "cohort_date",
    ),
    Dataset(
        "users.tier_daily",
        (Metric("persons", "Persons · 人数", "sum(persons)"),),
        "date",
    ),
    Dataset(
        "engagement.group_daily",
        (
            Metric("memberships", "Memberships · 在群人次", "sum(members_close)"),
            Metric("joins", "Joins · 入群", "sum(joins + inferred_joins)"),
            Metric("leaves", "Leaves · 退群", "sum(leaves)"),
            Metric("interactions", "Interactions · 互动数", "sum(interactions)"),
            Metric(
                "silent_share",
                "Silent groups · 沉默群占比",
                "sum(case when is_silent then 1 else 0 end) * 1.0 / nullif(count(*), 0)",
                "ratio",
            ),
        ),
        "date",
    ),
    Dataset(
        "engagement.scenarios",
        (
            Metric(
                "interactions_per_group_day",
                "Interactions per group and day · 每群每日互动",
                ratio("interactions", "group_days"),
                "decimal",
            ),
        ),
        computed={
            # Axes sort by name.
            "band": "case hour_band when 'night' then '1 night' when 'morning' then '2 morning' "
            "when 'afternoon' then '3 afternoon' else '4 evening' end"
        },
    ),
    Dataset(
        "engagement.broadcast_funnel",
        (
            Metric("targeted", "Targeted · 目标人数", "sum(targeted)"),
            Metric(
                "delivery_rate",
                "Delivered of targeted · 触达率",
                ratio("delivered", "case when delivered is not null then targeted end"),
                "ratio",
            ),
            Metric(
                "read_rate",
                "Read of delivered · 阅读率",
                ratio(
                    "case when delivered is not null then read end",
                    "case when read is not null then delivered end",
                ),
                "ratio",
            ),
            Metric(
                "click_rate",
                "Clicked of delivered · 点击率",
                ratio(
                    "case when delivered is not null then clicked end",
                    "case when clicked is not null then delivered end",
                ),
                "ratio",
            ),
        ),
    ),
    Dataset(
        "engagement.consult_service",
        (
            Metric("sessions", "Sessions · 会话数", "sum(sessions)"),
            Metric(
                "within_15s_rate",
                "Answered within 15 s · 15 秒响应率",
                ratio("within_15s", "sessions"),
                "ratio",
            ),
        ),
        "date",
    ),
    Dataset(
        "revenue.daily",
        (
            Metric("net_order", "Net revenue · 净收入", "sum(net_order_minor)", "money"),
            Metric("gmv", "GMV · 成交总额", "sum(gmv_minor)", "money"),
            Metric("refunds", "Refunds · 退款", "sum(refunds_order_minor)", "money"),
            Metric("orders", "Orders · 订单数", "sum(orders)"),
        ),
        "date",
    ),
    Dataset(
        "revenue.group_arpu_monthly",
        (
            Metric("net_revenue", "Net revenue · 净收入", "sum(net_revenue_minor)", "money"),
            Metric(
                "arpu",
                "Net revenue per member · 社群 ARPU",
                ratio("net_revenue_minor", "member_days * 1.0 / nullif(days, 0)"),
                "money",
            ),
        ),
        "month",
    ),
    Dataset(
        "revenue.mrr_movements",
        (
            Metric("mrr_new", "New · 新增", "sum(new_minor)", "money"),
            Metric("mrr_expansion", "Expansion · 扩张", "sum(expansion_minor)", "money"),
            Metric("mrr_reactivation", "Reactivation · 回流", "sum(reactivation_minor)", "money"),
            Metric("mrr_contraction", "Contraction · 收缩", "sum(contraction_minor)", "money"),
            Metric("mrr_churn", "Churn · 流失", "sum(churn_minor)", "money"),
            Metric("mrr", "MRR · 月经常性收入", "sum(closing_minor)", "money"),
        ),
        "month",
    ),
    Dataset(
        "revenue.ltv",
        (
            Metric(
                "ltv",
                "Net revenue per person · 人均生命周期价值",
                ratio("case when eligible > 0 then net_revenue_minor end", "eligible"),
                "money",
            ),
        ),
        "cohort_month",
    ),
    Dataset("engagement.experiment_results", (Metric("results", "Results · 结果数", "count(*)"),)),
    Dataset(
        "engagement.experiment_health",
        (Metric("units", "Units · 实验单位", "sum(units)"),),
    ),
    Dataset("audience.packs", (Metric("packs", "Versions · 版本数", "count(*)"),), "created_at"),
    Dataset("audience.attacks", (Metric("attacks", "Attacks · 攻击数", "count(*)"),)),
)

_WHOLE_DAYS = {"source": "*", "is_complete": True}
_CORES = "Distinct persons a day; a person of both cores counts once in `all`."

TABS = (
    Tab(
        "Users · 用户",
        (
            (
                Chart(
                    "dau_latest",
                    "Daily active persons · 日活跃用户",
                    "big_number",
                    "users.daily_active",
                    ("dau",),
                    x="date",
                    where={"core": "all"} | _WHOLE_DAYS,
                    width=4,
                    words="The newest complete date, and the way there.",
                ),
                Chart(
                    "dau_by_core",
                    "Daily active persons by core · 双核日活",
                    "echarts_timeseries_line",
                    "users.daily_active",
                    ("dau",),
                    x="date",
                    by=("core",),
                    where=_WHOLE_DAYS,
                    width=8,
                    words=_CORES,
                ),
            ),
            (
                Chart(
                    "stickiness",
                    "Stickiness, DAU / MAU28 · 用户黏性",
                    "echarts_timeseries_line",
                    "users.daily_active",
                    ("stickiness",),
                    x="date",
                    where={"core": "all"} | _WHOLE_DAYS,
                    width=4,
                    words="Over several dates: sum of DAU over sum of MAU, no mean of ratios.",
                ),
                Chart(
                    "retention",
                    "Retention by day · 留存率",
                    "echarts_timeseries_bar",
                    "users.retention",
                    ("retention_rate",),
                    x="day_n",
                    by=("core",),
                    where={"mode": "on"},
                    width=4,
                    words="Persons active on that very day of those for whom the day has come.",
                ),
                Chart(
                    "tiers",
                    "Persons by tier · 用户分层",
                    "echarts_area",
                    "users.tier_daily",
                    ("persons",),
                    x="date",
                    by=("tier",),
                    width=4,
                    params={"stack": "Stack"},
                ),
            ),
        ),
    ),
    Tab(
        "Groups · 社群",
        (
            (
                Chart(
                    "memberships",
                    "Memberships · 在群人次",
                    "echarts_timeseries_line",
                    "engagement.group_daily",
                    ("memberships",),
                    x="date",
                    width=4,
                    words="A person counts once in each group.",
                ),
                Chart(
                    "joins_and_leaves",
                    "Joins and leaves · 入群与退群",
                    "echarts_timeseries_bar",
                    "engagement.group_daily",
                    ("joins", "leaves"),
                    x="date",
                    grain="P1W",
                    width=4,
                    words="Leaves only of groups where they can be observed.",
                ),
                Chart(
                    "silent_groups",
                    "Silent groups · 沉默群占比",
                    "echarts_timeseries_line",
                    "engagement.group_daily",
                    ("silent_share",),
                    x="date",
                    width=4,
                    words="Groups in which too few members spoke in seven dates, of all groups.",
                ),
            ),
            (
                Chart(
                    "scenes",
                    "When groups talk · 场景矩阵",
                    "heatmap_v2",
                    "engagement.scenarios",
                    ("interactions_per_group_day",),
                    x="band",
                    by=("day_type",),
                    where={"group_kind": "*"},
                    width=4,
                    params={"left_margin": 30},
                    words="Interactions per group and day: long and short kinds of days compare.",
                ),
                Chart(
                    "reach",
                    "Reach of broadcasts · 群发触达",
                    "table",
                    "engagement.broadcast_funnel",
                    ("targeted", "delivery_rate", "read_rate", "click_rate"),
                    by=("source",),
                    width=4,
                    words="Only of groups that observe both rungs; empty where none does.",
                ),
                Chart(
                    "within_15s",
                    "Answered within 15 s · 15 秒响应率",
                    "echarts_timeseries_line",
                    "engagement.consult_service",
                    ("within_15s_rate",),
                    x="date",
                    by=("responder",),
                    grain="P1W",
                    width=4,
                    words="Of all sessions, those without an answer included.",
                ),
            ),
        ),
    ),
    Tab(
        "Revenue · 收入",
        (
            (
                Chart(
                    "net_total",
                    "Net revenue · 净收入",
                    "big_number_total",
                    "revenue.daily",
                    ("net_order",),
                    width=3,
                    words="After refunds, by order date, all dates.",
                ),
                Chart(
                    "net_by_core",
                    "Net revenue by core · 双核净收入",
                    "echarts_timeseries_bar",
                    "revenue.daily",
                    ("net_order",),
                    x="date",
                    by=("core",),
                    grain="P1W",
                    width=9,
                    params={"stack": "Stack"},
                ),
            ),
            (
                Chart(
                    "mrr_bridge",
                    "MRR movements · MRR 变动",
                    "echarts_timeseries_bar",
                    "revenue.mrr_movements",
                    (
                        "mrr_new",
                        "mrr_expansion",
                        "mrr_reactivation",
                        "mrr_contraction",
                        "mrr_churn",
                    ),
                    x="month",
                    where={"plan_id": "*"},
                    grain="P1M",
                    width=4,
                    params={"stack": "Stack"},
                    words="Opening + movements = closing, each month.",
                ),
                Chart(
                    "group_arpu",
                    "Groups by net revenue · 社群收入",
                    "table",
                    "revenue.group_arpu_monthly",
                    ("net_revenue", "arpu"),
                    by=("source", "group_id"),
                    without={"group_id": "(none)"},
                    width=4,
                    words="ARPU: net revenue over mean members, summed over months.",
                ),
                Chart(
                    "ltv",
                    "Value of a person by day · LTV 曲线",
                    "echarts_timeseries_bar",
                    "revenue.ltv",
                    ("ltv",),
                    x="day_n",
                    by=("core_mix",),
                    width=4,
                    words="Only of cohorts whose whole window is over.",
                ),
            ),
        ),
    ),
    Tab(
        "Experiments and packs · 实验与人群包",
        (
            (
                Chart(
                    "experiment_health",
                    "May a result be believed? · 实验健康",
                    "table",
                    "engagement.experiment_health",
                    columns=("experiment_id", "units", "srm_p", "contaminated", "is_valid"),
                    formats={"srm_p": ".4f"},
                    width=5,
                    words="Look here first: a ratio that does not fit, or groups that leak.",
                ),
                Chart(
                    "experiment_results",
                    "Effects with intervals · 实验效果",
                    "table",
                    "engagement.experiment_results",
                    columns=(
                        *("experiment_id", "metric", "variant", "units", "mean"),
                        *("difference", "ci_low", "ci_high", "p_holm"),
                    ),
                    formats=dict.fromkeys(
                        ("mean", "difference", "ci_low", "ci_high", "p_holm"), ",.4~r"
                    ),
                    width=7,
                    words="95 % intervals, p-values by Holm; revenue is in minor units.",
                ),
            ),
            (
                Chart(
                    "packs",
                    "Audience packs · 人群包",
                    "table",
                    "audience.packs",
                    columns=(
                        *("pack", "version", "kind", "purpose", "status", "epsilon", "k"),
                        "expires_at",
                    ),
                    width=7,
                    words="What left the house, and under which guarantee.",
                ),
                Chart(
                    "attacks",
                    "Attacks on packs · 攻击测试",
                    "table",
                    "audience.attacks",
                    columns=("pack", "version", "attack", "value", "gate", "passed"),
                    width=5,
                    words="Each attack's reach against its gate.",
                ),
            ),
        ),
    ),
)
