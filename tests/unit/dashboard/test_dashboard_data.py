"""What the pages show is what the marts say, and what cannot be shown says why."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboard import build_site
from dashboard.pages import PAGES
from dashboard.site import STATIC
from dashboard.words import COLUMNS
from orchestration.contracts import contracts
from orchestration.errors import TandemError
from tests.unit.dashboard.published_world import (
    AS_OF,
    HOSTILE,
    contract_tables,
    make_published,
    small_world,
)


def read(out: Path) -> dict[str, Any]:
    """Every script of data of the site, by name."""
    (folder,) = out.glob("build-*")
    found = {}
    for path in folder.glob("data/*.js"):
        text = path.read_text(encoding="utf-8")
        name, data = re.fullmatch(r'tandemData\("([^"]+)",(.*)\);\n', text, re.DOTALL).groups()  # type: ignore[union-attr]
        found[name] = json.loads(data)
    return found


def figure(site: dict[str, Any], page: str, name: str) -> dict[str, Any]:
    return next(item for item in site[page]["figures"] if item["id"] == name)


def tile(site: dict[str, Any], page: str, name: str) -> dict[str, Any]:
    return next(item for item in site[page]["tiles"] if item["id"] == name)


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    names = [column["name"] for column in found["columns"]]
    return [dict(zip(names, row, strict=True)) for row in zip(*found["data"], strict=True)]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_published(tmp_path_factory.mktemp("published") / "marts.duckdb", small_world())


@pytest.fixture(scope="module")
def site(serving: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("site")
    build_site(serving, out)
    return read(out)


def test_every_figure_reads_marts_that_contracts_name_with_their_columns(
    site: dict[str, Any],
) -> None:
    tables = set(contract_tables())
    logs = set(contracts())
    metrics = set(site["site"]["metrics"])
    for page in PAGES:
        for item in [*page.tiles, *page.figures]:
            assert set(item.marts) <= tables, item.id
            assert set(item.metrics) <= metrics, item.id
            named = set(re.findall(r"\b(?:from|join)\s+(\w+\.\w+)", item.sql))
            assert named - {"main._publish"} <= set(item.marts), item.id
            assert all(item.title)
            assert all(item.per)
        for made in page.figures:
            assert set(made.logs) <= logs, made.id
        for found in [*site[page.id]["tiles"], *site[page.id]["figures"]]:
            assert found["state"] in ("ok", "empty"), (page.id, found["id"])


def test_every_column_has_a_heading_and_every_chart_its_columns(site: dict[str, Any]) -> None:
    for page in PAGES:
        for found in site[page.id]["figures"]:
            names = {column["name"] for column in found["columns"]}
            shown = {column["name"] for column in found["columns"] if not column.get("hidden")}
            assert shown - {"is_complete"} <= set(COLUMNS), (page.id, found["id"])
            chart = found["chart"]
            for key in ("x", "y", "by", "value", "den", "steps", "from", "to", "mid", "low"):
                wanted = chart.get(key, [])
                wanted = [wanted] if isinstance(wanted, str) else wanted
                assert set(wanted) <= names, (page.id, found["id"], key)
            assert set(found["facets"]) <= names
            for column in found["columns"]:
                if column["format"].startswith("@"):
                    assert column["format"][1:] in names


def test_the_numbers_are_those_of_the_marts(site: dict[str, Any], serving: Path) -> None:
    assert tile(site, "overview", "dau_all")["value"] == 30 + 59
    assert tile(site, "overview", "dau_all")["previous"] == 30 + 52
    sticky = tile(site, "overview", "stickiness")
    assert (sticky["numerator"], sticky["denominator"]) == (89, 120)
    assert sticky["value"] == pytest.approx(89 / 120)
    retained = tile(site, "overview", "retention_d7")
    assert (retained["numerator"], retained["denominator"], retained["value"]) == (56, 140, 0.4)
    fast = tile(site, "overview", "within_15s")
    assert (fast["numerator"], fast["denominator"], fast["previous"]) == (56, 70, 0.8)
    silent = tile(site, "overview", "silent_groups")
    assert (silent["numerator"], silent["denominator"]) == (1, len(HOSTILE))
    with duckdb.connect(str(serving), read_only=True) as connection:
        (net,) = connection.execute(
            "select sum(net_order_minor) from revenue.daily where date > ?",
            [AS_OF - timedelta(days=28)],
        ).fetchall()[0]
    assert (
        tile(site, "revenue", "net_28d")["value"] == net == 2 * sum(900 + n for n in range(32, 60))
    )
    assert tile(site, "revenue", "mrr")["value"] == 280
    assert tile(site, "quality", "rules")["denominator"] == 4  # Only of the published build.
    assert tile(site, "quality", "rejected")["numerator"] == 6


def test_ratios_are_quotients_of_sums_over_what_was_observed(site: dict[str, Any]) -> None:
    ladder = {row["rung"]: row for row in rows(figure(site, "groups", "reach"))}
    assert ladder["sent"]["reach_rate"] == pytest.approx(28 / 30)
    # One of two groups observes delivery, none observes reading.
    assert (ladder["delivered"]["persons"], ladder["delivered"]["targeted"]) == (15, 20)
    assert ladder["delivered"]["broadcasts_observed"] == 1
    assert ladder["read"]["reach_rate"] is None
    assert ladder["read"]["broadcasts_observed"] == 0
    bridge = {row["source"]: row for row in rows(figure(site, "revenue", "mrr_bridge"))}
    assert bridge["*"]["closing_minor"] == 280
    assert bridge["w"]["churn_minor"] == -20
    rolled = rows(figure(site, "groups", "roll_forward"))
    for row in rolled:
        steps = figure(site, "groups", "roll_forward")["chart"]["steps"]
        assert sum(row[step] for step in steps[:-1]) == row["members_close"]
    assert rolled[0]["source"] == "*"
    budget = rows(figure(site, "audience", "budget"))
    assert [(row["epsilon_spent"], row["charges"]) for row in budget] == [(1.0, 1)]


def test_incomplete_and_unobservable_are_told_apart_from_zero(site: dict[str, Any]) -> None:
    months = rows(figure(site, "overview", "cross_core"))
    assert [row["is_complete"] for row in months] == [True, False]
    weeks = {
        (row["week_start"], row["day_n"]): row
        for row in rows(figure(site, "users", "retention"))
        if (row["core"], row["mode"]) == ("all", "on")
    }
    last = weeks["2026-03-23", 7]
    assert (last["retention_rate"], last["retained"], last["eligible"]) == (None, None, 0)
    partly = weeks["2026-03-16", 7]
    assert (partly["eligible"], partly["cohort_size"]) == (70, 70)
    assert weeks["2026-03-16", 14]["retention_rate"] is None
    assert weeks["2026-03-09", 14]["is_complete"] is True
    curve = {row["day_n"]: row["ltv_minor"] for row in rows(figure(site, "revenue", "ltv"))}
    assert curve == {30: 250, 90: None}
    leaves = {row["group_name"]: row["leaves_28d"] for row in health(site)}
    assert leaves[HOSTILE[1]] is None
    assert leaves[HOSTILE[2]] == 0
    # The first 28 dates look back on fewer: their stickiness is no whole one.
    sticky = [row for row in rows(figure(site, "users", "stickiness")) if row["core"] == "all"]
    assert [row["is_complete"] for row in sticky].count(False) == 27


def health(site: dict[str, Any]) -> list[dict[str, Any]]:
    found = figure(site, "groups", "health")
    return rows(found | {"data": site[found["deferred"]]})


def test_names_stay_as_they_are(site: dict[str, Any]) -> None:
    assert {row["group_name"] for row in health(site)} == set(HOSTILE)
    assert {row["campaign"] for row in rows(figure(site, "campaigns", "campaigns"))} == set(HOSTILE)


def test_the_scripts_never_write_markup() -> None:
    for name in ("app.js", "charts.js"):
        text = (STATIC / name).read_text(encoding="utf-8")
        for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert banned not in text, name
    assert "http" not in re.sub(
        r"http://www\.w3\.org/2000/svg|http-equiv",
        "",
        "".join(
            (STATIC / n).read_text("utf-8")
            for n in ("app.js", "charts.js", "index.html", "style.css")
        ),
    )
    assert sum(path.stat().st_size for path in STATIC.glob("vendor/*.js")) < 1_100_000


def test_a_missing_mart_an_old_one_and_an_empty_warehouse_say_so(tmp_path: Path) -> None:
    gone = ("audience.packs", "users.retention", "quality.metrics")
    path = make_published(tmp_path / "a.duckdb", {}, without=gone, as_of=None)
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table users.rfm drop column segment")
    report = build_site(path, tmp_path / "out")
    found = read(tmp_path / "out")
    assert figure(found, "audience", "packs")["missing"] == ["audience.packs"]
    assert tile(found, "overview", "retention_d7")["state"] == "missing"
    assert figure(found, "users", "rfm")["state"] == "unreadable"
    assert figure(found, "users", "actives")["state"] == "empty"
    assert tile(found, "overview", "dau_all")["value"] is None
    assert report.as_of_date is None
    assert "users/rfm: unreadable" in report.without
    states = {item["state"] for page in PAGES for item in found[page.id]["figures"]}
    assert states == {"empty", "missing", "unreadable"}


def test_fifty_thousand_groups_are_carried_apart_and_long_lists_are_cut(tmp_path: Path) -> None:
    path = make_published(tmp_path / "a.duckdb", {})
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"""
            insert into engagement.group_daily by name
            select
                date '{AS_OF}' as date, 'w' as source, 'g' || n as group_id, n as members_close,
                0 as speakers_7d, false as is_silent, 0 as interactions, 0 as joins,
                0 as inferred_joins, 0 as leaves, n as members_open
            from range(50000) as numbers (n)
            """
        )
        connection.execute(
            """
            insert into engagement.group_overlap by name
            select 'w/g' || n as group_a, 'w/g' || (n + 1) as group_b,
                9 as members_a, 9 as members_b, 3 as "both"
            from range(2000) as numbers (n)
            """
        )
    report = build_site(path, tmp_path / "out")
    found = read(tmp_path / "out")
    listed = figure(found, "groups", "health")
    assert "data" not in listed
    assert listed["total"] == len(health(found)) == 50_000
    pairs = figure(found, "groups", "overlap_pairs")
    assert (len(pairs["data"][0]), pairs["total"]) == (500, 2_000)
    assert report.seconds < 20
    (folder,) = (tmp_path / "out").glob("build-*")
    assert (folder / "data" / "groups.js").stat().st_size < 200_000


def test_the_same_file_gives_the_same_bytes_and_a_new_one_leaves_the_last(
    serving: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build_site(serving, out)
    first = (out / "index.html").read_bytes()
    build_site(serving, out)
    assert (out / "index.html").read_bytes() == first
    assert len(list(out.iterdir())) == 2
    for version in (2, 3):
        build_site(make_published(tmp_path / "b.duckdb", {}, version=version), out)
    folders = {path.name for path in out.glob("build-*")}
    assert len(folders) == 2
    assert not any(name.encode() in first for name in folders)


def test_another_site_and_a_wrong_file_are_refused(serving: Path, tmp_path: Path) -> None:
    other = tmp_path / "index.html"
    other.write_text("<h1>mine</h1>", encoding="utf-8")
    with pytest.raises(TandemError, match="is of another site"):
        build_site(serving, tmp_path)
    assert other.read_text(encoding="utf-8") == "<h1>mine</h1>"
    older = make_published(tmp_path / "older.duckdb", {}, currency=None)
    with pytest.raises(TandemError, match="no ISO 4217 currency"):
        build_site(older, tmp_path / "out", currency="XXQ")
    (tmp_path / "b.duckdb").write_text("no", encoding="utf-8")
    with pytest.raises(TandemError, match="cannot read"):
        build_site(tmp_path / "b.duckdb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("currency", "exponent"), [("CNY", 2), ("JPY", 0), ("KWD", 3)])
def test_amounts_are_in_the_currency_of_the_file(
    tmp_path: Path, currency: str, exponent: int
) -> None:
    path = make_published(tmp_path / "marts.duckdb", {}, currency=(currency, exponent))
    build_site(path, tmp_path / "site", currency="USD")
    found = read(tmp_path / "site")["site"]
    assert (found["currency"], found["exponent"]) == (currency, exponent)
    make_published(path, {}, currency=None)
    build_site(path, tmp_path / "older", currency=currency)
    found = read(tmp_path / "older")["site"]
    assert (found["currency"], found["exponent"]) == (currency, exponent)
