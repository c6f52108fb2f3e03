"""MetricFlow's answers against SQL on the marts, written by hand: by date, and by a dimension.

The marts hold random numbers, NULLs included, with rows of all that are no sum of the others: an
answer that mixed them up would differ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pytest

pytest.importorskip("metricflow", reason="the extra `semantic` is not installed")

from orchestration.errors import TandemError
from orchestration.semantic_layer import Metrics, open_metrics
from orchestration.semantic_models import MODELS, public
from tests.support import test_settings
from tests.unit.dashboard.published_world import AS_OF, contract_tables, make_published, moment

MONTHS = [date(2026, month, 1) for month in (1, 2, 3)]
WEEKS = [AS_OF - timedelta(days=6 + 7 * n) for n in range(7)]
DATES = [AS_OF + timedelta(days=n) for n in range(-40, 3)]
"""Of three months; the last two are not complete."""
KEYS: Mapping[str, list[Any]] = {
    "date": DATES,
    "week_start": WEEKS,
    "month": MONTHS,
    "cohort_date": DATES[-12:-3],
    "cohort_month": MONTHS,
    "entry_date": DATES[:9],
    "created_at": [moment(f"2026-02-{day} 12:00") for day in ("01", "09", "20")],
    "core": ["community", "group", "all"],
    "source": ["p", "w"],
    "node_id": ["n1", "n2", "*"],
    "origin": ["pgc", "ugc"],
    "content_id": ["c1", "c2"],
    "group_id": ["g1", "g2"],
    "broadcast_id": ["b1", "b2", "b3"],
    "campaign_id": ["k1", "k2"],
    "responder": ["ai", "human"],
    "mode": ["on", "on_or_after"],
    "day_n": [1, 7],
    "core_mix": ["both", "group_only"],
    "tier": ["core", "lurker"],
    "funnel": ["default", "other"],
    "step": [1, 2, 3],
    "n_scenes": [0, 1, 2],
    "surface": ["community", "group"],
    "plan_id": ["monthly", "*"],
    "channel_kind": ["content", "group"],
    "target_id": ["t1", "t2"],
    "pack": ["seeds", "lookalikes"],
    "version": [1, 2],
    "attack": ["linkage", "inference"],
}
OTHER_KEYS: Mapping[str, Mapping[str, list[Any]]] = {
    "users.daily_active": {"source": ["p", "w", "*"]},
    "revenue.daily": {"core": ["community", "group"]},
    "engagement.touchpoints": {"campaign_id": ["k1", "k2", "*"]},
    "revenue.group_arpu_monthly": {"group_id": ["g1", "g2", "(none)"]},
}
NULLABLE = frozenset(
    {
        *("delivered", "read", "clicked", "converted", "leaves_24h", "leaves", "retained"),
        *("member_days", "spend_minor", "new_members", "new_payers", "net_revenue_90d_minor"),
        *("repeat_buyers", "contained", "csat_sum"),
    }
)


@dataclass(frozen=True)
class Case:
    """What a mart's metrics are in SQL; `{}` of `rows` is filled with what tells rows of all."""

    mart: str
    time: str
    metrics: Mapping[str, str]
    split: str
    all_rows: str = "true"
    """The rows that a question without `split` is about."""
    split_rows: str = "true"
    fixed: tuple[str, ...] = ()
    """Key columns that such a question has to name."""


def rate(num: str, den: str, rows: str = "true") -> str:
    return f"sum({num}) filter ({rows}) / nullif(sum({den}) filter ({rows}), 0)"


CASES = (
    Case(
        "users.daily_active",
        "date",
        {
            **{
                name: f"sum({name})"
                for name in ("dau", "dau_contributing", "wau", "mau28", "mau30")
            },
            "stickiness": rate("dau", "mau28"),
            "new_active_persons": "sum(new_persons)",
        },
        "core",
        "core = 'all' and source = '*' and is_complete",
        "source = '*' and is_complete",
    ),
    Case(
        "users.lifecycle_weekly",
        "week_start",
        {
            "weekly_new": "sum(new_persons)",
            "weekly_returning": 'sum("returning")',
            "weekly_resurrected": "sum(resurrected)",
            "weekly_dormant": "sum(dormant)",
            "weekly_active": "sum(active)",
        },
        "core",
        "core = 'all'",
    ),
    Case(
        "users.retention",
        "cohort_date",
        {"retention_rate": rate("retained", "eligible")},
        "core",
        "core = 'all'",
        fixed=("mode", "day_n"),
    ),
    Case("users.tier_daily", "date", {"tier_persons": "sum(persons)"}, "tier"),
    Case(
        "users.cross_core",
        "month",
        {
            "community_only_mau": "sum(community_only)",
            "group_only_mau": "sum(group_only)",
            "both_cores_mau": 'sum("both")',
            "community_to_group_rate": rate("converted", "eligible"),
        },
        "",
    ),
    Case(
        "content.daily_performance",
        "date",
        {
            "impressions": "sum(impressions)",
            "clicks": "sum(clicks)",
            "ctr": rate("clicks_credited", "impressions"),
            "reads": "sum(reads)",
            "net_likes": "sum(likes)",
            "comments": "sum(comments)",
            "shares": "sum(shares)",
            "collects": "sum(collects)",
        },
        "source",
    ),
    Case(
        "content.supply_mix",
        "week_start",
        {"supply": "sum(published)"},
        "node_id",
        "node_id = '*'",
    ),
    Case(
        "content.response_times",
        "week_start",
        {
            "questions": "sum(questions)",
            "answer_rate": rate("answered", "questions"),
            **{
                f"answer_rate_{n}": rate(f"answered_{n}", f"eligible_{n}")
                for n in ("1h", "24h", "7d")
            },
        },
        "node_id",
        "node_id = '*'",
    ),
    Case(
        "engagement.group_daily",
        "date",
        {
            "group_members": "sum(members_close)",
            **{
                f"group_{name}": f"sum({name})"
                for name in (
                    *("joins", "inferred_joins", "leaves", "messages", "reactions"),
                    *("interactions", "kol_messages", "ugc_messages"),
                )
            },
        },
        "source",
    ),
    Case(
        "engagement.broadcast_funnel",
        "",
        {
            "send_rate": rate("sent", "targeted"),
            "delivery_rate": rate("delivered", "targeted", "delivered is not null"),
            "read_rate": rate("read", "delivered", "read is not null and delivered is not null"),
            "broadcast_click_rate": rate(
                "clicked", "coalesce(delivered, targeted)", "clicked is not null"
            ),
            "broadcast_conversion": rate("converted", "clicked"),
            "broadcast_leave_rate": rate("leaves_24h", "targeted", "leaves_24h is not null"),
        },
        "broadcast_id",
    ),
    Case(
        "engagement.consult_service",
        "date",
        {
            "consult_answer_rate": rate("answered", "sessions"),
            "within_15s_rate": rate("within_15s", "sessions"),
            "csat": rate("csat_sum", "csat_n"),
        },
        "",
        fixed=("responder",),
    ),
    Case(
        "engagement.consult_service",
        "date",
        {
            "consult_sessions": "sum(sessions)",
            "handoff_rate": rate("handoffs", "sessions"),
            "containment_rate": rate("contained", "eligible_72h"),
        },
        "",
        "responder = 'ai'",
    ),
    Case(
        "engagement.campaigns",
        "",
        {"campaign_participation": rate("participants", "targeted")},
        "",
        fixed=("source", "campaign_id"),
    ),
    Case(
        "engagement.campaigns",
        "",
        {
            "campaign_orders": "sum(orders)",
            "campaign_roi": rate("net_revenue_minor", "spend_minor", "spend_minor > 0"),
        },
        "source",
    ),
    Case(
        "engagement.funnels",
        "entry_date",
        {"funnel_persons": "sum(persons)"},
        "",
        fixed=("funnel", "step"),
    ),
    Case(
        "engagement.funnels",
        "entry_date",
        {
            "funnel_conversion": "sum(persons) filter (step = 3)"
            " / nullif(sum(persons) filter (step = 1), 0)"
        },
        "",
        fixed=("funnel",),
    ),
    Case(
        "engagement.touchpoints",
        "",
        {"touchpoint_conversion": rate("converted_7d", "persons")},
        "campaign_id",
        "campaign_id = '*'",
    ),
    Case(
        "engagement.assistant_daily",
        "date",
        {
            "assistant_answer_rate": rate("answered", "requests"),
            "assistant_handoff_rate": rate("handoffs", "requests"),
            "assistant_failure_rate": rate("failed", "requests"),
        },
        "surface",
    ),
    Case("engagement.governance_daily", "date", {"governance_votes": "sum(votes)"}, "source"),
    Case("revenue.daily", "date", {"payers": "sum(payers)"}, "", fixed=("core",)),
    Case(
        "revenue.daily",
        "date",
        {
            "orders": "sum(orders)",
            "gmv": "sum(gmv_minor)",
            "refunds_cash": "sum(refunds_cash_minor)",
            "refunds_order": "sum(refunds_order_minor)",
            "net_cash": "sum(net_cash_minor)",
            "net_order": "sum(net_order_minor)",
        },
        "core",
    ),
    Case(
        "revenue.group_arpu_monthly",
        "month",
        {
            "group_net_revenue": "sum(net_revenue_minor)",
            "group_arpu": rate(
                "net_revenue_minor", "member_days / nullif(days, 0)", "member_days is not null"
            ),
        },
        "group_id",
    ),
    Case(
        "revenue.mrr_movements",
        "month",
        {
            "mrr": "sum(closing_minor)",
            **{
                f"mrr_{name}": f"sum({name}_minor)"
                for name in ("new", "expansion", "contraction", "churn", "reactivation")
            },
        },
        "plan_id",
        "plan_id = '*'",
    ),
    Case("revenue.renewals", "month", {"renewal_rate": rate("renewed", "eligible")}, "plan_id"),
    Case(
        "revenue.ltv",
        "cohort_month",
        {"ltv": rate("net_revenue_minor", "eligible")},
        "core_mix",
        fixed=("day_n",),
    ),
    Case(
        "revenue.repurchase",
        "cohort_month",
        {"repurchase_rate": rate("repeat_buyers", "eligible")},
        "",
        fixed=("day_n",),
    ),
    Case(
        "revenue.acquisition",
        "month",
        {
            "acquisition_spend": "sum(spend_minor)",
            "cost_per_member": rate("spend_minor", "new_members"),
            "cost_per_payer": rate("spend_minor", "new_payers"),
        },
        "source",
        fixed=("channel_kind",),
    ),
    Case(
        "audience.packs",
        "created_at",
        {"released_packs": "count(*) filter (status = 'released')"},
        "pack",
    ),
    Case(
        "audience.attacks",
        "",
        {"attack_pass_rate": "count(*) filter (passed) / nullif(count(passed), 0)"},
        "pack",
    ),
)


def made_rows(mart: str, draw: random.Random) -> list[dict[str, Any]]:
    """A row for each combination of the mart's keys, with random numbers."""
    columns = dict(contract_tables()[mart])
    domains = {
        name: OTHER_KEYS.get(mart, {}).get(name, KEYS[name]) for name in columns if name in KEYS
    }
    rows = []
    for values in product(*domains.values()):
        row: dict[str, Any] = dict(zip(domains, values, strict=True))
        for name, kind in columns.items():
            if name in row:
                continue
            if kind in ("bigint", "double"):
                row[name] = None if name in NULLABLE and draw.random() < 0.2 else draw.randint(0, 9)
            elif kind == "boolean":
                row[name] = draw.random() < 0.7
        if "is_complete" in columns and "date" in columns:
            row["is_complete"] = row["date"] <= AS_OF
        if mart == "audience.packs":
            row["status"] = draw.choice(["released", "blocked"])
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(7)
    rows = {model.mart: made_rows(model.mart, draw) for model in MODELS}
    rows["dim.dates"] = [{"date": day, "is_complete": day <= AS_OF} for day in DATES]
    rows["dim.groups"] = [
        {"source": source, "group_id": f"g{n}", "kind": f"kind {n}"}
        for source in ("p", "w")
        for n in (1, 2)
    ]
    return make_published(tmp_path_factory.mktemp("semantic") / "serving" / "marts.duckdb", rows)


@pytest.fixture(scope="module")
def metrics(published: Path) -> Iterator[Metrics]:
    with open_metrics(test_settings(published.parents[1] / "home"), published) as found:
        yield found


def run(published: Path, text: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(published), read_only=True) as connection:
        return connection.execute(text).fetchall()


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows in one order, with dates as dates and ratios to twelve digits."""

    def value(item: Any) -> Any:
        if isinstance(item, datetime):
            return item.date()
        return float(f"{item:.12g}") if isinstance(item, float | int) else item

    found = [tuple(value(item) for item in row) for row in rows]
    return sorted(found, key=lambda row: tuple(map(str, row)))


def model_of(case: Case) -> Any:
    return next(model for model in MODELS if model.mart == case.mart)


def dimension(case: Case, column: str) -> str:
    return f"{model_of(case).name}__{column}"


def expected(published: Path, case: Case, by: list[str], rows: str) -> list[tuple[Any, ...]]:
    keys = [f"cast({case.time} as date)" if key == case.time else key for key in by]
    values = ", ".join([*keys, *case.metrics.values()])
    grouping = f"group by {', '.join(keys)}" if keys else ""
    return plain(run(published, f"select {values} from {case.mart} where {rows} {grouping}"))


def answered(metrics: Metrics, case: Case, by: list[str]) -> list[tuple[Any, ...]]:
    names = {key: "metric_time" if key == case.time else dimension(case, key) for key in by}
    answer = metrics.ask(list(case.metrics), list(names.values()))
    starts = [name if name != "metric_time" else "metric_time__" for name in names.values()]
    places = [
        next(n for n, column in enumerate(answer.columns) if column.startswith(start))
        for start in [*starts]
    ] + [answer.columns.index(name) for name in case.metrics]
    return plain([tuple(row[place] for place in places) for row in answer.rows])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.mart}:{next(iter(case.metrics))}")
def test_the_answers_are_the_mart_s(published: Path, metrics: Metrics, case: Case) -> None:
    by = [*([case.time] if case.time else []), *case.fixed]
    assert answered(metrics, case, by) == expected(published, case, by, case.all_rows)
    if case.split:
        by.append(case.split)
        assert answered(metrics, case, by) == expected(published, case, by, case.split_rows)


def test_every_metric_is_compared() -> None:
    assert {name for case in CASES for name in case.metrics} == {
        metric.id for _, metric in public()
    }
    assert len({metric.id for _, metric in public()}) >= 25


def test_by_source_and_by_both_keys_the_row_of_all_is_never_added(
    published: Path, metrics: Metrics
) -> None:
    case = next(case for case in CASES if case.mart == "users.daily_active")
    for by, rows in (
        (["date", "source"], "core = 'all'"),
        (["date", "core", "source"], "true"),
    ):
        assert answered(metrics, case, by) == expected(
            published, case, by, f"{rows} and is_complete"
        )


def test_a_level_is_that_of_the_period_s_last_date(published: Path, metrics: Metrics) -> None:
    answer = metrics.ask(["wau", "group_members"], ["metric_time__month"])
    months = run(
        published,
        """
        select date_trunc('month', date), any_value(wau), any_value(members)
        from users.daily_active
        inner join (
            select date, sum(members_close) as members from engagement.group_daily group by date
        ) using (date)
        where core = 'all' and source = '*' and is_complete
            and date in (date '2026-02-28', date '2026-03-29')
        group by date
        """,
    )
    columns = [answer.columns.index(name) for name in ("metric_time__month", "wau")]
    assert plain([tuple(row[n] for n in columns) for row in answer.rows]) == plain(
        [row[:2] for row in months]
    )
    # engagement.group_daily has no incomplete dates to leave out: its last date is the last.
    members = run(
        published,
        "select sum(members_close) from engagement.group_daily where date = (select max(date) from "
        "engagement.group_daily)",
    )
    found = metrics.ask(["group_members"])
    assert plain(found.rows) == plain(members)


def test_additive_metrics_add_up_over_months(published: Path, metrics: Metrics) -> None:
    answer = metrics.ask(["new_active_persons", "gmv", "ctr"], ["metric_time__month"])
    months = run(
        published,
        """
        with persons as (
            select date_trunc('month', date) as month, sum(new_persons) as persons
            from users.daily_active
            where core = 'all' and source = '*' and is_complete
            group by 1
        ),

        money as (
            select date_trunc('month', date) as month, sum(gmv_minor) as gmv
            from revenue.daily
            group by 1
        ),

        clicks as (
            select date_trunc('month', date) as month,
                sum(clicks_credited) / sum(impressions) as ctr
            from content.daily_performance
            group by 1
        )

        select month, persons, gmv, ctr
        from money left join persons using (month) left join clicks using (month)
        """,
    )
    names = ("metric_time__month", "new_active_persons", "gmv", "ctr")
    places = [answer.columns.index(name) for name in names]
    assert plain([tuple(row[n] for n in places) for row in answer.rows]) == plain(months)


@pytest.mark.parametrize(
    ("metric", "by"),
    [
        ("dau", "metric_time__month"),
        ("stickiness", "metric_time__week"),
        ("weekly_active", "metric_time__month"),
        ("retention_rate", "users_retention__day_n"),
        ("retention_rate", "users_retention__mode"),
        ("both_cores_mau", "metric_time__year"),
        ("within_15s_rate", "metric_time__day"),
        ("csat", "metric_time__month"),
        ("funnel_persons", "engagement_funnels__funnel"),
        ("funnel_conversion", "metric_time__day"),
        ("payers", "metric_time__day"),
        ("payers", "revenue_daily__core"),
        ("group_arpu", "metric_time__quarter"),
        ("ltv", "metric_time__month"),
        ("acquisition_spend", "metric_time__month"),
        ("campaign_participation", "engagement_campaigns__source"),
    ],
)
def test_a_question_without_an_answer_gives_null(metrics: Metrics, metric: str, by: str) -> None:
    answer = metrics.ask([metric], [by])
    place = answer.columns.index(metric)
    assert answer.rows
    assert {row[place] for row in answer.rows} == {None}


def test_a_filter_that_leaves_parts_without_their_total_gives_null(metrics: Metrics) -> None:
    where = ["{{ Dimension('users_daily_active__source') }} in ('p', 'w')"]
    answer = metrics.ask(["dau", "new_active_persons"], ["metric_time"], where=where)
    assert {row[1:] for row in answer.rows} == {(None, None)}


def test_a_mart_is_split_by_what_its_ids_stand_for(published: Path, metrics: Metrics) -> None:
    answer = metrics.ask(["group_messages"], ["chat_group__kind"])
    kinds = run(
        published,
        "select kind, sum(messages) from engagement.group_daily "
        "inner join dim.groups using (source, group_id) group by kind",
    )
    assert plain(answer.rows) == plain(kinds)


@pytest.mark.parametrize(
    ("metric", "by", "reason"),
    [
        ("nonsense", "metric_time", "known metrics"),
        ("dau", "revenue_daily__core", "group-by-item"),
        ("mrr", "chat_group__kind", "group-by-item"),
        ("weekly_new", "metric_time__day", "metric_time__week"),
    ],
)
def test_what_no_mart_can_answer_is_an_error(
    metrics: Metrics, metric: str, by: str, reason: str
) -> None:
    with pytest.raises(TandemError, match=reason):
        metrics.ask([metric], [by])


def test_nothing_else_can_be_read(metrics: Metrics) -> None:
    where = ["(select count(*) from read_text('/etc/hostname')) > 0"]
    with pytest.raises(duckdb.PermissionException):
        metrics.ask(["gmv"], where=where)


def test_without_a_published_file_it_says_what_to_do(tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    with pytest.raises(TandemError, match="run `tandem build` first"), open_metrics(settings):
        pass
